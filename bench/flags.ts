/** Flags of the benches that have some: what cannot be used is refused in one sentence. */
import { parseArgs, type ParseArgsOptionsConfig } from "node:util"

/** What was asked for cannot be done; the message says what to change. */
export class Refused extends Error {}

export const flagsOf = <const O extends ParseArgsOptionsConfig>(args: ReadonlyArray<string>, options: O) => {
  try {
    return parseArgs({ args: [...args], options }).values
  } catch (cause) {
    throw new Refused(`${(cause as Error).message.split(". ")[0]}. The flags are ${Object.keys(options).map((name) => `--${name}`).join(", ")}.`)
  }
}

export const whole = (flag: string, text: string, least: number, most = Infinity): number => {
  const n = Number(text)
  if (Number.isSafeInteger(n) && n >= least && n <= most) return n
  throw new Refused(`--${flag} is ${text}: give a whole number ${most === Infinity ? `of at least ${least}` : `from ${least} to ${most}`}.`)
}
