/**
 * What the studio remembers of a run's reports, so that each is read once however often the page asks: alarms, seconds, and the
 * curves' points. Bounded: points are means of more and more steps.
 */
import { Effect } from "effect"
import type { Alarm } from "../domain.ts"
import { makeAlarms } from "../evaluation/trust.ts"
import { mostPoints } from "../report/curves.ts"
import type { StoredReport } from "../stages/RunState.ts"
import { Archive, type Extent } from "./archive.ts"

/** Runs that are remembered. */
const mostRuns = 16
/** Alarms of a run that are told, the last ones. */
const mostAlarms = 100
/** Reports that are read at once; other work gets a turn between two lots. */
const lot = 500
/** Steps whose reports are kept whole, the last ones. */
const recent = 50

/** The mean of some neighbouring steps, of those that have each metric. */
class Point {
  readonly step: number
  steps = 0
  readonly #sums = new Map<string, { sum: number; n: number }>()
  constructor(step: number) {
    this.step = step
  }
  add(metrics: Readonly<Record<string, number>>): void {
    this.steps++
    for (const name of Object.keys(metrics)) this.#take(name, metrics[name]!, 1)
  }
  /** The next point's steps become this one's too. */
  join(next: Point): void {
    this.steps += next.steps
    for (const [name, { n, sum }] of next.#sums) this.#take(name, sum, n)
  }
  #take(name: string, sum: number, n: number): void {
    const known = this.#sums.get(name)
    if (known === undefined) this.#sums.set(name, { sum, n })
    else {
      known.sum += sum
      known.n += n
    }
  }
  get row(): { readonly step: number } & Readonly<Record<string, number>> {
    return { ...Object.fromEntries([...this.#sums].map(([name, { n, sum }]) => [name, sum / n])), step: this.step }
  }
}

/** Reports in their order, as points of equally many steps: once there are too many, each two become one. */
export class Points {
  readonly #most: number
  /** Steps of a point, a power of two. */
  every = 1
  #points: Array<Point> = []
  /** @param most points, even */
  constructor(most: number) {
    this.#most = most
  }
  add(step: number, metrics: Readonly<Record<string, number>>): void {
    const last = this.#points.at(-1)
    if (last !== undefined && last.steps < this.every) return last.add(metrics)
    if (this.#points.length === this.#most) {
      this.every *= 2
      this.#points = this.#points.flatMap((point, n) => {
        if (n % 2 === 1) return []
        point.join(this.#points[n + 1]!)
        return [point]
      })
    }
    const point = new Point(step)
    point.add(metrics)
    this.#points.push(point)
  }
  get rows(): ReadonlyArray<{ readonly step: number } & Readonly<Record<string, number>>> {
    return this.#points.map(({ row }) => row)
  }
}

/** What a run's reports come to so far. */
export class Remembered {
  /** The first step that was not read. */
  next = 0
  alarms: ReadonlyArray<Alarm> = []
  /** The last reports, oldest first. */
  last: ReadonlyArray<StoredReport> = []
  readonly points = new Points(mostPoints)
  readonly #alarmsOf = makeAlarms()
  /** Seconds of each step: what a checkpoint covers is timed better there. */
  readonly #seconds = new Map<number, number>()
  #total = 0

  take(reports: ReadonlyArray<StoredReport>, { timed }: Extent): void {
    for (const report of reports) {
      this.points.add(report.step, report.metrics)
      this.alarms = [...this.alarms, ...this.#alarmsOf(report)].slice(-mostAlarms)
      const seconds = report.metrics["seconds/step"] ?? 0
      this.#seconds.set(report.step, seconds)
      this.#total += seconds
      this.next = report.step + 1
    }
    this.last = [...this.last, ...reports].slice(-recent)
    for (const [step, seconds] of this.#seconds) {
      if (step >= timed.steps) break
      this.#seconds.delete(step)
      this.#total -= seconds
    }
  }

  /** Wall clock of all steps, seconds. */
  seconds({ timed }: Extent): number {
    return timed.seconds + this.#total
  }
}

export const makeMemory = () => {
  const runs = new Map<string, Remembered>()
  /** Reads what is new of a run. @param folder its whole path */
  return Effect.fnUntraced(function*(folder: string, extent: Extent) {
    const archive = yield* Archive
    let known = runs.get(folder)
    // A run that went back to a checkpoint makes those steps again.
    if (known === undefined || known.next > (extent.lastStep ?? -1) + 1) known = new Remembered()
    runs.delete(folder)
    runs.set(folder, known)
    for (const oldest of runs.keys()) {
      if (runs.size <= mostRuns) break
      runs.delete(oldest)
    }
    for (;;) {
      const from = known.next
      const news = yield* archive.reportsAfter(folder, from - 1, lot)
      // Somebody else may have read them meanwhile.
      if (known.next === from) known.take(news, extent)
      if (news.length < lot) return known
      yield* Effect.yieldNow
    }
  })
}
export type Memory = ReturnType<typeof makeMemory>
