/** How a comparison's numbers are written on the terminal and in its result. */
import { type Interval, percent } from "./statistics.ts"
import type { Yardstick } from "./worth.ts"

type Measure = Yardstick["measure"]

/** What its JSON and its page say of it. */
export const toldOf = ({ measure, scorer }: Yardstick) => ({ measure, scorer: scorer?.name ?? "none" })

export const worthIn = (measure: Measure, value: number): string => (measure === "right" ? percent(value) : value.toFixed(2))

/** Points, where shares are compared: `+58.3 [+33.3, +79.2]`. Empty for nothing. */
export const changeIn = (measure: Measure, change: Interval | null): string => {
  const signed = (value: number) => `${value < 0 ? "-" : "+"}${measure === "right" ? (100 * Math.abs(value)).toFixed(1) : Math.abs(value).toFixed(2)}`
  return change === null ? "" : `${signed(change.value)} [${signed(change.lower)}, ${signed(change.upper)}]`
}
