/** Says what is wrong with drawings, and how to mend them: IntroSVG's critic, by whatever model is at hand. */
import { Context, type Effect } from "effect"
import type { Prompt, Rendering } from "../domain.ts"
import type { Critique } from "../roles/roles.ts"
import type { JudgeStopped } from "./Judge.ts"
import type { SamplerFailed } from "./Sampler.ts"

export interface Draft {
  readonly prompt: Prompt
  readonly rendering: Rendering
  /** A better drawing of the prompt, if there is one: IntroSVG's teacher sees one too. */
  readonly reference?: Rendering
}

/** A critic's answer about one draft. */
export interface Told {
  /** Undefined: there was no usable answer. */
  readonly critique: Critique | undefined
  /** Why there is none, one line. */
  readonly problem?: string
  /** Tokens that the policy drew for it. */
  readonly tokens: number
  /** What it cost, USD. */
  readonly costUsd: number
}

export class Critic extends Context.Service<Critic, {
  readonly name: string
  /** Model, words, temperature: an answer is reused only under the same identity. */
  readonly identity: string
  /** One answer for each draft, in their order. A draft without an answer fails nothing. */
  readonly critique: (drafts: ReadonlyArray<Draft>) => Effect.Effect<ReadonlyArray<Told>, JudgeStopped | SamplerFailed>
}>()("vequinox/Critic") {}
