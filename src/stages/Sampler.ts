/** Draws candidates from the policy. */
import { Context, type Effect, Schema } from "effect"
import type { Candidate, Prompt } from "../domain.ts"
import { hash32, wordsOf } from "../engine/random.ts"
import type { PolicySnapshot } from "./Policy.ts"

/** The sampler cannot continue: the runtime failed, memory is short, or servers cannot be drawn from. */
export class SamplerFailed extends Schema.TaggedError<SamplerFailed>()("SamplerFailed", {
  message: Schema.String,
  /**
   * Of servers. `unreachable`: none has answered for too long; `refused`: asked again, it would refuse again; `unknown`: it
   * does not answer under the version that is asked; `disagrees`: its log-probabilities are not the trainer's.
   */
  kind: Schema.optionalKey(Schema.Literals(["unreachable", "refused", "unknown", "disagrees"]))
}) {}

/** How a question is put that does not ask for a drawing of its prompt: a critic's, or a correction's. */
export interface AnswerForm {
  /** User message; `{prompt}` stands for the prompt's text. */
  readonly promptTemplate: string
  /** How the answer begins. */
  readonly prefill: string
  /** Sampling ends after the token that completes this text. */
  readonly stop: string
}

export interface SampleRequest {
  /**
   * The training step that the candidates are for; it is recorded, and hashed into their seeds, and does nothing else.
   */
  readonly step: number
  readonly prompts: ReadonlyArray<Prompt>
  /** Candidates a prompt. */
  readonly k: number
  /** The run's seed: a candidate's own seed is hash(seed, step, prompt id, index). */
  readonly seed: number
  readonly policy: PolicySnapshot
  /** >= 0; 0 is greedy. Draws from the policy at this temperature, without the sampler's own temperature and filters. */
  readonly temperature?: number | undefined
  /** In place of the sampler's own. `svg` of a candidate is then its prefill and completion, whatever they are. */
  readonly form?: AnswerForm | undefined
}

export class Sampler extends Context.Service<Sampler, {
  readonly name: string
  /** `[prompt][k]`, in the order asked for. A candidate's random numbers do not depend on what is sampled beside it. */
  readonly sample: (request: SampleRequest) => Effect.Effect<ReadonlyArray<ReadonlyArray<Candidate>>, SamplerFailed>
  /** Tokens that an answer to the prompt may have; below 1 if the prompt is too long to be asked. Default: no limit. */
  readonly room?: (prompt: Prompt, form?: AnswerForm) => Effect.Effect<number, SamplerFailed>
}>()("vequinox/Sampler") {}

/** Key of a candidate's random numbers: the same whatever else is sampled beside it. */
export const candidateSeed = (seed: number, step: number, prompt: Prompt, index: number): number =>
  hash32(seed, step, ...wordsOf(prompt.id), index)
