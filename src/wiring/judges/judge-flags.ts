/** The flags of commands that ask a judge outside a run. */
import { judgeSettings } from "./judge-row.ts"
import { settingFlags } from "../setting-flags.ts"

export const judgeFlags = settingFlags(judgeSettings)
