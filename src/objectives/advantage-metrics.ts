import type { Stepped } from "./objective.ts"

/** 0 of nothing. */
export const meanOf = (xs: ReadonlyArray<number>): number => xs.reduce((sum, x) => sum + x, 0) / Math.max(1, xs.length)

/** What all objectives of candidates tell: how large advantages are, and how likely the better and the worse candidates, nats. */
export const advantageMetrics = ({ examples, policy }: Stepped): Record<string, number> => {
  const logpOf = (better: boolean, name: string) => {
    const own = examples.filter(({ signal }) => signal > 0 === better)
    return own.length === 0 ? {} : { [name]: meanOf(own.map(({ members: [n] }) => policy[n]!)) }
  }
  return {
    "advantages/mean": meanOf(examples.map(({ signal }) => signal)),
    "advantages/abs": meanOf(examples.map(({ signal }) => Math.abs(signal))),
    ...logpOf(true, "logps/better"),
    ...logpOf(false, "logps/worse")
  }
}
