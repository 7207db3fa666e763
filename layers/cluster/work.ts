/**
 * What runners do for one another, as durable workflows of effect/workflow: one activity each, whose result is stored before
 * anybody uses it. The same key is carried out once, by whichever runner holds its shard; if that one dies, by the next.
 *
 * A failure is a result too, but not a final one: it says in which life of the optimizer it was given (asking.ts).
 */
import { Schema } from "effect"
import { Workflow } from "effect/workflow"
import { Candidate, Prompt, Verdict } from "../../src/domain.ts"
import { JudgeBusy, JudgeRefused, JudgeStopped } from "../../src/stages/Judge.ts"
import { RendererUnavailable } from "../../src/stages/Renderer.ts"
import { SamplerFailed } from "../../src/stages/Sampler.ts"
import { PicturePng, RenderingPng } from "./picture-png.ts"

/** The runner that did it met a bug. */
export class WorkBroken extends Schema.TaggedError<WorkBroken>()("WorkBroken", {
  message: Schema.String
}) {}

export type Result<A, E> =
  | { readonly _tag: "Done"; readonly value: A }
  | { readonly _tag: "Failed"; readonly life: number; readonly error: E | WorkBroken }

const resultOf = <A extends Schema.Top, E extends Schema.Top>(value: A, error: E) =>
  Schema.Union([
    Schema.TaggedStruct("Done", { value }),
    Schema.TaggedStruct("Failed", { life: Schema.Int, error: Schema.Union([error, WorkBroken]) })
  ])

/** Of every kind of work. */
const asked = {
  /** Hash of everything the result depends on, and of how often it was asked in vain, hex. */
  key: Schema.String,
  /** The life of the optimizer that asks: the number of times that the run was held. */
  life: Schema.Int
}
const idempotencyKey = ({ key }: { readonly key: string }): string => key

/** Parameters in the run's folder, by the SHA-256 of their file, hex (policy-files.ts). */
export const PolicyFile = Schema.Struct({ version: Schema.Int, sha256: Schema.String })
export type PolicyFile = typeof PolicyFile.Type

/** `k` candidates of each prompt. Without `temperature` or `form`, as the run samples. */
export const Sample = Workflow.make("Sample", {
  payload: {
    ...asked,
    policy: PolicyFile,
    step: Schema.Int,
    prompts: Schema.Array(Prompt),
    k: Schema.Int,
    seed: Schema.Int,
    temperature: Schema.optionalKey(Schema.Finite),
    form: Schema.optionalKey(Schema.Struct({ promptTemplate: Schema.String, prefill: Schema.String, stop: Schema.String }))
  },
  success: resultOf(Schema.Array(Schema.Array(Candidate)), SamplerFailed),
  idempotencyKey
})

export const Render = Workflow.make("Render", {
  payload: { ...asked, svg: Schema.String, allowText: Schema.Boolean },
  success: resultOf(RenderingPng, RendererUnavailable),
  idempotencyKey
})

/** Verdicts on all pairs i < j of the pictures, in this order. Two pictures are compared as a pair, more all together. */
export const Compare = Workflow.make("Compare", {
  payload: { ...asked, prompt: Prompt, together: Schema.Boolean, pictures: Schema.Array(PicturePng) },
  success: resultOf(Schema.Array(Verdict), Schema.Union([JudgeBusy, JudgeRefused, JudgeStopped])),
  idempotencyKey
})
