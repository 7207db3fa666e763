/** Fetches, if necessary, and opens the policy that --model and --revision name. */
import { Effect } from "effect"
import { openDecoder } from "../model/model-folder.ts"
import { policyKind } from "../model/hub/model-kind.ts"
import { resolveModel } from "../model/hub/resolve-model.ts"
import type { ProgressStyle } from "../system/progress.ts"
import { openTokenizer } from "../model/tokenizer/tokenizer.ts"

export const openPolicy = Effect.fn("openPolicy")(function*(model: string, revision: string, style: ProgressStyle) {
  const { base, folder } = yield* resolveModel(model, policyKind, { revision, style })
  return { base, folder, checkpoint: yield* openDecoder(folder), tokenizer: yield* openTokenizer(folder) }
})
