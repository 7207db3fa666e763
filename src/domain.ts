/**
 * The data that flows through the pipeline: plain data, no services, no native handles.
 *
 * A drawing is text until it is rendered; after that, a judge gets only its pixels.
 */
import { Schema } from "effect"

/** One thing to draw. `id` is stable across runs: the same text has the same id. */
export class Prompt extends Schema.Class<Prompt>("vequinox/Prompt")({
  id: Schema.String,
  text: Schema.String
}) {}

/**
 * Why a candidate's text ended: the stop string, the end-of-sequence token, the limit on new tokens, or (if the sampler
 * checks for it) text that can no longer become well-formed.
 */
export const Finish = Schema.Literals(["stop", "eos", "length", "malformed"])
export type Finish = typeof Finish.Type

/** One completion of one prompt, exactly as it was sampled. */
export class Candidate extends Schema.Class<Candidate>("vequinox/Candidate")({
  prompt: Prompt,
  /** Which rollout (training step, from 0) it was sampled for. */
  step: Schema.Int,
  /** Position among the K candidates of its prompt, 0..K-1. */
  index: Schema.Int,
  /** The policy version its tokens were drawn from. */
  policyVersion: Schema.Int,
  /** Key of its random numbers: the same seed, prompt and policy give the same tokens. */
  seed: Schema.Int,
  /** Prompt tokens, the chat template and the assistant prefill included. Never trained. */
  promptIds: Schema.Array(Schema.Int),
  /** Sampled tokens, the end-of-sequence token included when one was drawn. */
  completionIds: Schema.Array(Schema.Int),
  /** log p(token) of each completion token in nats, under the sampling policy at temperature 1, before any filter. */
  logps: Schema.Array(Schema.Finite),
  /** log p of each under what it was drawn from: temperature and filters applied. Absent where `logps` is that. */
  drawnLogps: Schema.optionalKey(Schema.Array(Schema.Finite)),
  /** `logps` under the unquantized policy. Only some candidates of a quantized sampler have it. */
  exactLogps: Schema.optionalKey(Schema.Array(Schema.Finite)),
  /** Times that the policy was run to draw it, where a draft can save some. */
  forwards: Schema.optionalKey(Schema.Int),
  /** Prefill and completion as text: what the renderer is given. */
  svg: Schema.String,
  finish: Finish
}) {}

/** RGBA, 8 bits a channel, row by row from the top left, opaque background. All that a judge may see of a drawing. */
export class Picture extends Schema.Class<Picture>("vequinox/Picture")({
  /** SHA-256 of the pixels, hex. */
  hash: Schema.String,
  /** Pixels. */
  width: Schema.Int,
  /** Pixels. */
  height: Schema.Int,
  /** `[height * width * 4]` */
  rgba: Schema.Uint8Array
}) {}

/** Why the gate turned a drawing away, cheapest test first. */
export const RejectReason = Schema.Literals([
  "no-svg", // no <svg ...>...</svg> in the text, or cut off before its end
  "too-large", // bytes, elements, attributes or nesting over the limits
  "malformed", // not well-formed XML
  "not-svg", // the root is not svg in the SVG namespace
  "forbidden", // script, foreignObject, image, external references, DTD, animation, unknown elements
  "text", // drawn letters, where the prompt does not ask for text
  "bad-number", // a number that is not finite or is out of range, an aspect ratio over the limit
  "cycle", // references that form a cycle, or cost too much when expanded
  "render-error", // the renderer refused it
  "blank" // nothing, or next to nothing, is visible
])
export type RejectReason = typeof RejectReason.Type

/** Why the renderer's child process was ended. */
export const KillReason = Schema.Literals(["deadline", "memory", "crash"])
export type KillReason = typeof KillReason.Type

/**
 * The result of rendering a drawing's text. A rejected or killed drawing is a result like any other: counted, stored
 * and shown.
 */
export const Rendering = Schema.Union([
  /** `bare`: the picture without its letters, if letters were allowed and the drawing has some. */
  Schema.TaggedStruct("Rendered", { picture: Picture, bare: Schema.optionalKey(Picture) }),
  Schema.TaggedStruct("Rejected", { reason: RejectReason, detail: Schema.String }),
  Schema.TaggedStruct("Killed", { reason: KillReason, detail: Schema.String })
])
export type Rendering = typeof Rendering.Type

/**
 * What is known about a pair. `A` or `B` may become a preference; so may a `tie`, if ties are trained. `invalid`: both
 * drawings failed to render. `failed`: the judge gave no usable answer; never a label.
 */
export const Outcome = Schema.Literals(["A", "B", "tie", "invalid", "failed"])
export type Outcome = typeof Outcome.Type

/** An answer about drawing A and drawing B of one prompt. */
export class Verdict extends Schema.Class<Verdict>("vequinox/Verdict")({
  outcome: Outcome,
  /** How sure, in [0, 1]; 0 for tie, invalid and failed. */
  confidence: Schema.Finite,
  /** The judge's scores of A and B in its own unit, if it gives scores. */
  scores: Schema.optionalKey(Schema.Tuple([Schema.Finite, Schema.Finite])),
  /** What `scores` were made from, by name, each in its own unit: the scores of A and B by each term of a blend. */
  terms: Schema.optionalKey(Schema.Record(Schema.String, Schema.Tuple([Schema.Finite, Schema.Finite]))),
  /** `gate` when one drawing was invalid and no judge was asked; else the judge's name. */
  by: Schema.String,
  /** One line for people. */
  reason: Schema.optionalKey(Schema.String),
  /** What this verdict cost, USD. */
  costUsd: Schema.optionalKey(Schema.Finite),
  /**
   * Which place the judge chose when it saw the two pictures side by side, one entry for each order asked; the second
   * order swaps the places. Tells a preference for a drawing from a preference for a place.
   */
  places: Schema.optionalKey(Schema.Array(Schema.Literals(["first", "second", "tie"])))
}) {}

/** Two candidates of one prompt and what was decided about them. */
export class JudgedPair extends Schema.Class<JudgedPair>("vequinox/JudgedPair")({
  a: Candidate,
  b: Candidate,
  verdict: Verdict
}) {}

/** A trainable pair. */
export class Preference extends Schema.TaggedClass<Preference>("vequinox/Preference")("Preference", {
  prompt: Prompt,
  chosen: Candidate,
  rejected: Candidate,
  /** Probability that chosen is the better one, [0.5, 1]: 1 is a plain label, 0.5 a tie. */
  label: Schema.Finite,
  /** Multiplies the pair's loss; >= 0, default 1. */
  weight: Schema.Finite,
  verdict: Verdict
}) {}

/** One candidate, and how much better or worse it is than the others of its prompt. */
export class Advantage extends Schema.TaggedClass<Advantage>("vequinox/Advantage")("Advantage", {
  prompt: Prompt,
  /** Its `logps` are those it was drawn with; an objective can correct a stale candidate with them. */
  candidate: Candidate,
  /** Signed, in the unit of the reward: above 0 the policy moves towards the candidate, below 0 away from it. */
  advantage: Schema.Finite,
  /** Multiplies the candidate's loss; >= 0, default 1. */
  weight: Schema.Finite
}) {}

/** What an optimizer learns from. */
export type Lesson = Preference | Advantage

export const isPreference = (lesson: Lesson): lesson is Preference => lesson._tag === "Preference"

/** A candidate with its rendering: what the run folder keeps. */
export interface Drawing {
  readonly candidate: Candidate
  readonly rendering: Rendering
}

/** The stage of a curriculum, from 1, by its name in metrics.jsonl; the prompts widen where it grows. */
export const stageMetric = "curriculum/stage"

/** The K candidates of the prompts of one step, drawn and judged. */
export interface JudgedStep {
  readonly step: number
  readonly policyVersion: number
  readonly drawings: ReadonlyArray<Drawing>
  readonly pairs: ReadonlyArray<JudgedPair>
  readonly seconds: { readonly sample: number; readonly render: number; readonly judge: number }
  /** What the course of prompts says of this rollout, under names of metrics.jsonl. */
  readonly courseMetrics?: Readonly<Record<string, number>> | undefined
}

/** All of one step's results before training. */
export interface Rollout extends JudgedStep {
  readonly lessons: ReadonlyArray<Lesson>
}

/** One line of metrics.jsonl: TRL's names, and `step`, `policyVersion`, `judge/*`, `svg/*`, `pairs/*`, `advantages/*`, `seconds/*`. */
export interface StepReport {
  readonly step: number
  readonly policyVersion: number
  readonly metrics: Readonly<Record<string, number>>
}

/** How often a scorer and the judge agreed. */
export interface Agreement {
  readonly scorer: string
  /** Pairs that both decided: the judge, and the scorer by more than its margin. */
  readonly pairs: number
  /** Kendall's tau of the two over these pairs: (agreements - disagreements) / pairs. */
  readonly tau: number
}

/** Something a person should look into, and the step at which it was seen. */
export interface Alarm {
  readonly step: number
  readonly message: string
}
