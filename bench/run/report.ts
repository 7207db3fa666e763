/** What a profile says, as data and as tables for a terminal. */
import * as os from "node:os"
import { Schema } from "effect"
import { runtimeVersion } from "../../layers/onnx/session.ts"
import type { Limits } from "./limits.ts"
import type { Measurement } from "./measure.ts"
import { type Time, timeOf } from "./shares.ts"
import { type Stages, stageNames } from "./stages.ts"

const Share = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
const Positive = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))
const Spent = Schema.Struct({
  seconds: Positive,
  secondsWithoutProfile: Positive,
  /** Without the profile. */
  tokensPerSecond: Positive,
  parts: Schema.Array(Schema.Struct({ part: Schema.String, seconds: Positive, share: Share }))
})

/** Of `--json`. Seconds are of one step; rates are a second, of the time in kernels. */
export const Report = Schema.Struct({
  machine: Schema.Struct({ processor: Schema.String, cores: Schema.Int, node: Schema.String, onnxruntime: Schema.String, coresUsedByOthers: Positive }),
  model: Schema.Struct({ name: Schema.String, parameters: Schema.Int, samplerPrecision: Schema.String }),
  run: Schema.Struct({ prompts: Schema.Int, drawingsAPrompt: Schema.Int, steps: Schema.Int, threads: Schema.Int }),
  /** Undefined where the model has no tokenizer. */
  stages: Schema.optionalKey(Schema.Record(Schema.Literals(stageNames), Positive)),
  sampler: Spent,
  trainer: Spent,
  limits: Schema.Struct({
    gigabytesPerSecond: Positive,
    gigaflopsPerSecond: Positive,
    decoding: Schema.Struct({ megabytesARun: Positive, gigabytesPerSecond: Positive, shareOfBandwidth: Positive, gigaflopsPerSecond: Positive, shareOfPeak: Positive }),
    training: Schema.Struct({ gigaflopsAStep: Positive, gigaflopsPerSecond: Positive, shareOfPeak: Positive })
  }),
  /** Seconds of the processor with the profile by those without. */
  profiling: Schema.Struct({ sampler: Positive, trainer: Positive })
})
export type Report = typeof Report.Type

export interface Found {
  readonly name: string
  readonly prompts: number
  readonly drawingsAPrompt: number
  readonly measurement: Measurement
  readonly limits: Limits
  readonly stages: Stages | undefined
}

export const reportOf = ({ drawingsAPrompt, limits, measurement: m, name, prompts, stages }: Found): Report => {
  const { steps } = m.sampler
  const spent = (time: Time, plain: number, tokens: number) => ({ ...time, secondsWithoutProfile: plain, tokensPerSecond: tokens / steps / plain })
  const decodes = m.sampler.sessions.filter(({ kind }) => kind === "decode")
  const updates = m.trainer.sessions.filter(({ kind }) => kind === "update")
  // What the profile itself takes lies between kernels.
  const inKernels = ({ kernels }: (typeof decodes)[number]) => Object.values(kernels.parts).reduce((n, own) => n + own, 0)
  const total = (of: typeof decodes, f: (session: (typeof decodes)[number]) => number) => of.reduce((n, session) => n + f(session), 0)
  const decodeSeconds = total(decodes, inKernels)
  const bytes = total(decodes, ({ kernels, weightBytes }) => kernels.runs * weightBytes)
  const operations = total(decodes, ({ kernels }) => kernels.operations)
  const trained = total(updates, ({ kernels }) => kernels.operations)
  const updateSeconds = total(updates, inKernels)
  return {
    machine: { processor: os.cpus()[0]?.model ?? "unknown", cores: os.cpus().length, node: process.versions.node, onnxruntime: runtimeVersion, coresUsedByOthers: m.othersCores },
    model: { name, parameters: m.parameters, samplerPrecision: m.precision },
    run: { prompts, drawingsAPrompt, steps, threads: m.threads },
    ...(stages === undefined ? {} : { stages }),
    sampler: spent(timeOf(m.sampler, "decode"), m.plain.sampler, m.tokens.drawn),
    trainer: spent(timeOf(m.trainer, "update"), m.plain.trainer, m.tokens.trained),
    limits: {
      gigabytesPerSecond: limits.bandwidth / 1e9,
      gigaflopsPerSecond: limits.peak / 1e9,
      decoding: {
        megabytesARun: bytes / Math.max(1, total(decodes, ({ kernels }) => kernels.runs)) / 1e6,
        gigabytesPerSecond: bytes / decodeSeconds / 1e9,
        shareOfBandwidth: bytes / decodeSeconds / limits.bandwidth,
        gigaflopsPerSecond: operations / decodeSeconds / 1e9,
        shareOfPeak: operations / decodeSeconds / limits.peak
      },
      training: { gigaflopsAStep: trained / steps / 1e9, gigaflopsPerSecond: trained / updateSeconds / 1e9, shareOfPeak: trained / updateSeconds / limits.peak }
    },
    profiling: m.slower
  }
}

/** What each part is, for people. */
const meanings: Readonly<Record<string, string>> = {
  weights: "matrices of the layers",
  attention: "queries, keys, values, what is made of them",
  head: "scores over the vocabulary",
  adapters: "LoRA's factors",
  norms: "norms, activations, sums",
  embedding: "rows of the table",
  objective: "the loss",
  unknown: "kernels without a part",
  "between kernels": "onnxruntime's own steps, and what its profile takes",
  prompts: "reading prompts, all parts",
  scores: "one drawing under the original weights",
  copies: "outputs copied out, the binding",
  choosing: "tokens, ends, stops",
  cache: "keys and values put into place",
  feeds: "inputs made, outputs taken apart",
  optimizer: "gradients summed and clipped, AdamW",
  sessions: "made anew for a new adapter",
  garbage: "collected",
  waiting: "for the event loop",
  other: "everything else of the thread",
  messages: "calls and answers between threads"
}

const percent = (x: number) => `${(100 * x).toFixed(1)} %`
const short = (x: number) => (x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x >= 0.1 ? x.toFixed(2) : x.toFixed(4))

const rowsOf = (title: string, { parts, seconds, secondsWithoutProfile, tokensPerSecond }: Report["sampler"]): ReadonlyArray<string> => [
  `${title}: ${short(secondsWithoutProfile)} s a step, ${short(tokensPerSecond)} tokens a second; with the profile ${short(seconds)} s:`,
  ...parts.map(({ part, seconds, share }) => `  ${part.padEnd(16)}${short(seconds).padStart(9)} s${percent(share).padStart(9)}   ${meanings[part] ?? ""}`)
]

/** Lines for a terminal. */
export const tableOf = (r: Report): string => {
  const { limits: { decoding, training, ...limits }, machine, model, run } = r
  return [
    `${model.name}: ${(model.parameters / 1e6).toFixed(1)} M parameters, drawn from in ${model.samplerPrecision}; ${run.prompts} x ${run.drawingsAPrompt} drawings a step; steps: ${run.steps}, threads of a run: ${run.threads}`,
    `${machine.processor}, ${machine.cores} cores, of which others used ${machine.coresUsedByOthers.toFixed(1)}; Node ${machine.node}, onnxruntime ${machine.onnxruntime}`,
    ...(r.stages === undefined ? [] : ["", "A step of the run by stage, seconds (they overlap)", `  ${stageNames.map((name) => `${name} ${short(r.stages![name])}`).join(", ")}`]),
    "",
    ...rowsOf("Sampler", r.sampler),
    "",
    ...rowsOf("Trainer", r.trainer),
    "",
    `Limits of ${run.threads === 1 ? "one thread" : `${run.threads} threads`}: ${short(limits.gigabytesPerSecond)} GB/s read, ${short(limits.gigaflopsPerSecond)} GF/s in one float32 product`,
    `  decoding reads ${short(decoding.megabytesARun)} MB of matrices for each token of all rows: ${short(decoding.gigabytesPerSecond)} GB/s, ${percent(decoding.shareOfBandwidth)} of the bandwidth`,
    `  and computes ${short(decoding.gigaflopsPerSecond)} GF/s, ${percent(decoding.shareOfPeak)} of the peak`,
    `  training computes ${short(training.gigaflopsAStep)} GF a step: ${short(training.gigaflopsPerSecond)} GF/s, ${percent(training.shareOfPeak)} of the peak`,
    `The profile itself: the sampler took ${r.profiling.sampler.toFixed(2)} times the processor's time that it takes without one, the trainer ${r.profiling.trainer.toFixed(2)} times`
  ].join("\n")
}
