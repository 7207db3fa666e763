/**
 * Notices a run that runs away. Judges each step by its metrics alone, so that a resumed run sees what the run saw that
 * never stopped. Compared with the first three steps of the run; drawings, where a curriculum widens, with the first three
 * since then, as other prompts have drawings of another length:
 *
 * - `not_finite`: the loss or its gradient is not a finite number;
 * - `loss`: the losses of two steps in a row are over three times the lowest, or the median of five is over 1.5 times it;
 *   of the part that pairs have in them, which starts above 0 and falls. What a likelihood adds (rpo_alpha) is taken off:
 *   it follows which drawings were chosen. It also holds a policy back whose pairs go wrong for a while, so beside it the
 *   median may be 2.5 times the lowest;
 * - `moved`: the mean log-ratio to the reference over the drawings of a step, `objective/kl`, is below minus a quarter of
 *   the drawings' first entropy. They were drawn from the policy, a version or so ago, so no small step makes it negative;
 * - `entropy`: drawings have over three times as many nats in two steps in a row;
 * - `validity`: over the last three steps (more if a step has few drawings) less than half as many render, and that by
 *   more than four standard errors.
 *
 * Default runs stay clear of it: of three (seeds 101, 102, 103) the median of five losses of pairs came to 1.9 times the first,
 * two in a row to 1.9, `objective/kl` stayed above -0.11 nats, entropy under 1.5 times the first, and 0.91 or more of the
 * drawings rendered; of nine earlier ones none had a median over 1.8 or two in a row over 2.2. At 30 times the
 * learning rate the fifth update gave -23 nats, and 0.09 of the next drawings rendered; on an earlier base the second to
 * fifth gave -18 to -300. The gradient's norm is no sign: it grows fourfold in healthy runs, and clipping bounds what it does.
 */
import { stageMetric, type StepReport } from "../domain.ts"

export type Sign = "not_finite" | "loss" | "moved" | "entropy" | "validity"
export const signs: ReadonlyArray<Sign> = ["not_finite", "loss", "moved", "entropy", "validity"]

/** Names in metrics.jsonl. */
export const metricOfSign = (sign: Sign): string => `trust/diverged/${sign}`
/** The version whose parameters the run went back to, 0 for its start. */
export const backTo = "trust/back_to"
/** What the learning rate is multiplied with from then on. */
export const rateMetric = "trust/rate"
/** 1 where training ended for it. */
export const stoppedMetric = "trust/stopped"

export interface WatchOptions {
  /** Drawings of a step. */
  readonly drawings: number
  /** Whether losses can be compared with one another: an advantage's cannot, it may have any sign. */
  readonly losses: boolean
  /** How often `nll_loss` is in the loss (rpo_alpha). Default 0: a loss beside which it is reported is no loss of pairs. */
  readonly likelihood?: number | undefined
}

const firstSteps = 3
/** Steps of a median loss. */
const slow = 5
/** Fewest drawings whose validity is compared. */
const enough = 48

const mean = (xs: ReadonlyArray<number>): number => xs.reduce((sum, x) => sum + x, 0) / xs.length
const median = (xs: ReadonlyArray<number>): number => xs.toSorted((a, b) => a - b)[Math.floor(xs.length / 2)]!
const known = (steps: ReadonlyArray<StepReport>, name: string): Array<number> =>
  steps.flatMap(({ metrics }) => metrics[name] ?? [])

/** Sees the steps of a run in order. */
export class DivergenceWatch {
  readonly #options: WatchOptions
  #first: Array<StepReport> = []
  /** The first ones whose drawings are of prompts as wide as now. */
  #firstOfStage: Array<StepReport> = []
  #stage: number | undefined
  #recent: Array<StepReport> = []
  #discarded: ReadonlyArray<readonly [from: number, to: number]> = []
  #wentBackTo: number | undefined

  constructor(options: WatchOptions) {
    this.#options = options
  }

  /** Whether the run went back to before this version. */
  readonly discarded = (version: number): boolean => this.#discarded.some(([from, to]) => from <= version && version <= to)

  /** The version that the run last went back to. */
  get wentBackTo(): number | undefined {
    return this.#wentBackTo
  }

  /** Why the run has run away as of this step. Drawings of a discarded version say nothing. */
  see(report: StepReport): Sign | undefined {
    if (report.metrics[metricOfSign("not_finite")] === 1) return "not_finite"
    if (this.discarded(report.policyVersion)) return undefined
    const stage = report.metrics[stageMetric]
    if (stage !== this.#stage) [this.#stage, this.#firstOfStage, this.#recent] = [stage, [], []]
    this.#recent = [...this.#recent, report].slice(-Math.max(slow, this.#window))
    for (const first of [this.#first, this.#firstOfStage]) if (first.length < firstSteps) first.push(report)
    return this.#sign(this.#recent)
  }

  /** Whether the last step alone looks as if the run began to run away: no state to go back to. */
  get uneasy(): boolean {
    const last = this.#recent.at(-1)
    return last !== undefined && this.#sign(Array.from({ length: this.#window }, () => last), true) !== undefined
  }

  /** The run went back to `version` after it had seen the step. */
  steppedBack({ step }: Pick<StepReport, "step">, version: number): void {
    this.#discarded = [...this.#discarded, [version + 1, step]]
    this.#wentBackTo = version
    this.#recent = []
  }

  /** Without going back: the same steps do not count again. */
  told(): void {
    this.#recent = []
  }

  get #window(): number {
    return Math.max(3, Math.ceil(enough / this.#options.drawings))
  }

  /** @param alone whether it is one step, several times: too little for a median loss */
  #sign(recent: ReadonlyArray<StepReport>, alone = false): Sign | undefined {
    const entropy = mean(known(this.#firstOfStage, "objective/entropy"))
    const moved = known(recent, "objective/kl").at(-1)
    if (moved !== undefined && moved < -entropy / 4) return "moved"
    const over = (last: ReadonlyArray<number>, limit: number): boolean => last.length === 2 && last.every((x) => x > limit)
    const { likelihood = 0 } = this.#options
    const ofPairs = (steps: ReadonlyArray<StepReport>): Array<number> =>
      steps.flatMap(({ metrics: { loss, nll_loss } }) =>
        loss === undefined || (nll_loss !== undefined && likelihood === 0) ? [] : [loss - likelihood * (nll_loss ?? 0)])
    const lowest = Math.min(...ofPairs(this.#first))
    const losses = ofPairs(recent).slice(-slow)
    const rising = !alone && losses.length === slow && median(losses) > (likelihood === 0 ? 1.5 : 2.5) * lowest
    if (this.#options.losses && (rising || over(losses.slice(-2), 3 * lowest))) return "loss"
    if (over(known(recent, "objective/entropy").slice(-2), 3 * entropy)) return "entropy"
    const valid = known(recent, "svg/valid").slice(-this.#window)
    if (valid.length < this.#window) return undefined
    const [before, now] = [mean(known(this.#firstOfStage, "svg/valid")), mean(valid)]
    const error = Math.sqrt(before * (1 - before) / (this.#options.drawings * valid.length))
    return now < before / 2 && before - now > 4 * error ? "validity" : undefined
  }
}

const said: Readonly<Record<Sign, string>> = {
  not_finite: "The loss is no finite number",
  loss: "The loss has risen far above what it was at first",
  moved: "The policy moved so far in one update that its own last drawings are unlikely",
  entropy: "The drawings are over three times as random as at first",
  validity: "Less than half as many drawings render as at first"
}

const steps = (n: number): string => `${n} step${n === 1 ? "" : "s"}`

/**
 * What a step's metrics say about divergence, a sentence for people, or undefined.
 *
 * @param metrics of a line of metrics.jsonl
 */
export const divergence = (metrics: Readonly<Record<string, number>>): string | undefined => {
  const sign = signs.find((sign) => metrics[metricOfSign(sign)] === 1)
  if (sign === undefined) return undefined
  const to = metrics[backTo]
  if (to === undefined) return `${said[sign]}: the run may be diverging. Lower --learning-rate.`
  const state = to === 0 ? "its start" : `its state after ${steps(to)}`
  return metrics[stoppedMetric] === 1
    ? `${said[sign]}, so training stopped. ${
      to === 0 ? "The adapter is what the run started from: nothing was learned" : `The adapter is that after ${steps(to)}, the last good one`
    }. Begin a new run with a lower --learning-rate.`
    : `${said[sign]}: the run went back to ${state} and goes on at 1/${Math.round(1 / metrics[rateMetric]!)} of its learning rate.`
}

/** The last sentence of a run that stopped because it diverged. */
export const stopOf = (reports: ReadonlyArray<StepReport>): string | undefined => {
  const last = reports.at(-1)
  return last?.metrics[stoppedMetric] === 1 ? divergence(last.metrics) : undefined
}
