/** From results to curves: the share of held-out prompts drawn right, over all seeds of a recipe with a judge. */
import { type Kind, kinds as allKinds } from "../../src/evaluation/measures.ts"
import { type Interval, mean, pairedBootstrap } from "../../src/evaluation/statistics.ts"
import type { JudgeName, Point, Result } from "./jobs.ts"

/** At which temperature a policy is asked: the one it was best at on other prompts, or a given one. */
export type At = "best" | number

/** A share of the held-out prompts by the number of drawings that training drew. */
export interface CurvePoint {
  readonly drawings: number
  /** Mean over seeds; the interval is a bootstrap over the prompts, of these seeds' mean. */
  readonly right: Interval
  /** Of the seeds. */
  readonly lowest: number
  readonly highest: number
}

export interface Series {
  readonly recipe: string
  readonly judge: JudgeName
  readonly results: ReadonlyArray<Result>
}

export const baseOf = (results: ReadonlyArray<Result>): Result | undefined => results.find(({ recipe }) => recipe === null)

/** In the order in which they are first met. */
export const seriesOf = (results: ReadonlyArray<Result>): ReadonlyArray<Series> => {
  const groups = new Map<string, Series>()
  for (const result of results) {
    const { judge, recipe } = result
    if (recipe === null || judge === null) continue
    const key = `${recipe} ${judge}`
    groups.set(key, { recipe, judge, results: [...groups.get(key)?.results ?? [], result] })
  }
  return [...groups.values()]
}

const atTemperature = ({ best, heldOut }: Point, at: At) => {
  const wanted = at === "best" ? best : at
  return heldOut.find(({ temperature }) => temperature === wanted)!
}

/** 1 or 0 for each held-out prompt of a kind, or for all of them. */
export const rightsAt = ({ kinds }: Pick<Result, "kinds">, point: Point, at: At, kind?: Kind): ReadonlyArray<number> =>
  [...atTemperature(point, at).rights].map(Number).filter((_, n) => kind === undefined || kinds[n] === kind)

/** The newest policy after so many drawings. A run that stopped early left its last one. */
export const pointAt = ({ points }: Pick<Result, "points">, drawings: number): Point | undefined =>
  points.findLast((point) => point.drawings <= drawings)

/** Each prompt's share of seeds that drew it right. */
const overSeeds = (rows: ReadonlyArray<ReadonlyArray<number>>): ReadonlyArray<number> =>
  (rows[0] ?? []).map((_, n) => mean(rows.map((row) => row[n]!)))

/** The seed of all bootstraps. */
const seed = 0

const shareOf = (rows: ReadonlyArray<ReadonlyArray<number>>): Omit<CurvePoint, "drawings"> => {
  const shares = rows.map(mean)
  return { right: pairedBootstrap(overSeeds(rows), seed), lowest: Math.min(...shares), highest: Math.max(...shares) }
}

/** Drawings of the longest run: a stopped one counts as finished. */
export const budgetOf = (results: ReadonlyArray<Result>): number => Math.max(...results.map(({ drawingsAStep, steps }) => drawingsAStep * steps))

/** Points that every seed reached; those behind a run's stop repeat its last policy. */
export const curveOf = ({ results }: Pick<Series, "results">, base: Result, at: At, kind?: Kind): ReadonlyArray<CurvePoint> => {
  const drawings = [...new Set(results.flatMap(({ points }) => points.map((point) => point.drawings)))].sort((a, b) => a - b)
  const start = { drawings: 0, ...shareOf([rightsAt(base, base.points[0]!, at, kind)]) }
  return [
    start,
    ...drawings.flatMap((count) => {
      const points = results.map((result) => pointAt(result, count))
      if (points.includes(undefined)) return []
      return [{ drawings: count, ...shareOf(results.map((result, n) => rightsAt(result, points[n]!, at, kind))) }]
    })
  ]
}

/** What is left at the end of a budget, of which the kinds at the best temperature. */
export const endOf = ({ results }: Pick<Series, "results">, at: At, kind?: Kind) =>
  shareOf(results.map((result) => rightsAt(result, result.points.at(-1)!, at, kind)))

/**
 * One series' share minus another's, each at its best temperature: the interval is a paired bootstrap over the prompts.
 *
 * @param drawings after so many; by default each one's last policy
 */
export const differenceOf = (a: Pick<Series, "results">, b: Pick<Series, "results">, drawings = Infinity): Interval => {
  const [x, y] = [a, b].map(({ results }) => overSeeds(results.map((result) => rightsAt(result, pointAt(result, drawings)!, "best"))))
  return pairedBootstrap(x!.map((value, n) => value - y![n]!), seed)
}

export const kindsIn = ({ kinds }: Pick<Result, "kinds">): ReadonlyArray<Kind> => allKinds.filter((kind) => kinds.includes(kind))
