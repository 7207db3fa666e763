/** Continues texts token by token for many callers at once, who come and go. */
import { Context, type Effect, Schema, type Scope, type Stream } from "effect"
import type { Finish } from "../domain.ts"
import { hash32 } from "../engine/random.ts"
import type { SamplingOptions } from "../engine/sampling/sampling.ts"
import type { LoraConfig } from "../engine/weights/parameters.ts"
import type { Parameters } from "../engine/weights/tensor.ts"

/** The engine failed; what was under way is lost, later requests may succeed. */
export class CompletionsFailed extends Schema.TaggedError<CompletionsFailed>()("CompletionsFailed", {
  message: Schema.String
}) {}

/** All places and the whole queue are taken: try again later. */
export class CompletionsFull extends Schema.TaggedError<CompletionsFull>()("CompletionsFull", {
  message: Schema.String
}) {}

/** No adapter of that name is held. */
export class AdapterUnknown extends Schema.TaggedError<AdapterUnknown>()("AdapterUnknown", {
  name: Schema.String
}) {}

export interface CompletionRequest {
  /** Name of an adapter that is held; undefined: the base. */
  readonly adapter: string | undefined
  /** Prompt tokens, chat template and prefill included. */
  readonly ids: ReadonlyArray<number>
  /** Keys of the completions' random numbers: one completion for each. */
  readonly seeds: ReadonlyArray<number>
  readonly options: SamplingOptions
  /** A completion ends after the token that completes one of these texts. */
  readonly stops: ReadonlyArray<string>
  /** Those of them that are no part of its text: that ends before them. */
  readonly cut: ReadonlyArray<string>
  /** Longest completion, tokens; >= 1, and with the prompt no more than the service's `maxLength`. */
  readonly limit: number
  /** How many of the likeliest tokens are told at each place; undefined: none. */
  readonly topLogprobs: number | undefined
}

/** What a completion has gained. */
export interface Piece {
  /** Which completion: index of its seed. */
  readonly index: number
  /** What its text has gained: less than its tokens say, where the rest is not certain yet. */
  readonly text: string
  readonly ids: ReadonlyArray<number>
  /** log p of each token under the unfiltered policy at temperature 1, nats. */
  readonly logps: ReadonlyArray<number>
  /** log p of each token under what it was drawn from, temperature and filters applied, nats. */
  readonly drawnLogps: ReadonlyArray<number>
  /** The likeliest tokens at each place and their log p in nats, if they were asked for. */
  readonly top: ReadonlyArray<ReadonlyArray<readonly [id: number, logp: number]>>
  /** With the last piece of a completion, why it ended. */
  readonly finish: Finish | undefined
}

export interface CompletionFigures {
  /** Completions that wait for a place or are decoded. */
  readonly open: number
  /** Most of them. */
  readonly most: number
}

export class Completions extends Context.Service<Completions, {
  /** Most tokens of prompt and completion together. */
  readonly maxLength: number
  /**
   * Begins a request at once. The stream ends when each completion has ended; all places are free again when the scope
   * closes, whatever was read. What is drawn depends on the request alone, not on what is decoded beside it.
   */
  readonly complete: (
    request: CompletionRequest
  ) => Effect.Effect<Stream.Stream<Piece, CompletionsFailed>, AdapterUnknown | CompletionsFull | CompletionsFailed, Scope.Scope>
  /** Holds an adapter under a name, in place of the one that it had; requests that have begun go on with that. */
  readonly hold: (name: string, lora: LoraConfig, parameters: Parameters) => Effect.Effect<void, CompletionsFailed>
  /** Requests that have begun go on with it. */
  readonly letGo: (name: string) => Effect.Effect<void, AdapterUnknown | CompletionsFailed>
  readonly figures: Effect.Effect<CompletionFigures>
}>()("vequinox/Completions") {}

/** Key of the random numbers of a request's completion. */
export const completionSeed = (seed: number, index: number): number => hash32(seed, index)
