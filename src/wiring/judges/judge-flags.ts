/** The flags of commands that ask a judge, or a guide model, outside a run. */
import { judgeSettings } from "./judge-row.ts"
import type { SettingName } from "../settings.ts"
import { settingFlags } from "../setting-flags.ts"

export const judgeFlags = settingFlags(judgeSettings)

/** What a guide model needs that is asked one question at a time. */
export const guideSettings = [
  "guide",
  "budget_usd",
  "judge_input_price",
  "judge_output_price",
  "judge_free",
  "judge_format",
  "judge_timeout",
  "judge_cache",
  "render_size"
] as const satisfies ReadonlyArray<SettingName>
export const guideFlags = settingFlags(guideSettings)
