/** Completions: continuous batching with onnxruntime (layers/onnx/serving-program.ts), in few bits or in float32. */
import { Cause, Effect, Latch, Layer, Queue, Semaphore, Stream } from "effect"
import { parameterCount, samplerBytes } from "../../src/engine/training/memory.ts"
import { autoPrecision, type SamplerPrecision } from "../../src/engine/weights/quantization.ts"
import type { DecoderCheckpoint } from "../../src/model/model-folder.ts"
import type { QuantizeOptions } from "../../src/model/quantized-weights.ts"
import { tokenizing } from "../../src/model/tokenizer/limits.ts"
import { GrowingText } from "../../src/model/tokenizer/growing-text.ts"
import type { PolicyTokenizer } from "../../src/model/tokenizer/tokenizer.ts"
import {
  AdapterUnknown, type CompletionRequest, Completions, CompletionsFailed, CompletionsFull, type Piece
} from "../../src/stages/Completions.ts"
import { reserveDecoding } from "../onnx/reserve-decoding.ts"
import { type OnnxError, OnnxRuntime, startProgram } from "../onnx/runtime.ts"
import type { Begun, Gained } from "../onnx/serving-program.ts"

export interface CompletionsOnnxOptions {
  readonly checkpoint: DecoderCheckpoint
  readonly tokenizer: PolicyTokenizer
  /** Most tokens of prompt and completion together. */
  readonly maxLength: number
  /** Most completions decoded together; fewer if only fewer fit into half of the memory. */
  readonly maxNumSeqs: number
  /** Most completions that wait for a place. */
  readonly maxWaiting: number
  /** `auto`: int8 for a model that is large enough to gain, on the CPU; else float32. */
  readonly precision: SamplerPrecision | "auto"
  /** Where quantized weights are kept. */
  readonly cache: string
  /** Shows the progress of quantizing. */
  readonly quantizing: QuantizeOptions["progress"]
}

interface Request {
  readonly pieces: Queue.Queue<Piece, CompletionsFailed | Cause.Done>
  /** Of each completion. */
  readonly texts: ReadonlyArray<GrowingText>
  /** Completions that have not ended. */
  open: number
}

/**
 * Fails with `NotEnoughMemory` before anything is allocated, with `FileProblem` if quantized weights cannot be kept.
 *
 * One fiber advances all requests by a token or a few, as long as there are any. What came and went meanwhile is told to the
 * program with the next ones, so that begins, ends and changes of adapters keep their order.
 */
export const layer = (options: CompletionsOnnxOptions) =>
  Layer.effect(
    Completions,
    Effect.gen(function*() {
      const { checkpoint, maxLength, maxWaiting, tokenizer } = options
      const runtime = yield* OnnxRuntime
      const precision = options.precision === "auto"
        ? autoPrecision(parameterCount(checkpoint.config), true, runtime.device, options.maxNumSeqs)
        : options.precision
      // Base and adapters have graphs of their own, each with its prepared weights.
      const bytes = (rows: number) => samplerBytes(checkpoint.config, rows, maxLength, precision) + samplerBytes(checkpoint.config, 0, 0, precision)
      const { maxNumSeqs, quantized } = yield* reserveDecoding("server", { ...options, precision }, bytes)
      const program = yield* startProgram("serving", {
        checkpoint,
        quantized,
        maxLength,
        maxNumSeqs,
        tokenTexts: yield* tokenizing(() => tokenizer.tokenTexts),
        device: runtime.device,
        spinning: runtime.spinning,
        threads: runtime.threads
      })

      const most = maxNumSeqs + maxWaiting
      const requests = new Map<number, Request>()
      const adapters = new Set<string>()
      let next = 0
      let begun: Array<Begun> = []
      let ended: Array<number> = []
      /** What the last call has gained. It is told while the next token is decoded, which takes another thread. */
      let gained: ReadonlyArray<Gained> = []
      const work = yield* Latch.make(false)
      /** Adapters change between two tokens, never between a request's check of its adapter and its begin. */
      const turn = yield* Semaphore.make(1)
      const openCompletions = () => [...requests.values()].reduce((sum, { open }) => sum + open, 0)

      /** All texts grow under one time limit: that costs more than the decoding. */
      const tell = (gained: ReadonlyArray<Gained>) =>
        tokenizing(() =>
          tokenizer.limited(() =>
            gained.map((one) => ({ ...one, text: requests.get(one.id)?.texts[one.index]!.add(one.ids, one.finish !== undefined) ?? "" }))
          )
        ).pipe(Effect.flatMap(Effect.forEach(({ id, ...piece }) =>
          Effect.suspend(() => {
            const request = requests.get(id)
            if (request === undefined) return Effect.void
            Queue.offerUnsafe(request.pieces, piece)
            if (piece.finish === undefined || --request.open > 0) return Effect.void
            requests.delete(id)
            return Queue.end(request.pieces)
          }), { discard: true })))
      const failAll = (failure: CompletionsFailed) =>
        Effect.suspend(() => {
          const lost = [...requests]
          requests.clear()
          ended.push(...lost.map(([id]) => id))
          begun = []
          gained = []
          return Effect.forEach(lost, ([, { pieces }]) => Queue.fail(pieces, failure))
        })
      const tellGained = Effect.suspend(() => {
        const now = gained
        gained = []
        return tell(now)
      })
      const advance = Effect.suspend(() => {
        const [now, gone] = [begun, ended]
        begun = []
        ended = []
        return Effect.all([program.advance(now, gone), tellGained], { concurrency: 2 }).pipe(
          Effect.tap(([more]) => Effect.sync(() => void (gained = more))),
          Effect.catchTag(["OnnxError", "CheckpointInvalid"], ({ message }) => failAll(new CompletionsFailed({ message })))
        )
      })
      yield* work.await.pipe(
        Effect.andThen(turn.withPermit(advance)),
        Effect.andThen(Effect.suspend(() => (requests.size === 0 && ended.length === 0 ? work.close : Effect.void))),
        Effect.forever,
        Effect.forkScoped
      )

      const enrol = (request: CompletionRequest) =>
        Effect.gen(function*() {
          const { adapter, cut, ids, limit, options, seeds, stops, topLogprobs } = request
          if (adapter !== undefined && !adapters.has(adapter)) return yield* new AdapterUnknown({ name: adapter })
          const open = openCompletions()
          if (open + seeds.length > most) {
            return yield* new CompletionsFull({
              message: `${open} completions are open and ${most} may be: ask again in a moment, or for fewer at once.`
            })
          }
          const id = next++
          const pieces = yield* Queue.unbounded<Piece, CompletionsFailed | Cause.Done>()
          requests.set(id, { pieces, open: seeds.length, texts: seeds.map(() => new GrowingText(tokenizer.decode, cut)) })
          begun.push({ id, adapter, seeds, asked: { ids, options, eosIds: tokenizer.eosIds, stops, limit, topLogprobs } })
          yield* work.open
          return { id, pieces }
        })
      const leave = ({ id }: { readonly id: number }) =>
        Effect.suspend(() => {
          if (!requests.delete(id)) return Effect.void
          ended.push(id)
          return work.open
        })
      /** What was enrolled before it is begun before it. */
      const change = (effect: Effect.Effect<unknown, OnnxError>) =>
        turn.withPermit(Effect.andThen(advance, effect)).pipe(
          Effect.asVoid,
          Effect.mapError(({ message }) => new CompletionsFailed({ message }))
        )

      return Completions.of({
        maxLength,
        complete: (request) =>
          Effect.map(Effect.acquireRelease(enrol(request), leave), ({ pieces }) => Stream.fromQueue(pieces)),
        hold: (name, lora, parameters) => change(Effect.andThen(program.hold(name, lora, parameters), Effect.sync(() => adapters.add(name)))),
        letGo: (name) =>
          Effect.suspend((): Effect.Effect<void, AdapterUnknown | CompletionsFailed> =>
            adapters.delete(name) ? change(program.letGo(name)) : Effect.fail(new AdapterUnknown({ name }))
          ),
        figures: Effect.sync(() => ({ open: openCompletions(), most }))
      })
    })
  )
