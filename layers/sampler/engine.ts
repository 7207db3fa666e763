/** What all sampling servers have in common: what they are asked, and what they tell. */
import type { Effect } from "effect"
import type { Finish } from "../../src/domain.ts"
import { isPlain, type SamplingOptions } from "../../src/engine/sampling/sampling.ts"
import type { PolicyTokenizer } from "../../src/model/tokenizer/tokenizer.ts"
import { type AdapterLost, AnswerUnusable } from "./server-call.ts"

/** Candidates of one prompt, asked in one request. */
export interface Work {
  /** Chat template and prefill included. */
  readonly promptIds: ReadonlyArray<number>
  /** Of each candidate. */
  readonly seeds: ReadonlyArray<number>
  readonly options: SamplingOptions
  /** >= 1 */
  readonly maxNewTokens: number
  /** A candidate ends after the token that completes this text. */
  readonly stop: string
}

/** A candidate as its server told it. */
export interface Told {
  readonly ids: ReadonlyArray<number>
  /** log p of each, nats, at temperature 1 before any filter; for SGLang see `Engine.tellsPlain`. */
  readonly logps: ReadonlyArray<number>
  /** log p of each under what it was drawn from, where that is another and the server tells it. */
  readonly drawnLogps: ReadonlyArray<number> | undefined
  readonly finish: Finish
}

/** What is known of the policy that draws. */
export interface Reader {
  readonly tokenizer: PolicyTokenizer
  /** Tokens that the model knows; its tokenizer may know fewer. */
  readonly vocab: number
}

type Post = readonly [path: string, body: unknown]

export interface Engine {
  readonly name: "vllm" | "sglang" | "vequinox"
  /** Most candidates of one request. */
  readonly most: number
  readonly load: (adapter: string, folder: string) => Post
  readonly unload: (adapter: string) => Post
  /** Whether these words of a refused load say that the adapter is there already. */
  readonly isThere: (said: string) => boolean
  readonly ask: (adapter: string, work: Work, eosIds: ReadonlyArray<number>) => Post
  /** Whether this refusal says that it knows no such adapter. */
  readonly isLost: (status: number, said: string) => boolean
  /** The candidates in the order of their seeds. Fails with `AdapterLost` if the answer is another model's. */
  readonly read: (body: string, adapter: string, work: Work, reader: Reader) => Effect.Effect<ReadonlyArray<Told>, AdapterLost | AnswerUnusable>
  /** Whether it tells `logps` at temperature 1 when it draws with these options. */
  readonly tellsPlain: (options: SamplingOptions) => boolean
  /** Whether it tells what tokens were drawn from where that is not the policy itself. */
  readonly tellsDrawn: boolean
}

/** What a candidate's tokens were drawn from: absent where that is the policy itself, or where nobody knows. */
export const drawnLogpsOf = (options: SamplingOptions, logps: ReadonlyArray<number>, told: ReadonlyArray<number> | undefined) =>
  isPlain(options) ? undefined : told ?? (options.temperature === 0 ? logps.map(() => 0) : undefined)

export const unusable = (why: string) => new AnswerUnusable({ message: `its answer cannot be used: ${why}` })

/** What is wrong with these tokens and log-probabilities, or undefined. */
export const oddIn = (ids: ReadonlyArray<number>, logps: ReadonlyArray<number>, { maxNewTokens }: Work, { vocab }: Reader): string | undefined =>
  ids.length === 0
    ? "a candidate has no tokens"
    : ids.length > maxNewTokens
    ? `a candidate has ${ids.length} tokens, and ${maxNewTokens} were asked for`
    : ids.length !== logps.length
    ? `a candidate has ${ids.length} tokens and ${logps.length} log-probabilities`
    : ids.some((id) => id < 0 || id >= vocab)
    ? "a candidate has a token that the policy does not have"
    : logps.some((logp) => logp > 1e-3)
    ? "a log-probability is over 0"
    : undefined

/** A rounding above 0 counts as 0. */
export const notOver0 = (logp: number): number => Math.min(0, logp)
