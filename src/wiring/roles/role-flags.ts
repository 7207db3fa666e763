/** The flags of commands that draw and criticise outside a run. */
import { Flag } from "effect/cli"
import * as Flags from "../flags.ts"
import { judgeFlags } from "../judges/judge-flags.ts"
import { numberSetting } from "../setting-flags.ts"
import { criticNames, criticsHelp } from "./critics.ts"

export const policyFlags = { model: Flags.model, revision: Flags.revision, adapter: Flags.adapter }

export const criticFlags = {
  critic: Flag.Literals("critic", criticNames).pipe(Flag.withDescription(`who says what is wrong. ${criticsHelp}`), Flag.withDefault("clip")),
  criticModel: Flag.String("critic-model").pipe(Flag.withDescription("the critic's CLIP folder, or the name of its guide model"), Flag.withDefault(""))
}

export const roleFlags = {
  ...judgeFlags,
  maxNewTokens: numberSetting("max_new_tokens", 160),
  ...Flags.promptForm,
  device: Flags.device,
  threads: Flags.threads,
  json: Flags.json
}
