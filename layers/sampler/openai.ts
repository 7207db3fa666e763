/**
 * Sampler: servers of vLLM, SGLang or `vequinox serve`, which draw under the adapter of each version.
 *
 * Prompts are sent as tokens, and the tokens that were drawn are read back, never guessed. Each time an adapter was loaded
 * somewhere, the log-probabilities of one candidate are compared with the trainer's own, under the same weights in float32,
 * before any candidate is handed on: a wrong base model, a wrong scale or a stale cache shows there, and nowhere else.
 *
 * `vequinox serve` draws what layers/sampler/onnx.ts draws, token for token. The others draw from the same distribution.
 */
import { Config, Effect, Layer, Option, type Redacted } from "effect"
import { hash32 } from "../../src/engine/random.ts"
import { isPlain, plain, type SamplingOptions } from "../../src/engine/sampling/sampling.ts"
import { scorerBytes } from "../../src/engine/training/memory.ts"
import type { LoraConfig } from "../../src/engine/weights/parameters.ts"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import type { Base } from "../../src/model/adapter.ts"
import type { DecoderCheckpoint } from "../../src/model/model-folder.ts"
import { tokenizing } from "../../src/model/tokenizer/limits.ts"
import type { PolicyTokenizer, PromptFormat } from "../../src/model/tokenizer/tokenizer.ts"
import { candidateSeed, Sampler, SamplerFailed, type SampleRequest } from "../../src/stages/Sampler.ts"
import { OnnxRuntime, startProgram } from "../onnx/runtime.ts"
import type { Engine, Told } from "./engine.ts"
import type { EngineName } from "./engines.ts"
import { makeFleet } from "./fleet.ts"
import { candidateOf } from "./drawn.ts"
import { promptTokens, roomIn } from "./prompt-tokens.ts"
import { makePushed } from "./pushed-adapters.ts"
import { makeCaller } from "./server-call.ts"
import { type Held, makeServer } from "./server.ts"

export interface SamplerOpenAIOptions {
  readonly checkpoint: DecoderCheckpoint
  readonly tokenizer: PolicyTokenizer
  readonly format: PromptFormat
  readonly lora: LoraConfig
  readonly sampling: SamplingOptions
  /** The most tokens of a candidate. */
  readonly maxNewTokens: number
  /** The most tokens of prompt and completion together. */
  readonly maxLength: number
  /** Sampling ends after the token that completes this text. */
  readonly stop: string
  /** Addresses, at least one, with or without `/v1`. */
  readonly urls: ReadonlyArray<string>
  /** Sent to each of them, as a bearer token. */
  readonly apiKey?: Redacted.Redacted | undefined
  /** What they are. Default `auto`: each is asked. */
  readonly engine?: EngineName | undefined
  /** The run: a path or a name that no other run on this machine has. Names of adapters begin with it. */
  readonly run: string
  /** What adapters are put on, for their adapter_config.json. Default: the checkpoint's folder. */
  readonly base?: Base | undefined
  /** Where adapters are written as PEFT folders, which go with the scope. */
  readonly adapters: string
  /** Whether that folder is the run's alone, and goes with the scope even if an earlier process made it. Default false. */
  readonly ownFolder?: boolean | undefined
  /** Where the servers see that folder. Default: at the same path. */
  readonly adaptersAt?: string | undefined
  /** Longest wait for a whole answer, seconds. Default 300. */
  readonly timeout?: number | undefined
  /** Seconds without an answer from any server after which sampling fails. Default 600. */
  readonly patience?: number | undefined
  /** Seconds that a server is left out after a failure; twice as long after each further one, up to 30. Default 0.5. */
  readonly backoff?: number | undefined
  /** Most candidates under way on one server. Default 128. */
  readonly maxNumSeqs?: number | undefined
  /**
   * How far a candidate's log-probabilities may be from the trainer's: a mean over its tokens of the absolute difference, nats.
   * Default 0.05, which bfloat16 keeps.
   */
  readonly tolerance?: number | undefined
  /** Whether what is learned from needs the log-probabilities of what tokens were drawn from. Default false. */
  readonly needsDrawn?: boolean | undefined
  /** Tells a person that a server is left out, or is back. Default: nobody. */
  readonly note?: ((line: string) => Effect.Effect<void>) | undefined
}

/** A candidate, not yet handed on. */
interface Draft {
  readonly prompt: number
  readonly index: number
  readonly told: Told
  readonly held: Held
}

/**
 * Fails with `NotEnoughMemory` if the comparison has no room, with `FileProblem` if adapters cannot be written. Nothing is asked
 * of a server before the first sample. `sample` fails with `SamplerFailed`, whose `kind` says what a person must do.
 */
export const layer = (options: SamplerOpenAIOptions) =>
  Layer.effect(
    Sampler,
    Effect.gen(function*() {
      const { checkpoint, format, lora, maxLength, maxNumSeqs = 128, note = () => Effect.void, sampling, timeout = 300, tokenizer, tolerance = 0.05 } = options
      const runtime = yield* OnnxRuntime
      yield* runtime.reserve("comparison with the sampling servers", scorerBytes(checkpoint.config, lora, maxLength, maxLength))
      const program = yield* startProgram("sampler", {
        checkpoint,
        lora,
        maxLength,
        maxNumSeqs: 1,
        tokenTexts: [],
        device: runtime.device,
        spinning: runtime.spinning,
        threads: runtime.threads
      })
      const pushed = yield* makePushed({
        folder: options.adapters,
        ownFolder: options.ownFolder ?? false,
        seenAt: options.adaptersAt ?? options.adapters,
        run: options.run,
        lora,
        base: options.base ?? { name: checkpoint.folder, revision: null }
      })
      const reader = { tokenizer, vocab: checkpoint.config.vocab }
      const fleet = makeFleet({
        servers: yield* Effect.forEach(options.urls, (url) =>
          makeServer({
            caller: makeCaller(url, timeout, options.apiKey),
            engine: options.engine ?? "auto",
            reader,
            maxLength,
            unfit: unfitFor(options),
            own: pushed.own
          })),
        concurrency: maxNumSeqs,
        patience: options.patience ?? 600,
        backoff: options.backoff ?? 0.5,
        note
      })
      yield* Effect.addFinalizer(() => fleet.clear)

      /**
       * One candidate of each adapter that was loaded since the last call, and one in any case: the same one, whichever servers
       * drew. Fails if a server's log-probabilities are not the trainer's.
       */
      const compared = Effect.fnUntraced(function*(drafts: ReadonlyArray<Draft>, key: number, parameters: Parameters, tokens: ReadonlyArray<ReadonlyArray<number>>, trained: boolean, asked: SamplingOptions) {
        const comparable = drafts.filter(({ held: { engine } }) => trained || engine.tellsPlain(asked))
        const always = comparable[key % Math.max(1, comparable.length)]
        const chosen = new Set(always === undefined ? [] : [always])
        for (const [held, own] of Map.groupBy(comparable, (draft) => draft.held)) {
          if (!held.checked && !own.some((draft) => chosen.has(draft))) chosen.add(own[key % own.length]!)
        }
        const exact = new Map<Draft, ReadonlyArray<number>>()
        for (const draft of chosen) {
          const { held, told } = draft
          const logps = yield* program.logps(parameters, tokens[draft.prompt]!, told.ids)
          const gap = logps.reduce((sum, logp, i) => sum + Math.abs(logp - told.logps[i]!), 0) / logps.length
          if (!(gap <= tolerance)) return yield* disagrees(held, gap, tolerance, asked)
          held.checked = true
          exact.set(draft, logps)
        }
        return exact
      })

      const sample = Effect.fn("Sampler.sample")(
        function*({ form, k, policy, prompts, seed, step, temperature }: SampleRequest) {
          const asked = { ...format, ...form }
          const drawnWith = temperature === undefined ? sampling : { ...plain, temperature }
          const tokens = yield* promptTokens({ tokenizer, format: asked, maxLength }, prompts)
          const adapter = yield* pushed.push(policy)
          const places = prompts.flatMap((prompt, n) => Array.from({ length: k }, (_, index) => ({ prompt: n, index, seed: candidateSeed(seed, step, prompt, index) })))
          const together = Math.min(k, maxNumSeqs)
          const works = [...Map.groupBy(places, ({ index, prompt }) => `${prompt} ${Math.floor(index / together)}`).values()]
          const drafts = (yield* Effect.forEach(works, (work) => {
            const promptIds = tokens[work[0]!.prompt]!
            return Effect.map(
              fleet.draw(adapter, {
                promptIds,
                seeds: work.map(({ seed }) => seed),
                options: drawnWith,
                maxNewTokens: Math.min(options.maxNewTokens, maxLength - promptIds.length),
                stop: form?.stop ?? options.stop
              }),
              ({ held, told }) => work.map(({ index, prompt }, n): Draft => ({ prompt, index, told: told[n]!, held }))
            )
          }, { concurrency: "unbounded" })).flat()
          const exact = yield* compared(drafts, hash32(places[0]?.seed ?? 0), policy.parameters, tokens, temperature === undefined, drawnWith)
          const byPrompt = Map.groupBy(drafts, ({ prompt }) => prompt)
          return yield* tokenizing(() => prompts.map((prompt, n) =>
            (byPrompt.get(n) ?? []).map((draft) => {
              const place = { prompt, step, index: draft.index, policyVersion: policy.version, seed: candidateSeed(seed, step, prompt, draft.index), promptIds: tokens[n]! }
              return candidateOf(place, { ...draft.told, exactLogps: exact.get(draft) }, tokenizer, asked.prefill)
            })
          ))
        },
        Effect.catchTag(["OnnxError", "CheckpointInvalid", "FileProblem"], ({ message }) => Effect.fail(new SamplerFailed({ message })))
      )
      return Sampler.of({ name: "openai", sample, room: roomIn(options) })
    })
  )

/** VEQUINOX_SAMPLER_API_KEY, if it is set. */
export const keyConfig = Config.map(Config.option(Config.Redacted("VEQUINOX_SAMPLER_API_KEY")), Option.getOrUndefined)

/** Reads the key from the environment, and nothing else. */
export const layerConfig = (options: Omit<SamplerOpenAIOptions, "apiKey">) =>
  Layer.unwrap(Effect.map(keyConfig, (apiKey) => layer({ ...options, apiKey })))

const unfitFor = ({ lora, needsDrawn = false, sampling }: SamplerOpenAIOptions) => ({ name, tellsDrawn }: Engine): string | undefined => {
  if (name !== "vequinox" && Object.keys({ ...lora.ranks, ...lora.alphas }).length > 0) {
    return "knows one rank and one alpha for all matrices: fold the adapter that the run starts from into its base with vequinox merge"
  }
  if (needsDrawn && !isPlain(sampling) && !tellsDrawn) {
    return "does not tell how likely a token was after temperature and filters, which this loss_type corrects with: give --temperature 1 --min-p 0, without top_k, top_p and repetition_penalty, or draw with vequinox serve"
  }
  return undefined
}

const disagrees = ({ adapter, engine, server }: Held, gap: number, tolerance: number, { temperature }: SamplingOptions) =>
  new SamplerFailed({
    kind: "disagrees",
    message: `${server[0]!.toUpperCase()}${server.slice(1)} gives the same tokens other log-probabilities under ${adapter} than the trainer does: ${gap.toFixed(3)} nats a token apart, and ${tolerance} are allowed (--sampler-tolerance). ` +
      (engine.name === "sglang" && temperature !== 1
        ? "At a temperature other than 1, start SGLang with SGLANG_RETURN_ORIGINAL_LOGPROB=1."
        : "Check that it serves the run's own model, with --dtype float32 or bfloat16 and no quantization; then resume the run.")
  })
