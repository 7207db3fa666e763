/**
 * Sampler: draws on a Tinker server from a version's saved weights (layers/tinker). A version that the server does not hold is never
 * drawn from in another's place.
 *
 * A version is drawn from in a model of its own, made from its training checkpoint: SkyRL's JAX engine puts what is sampled from
 * in its model's place, so that drawing an older version of the model that trains would undo its training.
 */
import { Effect, Layer, Semaphore } from "effect"
import type { Finish } from "../../src/domain.ts"
import { isPlain, type SamplingOptions } from "../../src/engine/sampling/sampling.ts"
import { tokenizing } from "../../src/model/tokenizer/limits.ts"
import type { PolicyTokenizer, PromptFormat } from "../../src/model/tokenizer/tokenizer.ts"
import type { PolicySnapshot } from "../../src/stages/Policy.ts"
import { candidateSeed, Sampler, SamplerFailed, type SampleRequest } from "../../src/stages/Sampler.ts"
import { TinkerRefused } from "../tinker/client.ts"
import type { Tinker } from "../tinker/connect.ts"
import { Held } from "../tinker/models.ts"
import { digestOf, type SavedWeights } from "../tinker/saved.ts"
import { candidateOf } from "./drawn.ts"
import { promptTokens, roomIn } from "./prompt-tokens.ts"

export interface SamplerTinkerOptions {
  readonly tinker: Tinker
  readonly saved: SavedWeights
  readonly tokenizer: PolicyTokenizer
  readonly format: PromptFormat
  readonly sampling: SamplingOptions
  /** The most tokens of a candidate. */
  readonly maxNewTokens: number
  /** The most tokens of prompt and completion together. */
  readonly maxLength: number
  /** Sampling ends after the token that completes this text. */
  readonly stop: string
  /** Versions that are held on the server at once, besides version 0, >= 1. */
  readonly versions: number
  /** Requests under way at once, >= 1. Default 64. */
  readonly concurrency?: number
}

/**
 * Why a Tinker server cannot draw so for training, a sentence, or undefined if it can: the protocol tells a token's log-probability
 * under the policy alone, not under what it was drawn from.
 */
export const undrawable = (sampling: SamplingOptions): string | undefined =>
  isPlain(sampling)
    ? undefined
    : "A Tinker server draws from the policy itself: give temperature 1, top_k 0, top_p 1, min_p 0 and repetition_penalty 1."

/**
 * What is left of a completion: up to its end-of-sequence token, or to the token that completes the stop text.
 * @param limit tokens
 */
export const ended = (ids: ReadonlyArray<number>, texts: ReadonlyArray<string>, eosIds: ReadonlyArray<number>, stop: string, limit: number): { readonly length: number; readonly finish: Finish } => {
  let tail = ""
  for (let n = 0; n < Math.min(ids.length, limit); n++) {
    if (eosIds.includes(ids[n]!)) return { length: n + 1, finish: "eos" }
    tail = (tail + (texts[ids[n]!] ?? "")).slice(-Math.max(64, 2 * stop.length))
    if (tail.includes(stop)) return { length: n + 1, finish: "stop" }
  }
  return { length: Math.min(ids.length, limit), finish: "length" }
}

/** Fails with `SamplerFailed` for settings that the protocol does not know. */
export const layer = (options: SamplerTinkerOptions) =>
  Layer.effect(
    Sampler,
    Effect.gen(function*() {
      const { concurrency = 64, format, maxLength, maxNewTokens, sampling, saved, stop, tinker, tokenizer, versions } = options
      const { models } = tinker
      const refused = undrawable(sampling)
      if (refused !== undefined) return yield* new SamplerFailed({ message: refused })
      const texts = yield* tokenizing(() => tokenizer.tokenTexts).pipe(Effect.mapError(({ message }) => new SamplerFailed({ message })))
      const fresh = digestOf(tinker.initial)
      /** By the weights' digest, the newest last. */
      const held = new Map<string, Held>()
      /** Where a model's sampler checkpoint is, under the id that it had then. */
      const drawn = new Map<Held, { readonly id: string; readonly path: string }>()

      const heldOf = Effect.fnUntraced(function*({ parameters, version }: PolicySnapshot) {
        const digest = digestOf(parameters)
        if (digest === fresh) return tinker.fresh
        const path = saved.find(parameters)
        const known = held.get(digest) ?? (path === undefined ? undefined : new Held(path, false))
        if (known === undefined) {
          return yield* new SamplerFailed({ message: `${tinker.where} holds no weights of version ${version}, and weights cannot be sent there: take the sampler onnx, or begin a new run.` })
        }
        held.delete(digest)
        held.set(digest, known)
        for (const [other, old] of [...held].slice(0, -versions)) {
          held.delete(other)
          drawn.delete(old)
          yield* models.drop(old)
        }
        return known
      })

      const saving = yield* Semaphore.make(1) // two calls may draw from one version
      const pathOf = Effect.fnUntraced(function*(of: Held, id: string) {
        const known = drawn.get(of)
        if (known?.id === id) return known.path
        const path = yield* models.saveForSampler(id, "drawn")
        drawn.set(of, { id, path })
        return path
      }, saving.withPermits(1))

      /** One candidate's tokens and their log-probabilities at temperature 1. */
      const draw = Effect.fnUntraced(function*(path: string, ids: ReadonlyArray<number>, seed: number, temperature: number, text: string) {
        const { logprobs, tokens } = yield* models.sample(path, ids, {
          max_tokens: maxNewTokens, // the same for all prompts: a server may compile for each number
          seed: seed & 0x7fffffff,
          stop: [text],
          temperature,
          top_k: -1,
          top_p: 1
        })
        const limit = Math.min(maxNewTokens, maxLength - ids.length)
        const { finish, length } = ended(tokens, texts, tokenizer.eosIds, text, limit)
        const own = tokens.slice(0, length)
        const logps = logprobs?.slice(0, length) ?? []
        if (logps.length !== length || logps.some((logp) => logp === null) || (finish === "length" && length < limit)) {
          return yield* new TinkerRefused({
            message: `${tinker.where} answered with ${logps.length} log-probabilities for ${length} tokens of at most ${limit}: a completion must come whole, its end included.`
          })
        }
        return { ids: own, logps: (logps as ReadonlyArray<number>).map((logp) => Math.min(0, logp)), finish }
      })

      const sample = Effect.fn("Sampler.sample")(function*({ form, k, policy, prompts, seed, step, temperature = 1 }: SampleRequest) {
        const asked = { ...format, ...form }
        const tokens = yield* promptTokens({ tokenizer, format: asked, maxLength }, prompts)
        const wanted = prompts.flatMap((prompt, n) => Array.from({ length: k }, (_, index) => ({ n, index, seed: candidateSeed(seed, step, prompt, index) })))
        const of = yield* heldOf(policy)
        const all = yield* Effect.interruptible(models.using(of, (id) =>
          Effect.flatMap(pathOf(of, id), (path) =>
            Effect.forEach(wanted, ({ n, seed }) => draw(path, tokens[n]!, seed, temperature, form?.stop ?? stop), { concurrency }))))
        const candidates = yield* tokenizing(() =>
          wanted.map(({ index, n, seed }, at) => {
            const { finish, ids, logps } = all[at]!
            const place = { prompt: prompts[n]!, step, index, policyVersion: policy.version, seed, promptIds: tokens[n]! }
            // Greedy draws are certain. At other temperatures than 1 nobody tells; what is drawn so is measured, not trained.
            return candidateOf(place, { ids, logps, finish, drawnLogps: temperature > 0 ? undefined : ids.map(() => 0) }, tokenizer, asked.prefill)
          })
        )
        return prompts.map((_, n) => candidates.slice(n * k, (n + 1) * k))
      }, Effect.mapError((error) => error instanceof SamplerFailed ? error : new SamplerFailed({ message: error.message })))

      return Sampler.of({ name: "tinker", sample, room: roomIn({ tokenizer, format, maxLength }) })
    })
  )
