/**
 * The Message Batches API (batches-api.ts) as a transport: half the price, answers within 24 hours. Requests gather
 * until none has arrived for a while, are sent as one batch, and are answered one by one when the whole batch has
 * ended.
 *
 * Making a batch cannot be repeated blindly: if its answer is lost, a batch may exist and cost money. So the account's
 * newest batch is looked up and written down with our questions first (open-batches.ts). After a loss or a crash we
 * wait for a newer batch with as many requests; it is ours if its results name our questions. Everything else is
 * repeated. An interruption leaves batches running: the next process with the same file reads their results.
 *
 * Limits of the API: 100,000 requests and 256 MB a batch; results are kept for 29 days; requests that failed, expired
 * or were cancelled are not charged.
 */
import { Clock, Deferred, Effect, Layer, Option, Result, Schema } from "effect"
import { Answers } from "./answers.ts"
import { type BatchesApiOptions, type BatchRequest, type Line, makeBatchesApi, type NotThere } from "./batches-api.ts"
import { messageParams, replyOf, thinkingTokens, withoutKey } from "./claude.ts"
import { Guide, type GuideOptions } from "./guide.ts"
import type { OpenBatch } from "./open-batches.ts"
import { busy, failureOf, ModelStopped, type Reply, type Request, shown, type Transport, type TransportError } from "./transport.ts"

export interface ClaudeBatchesOptions extends BatchesApiOptions {
  /**
   * Seconds without a new request after which a batch is sent; it is sent at the latest 30 times this after its first
   * request. Default 2.
   */
  readonly quiet?: number | undefined
  /** Most requests of a batch. Default 10,000. */
  readonly batchRequests?: number | undefined
  /** Most bytes of a batch. Default 64 MB. */
  readonly batchBytes?: number | undefined
  /** Seconds after which a new batch is in the account's list. Default 30. */
  readonly settled?: number | undefined
}

/** The guide model, asked in batches; `options.price` is the price of a batch. */
export const layer = (options: ClaudeBatchesOptions & GuideOptions) =>
  Layer.unwrap(Effect.map(makeClaudeBatches(options), (transport) => Guide.layer(transport, options)))

const ErrorLine = Schema.Struct({ error: Schema.Struct({ type: Schema.String, message: Schema.String }) })
const decodeError = Schema.decodeUnknownOption(ErrorLine)

/** HTTP statuses of the errors inside a batch's results. */
const statuses: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  timeout_error: 504,
  overloaded_error: 529
}

/** A question that a caller waits for, or that an earlier process asked. */
interface Pending {
  readonly answer: Deferred.Deferred<Reply, TransportError>
  askers: number
}

interface Queued extends BatchRequest {
  readonly bytes: number
}

const now = Clock.currentTimeMillis
/** Days that the server keeps results. */
const kept = 29
/** How often results are read without anything new before what is missing counts as lost. */
const vainReadings = 5

/** Needs `Answers`; its file remembers the batches. They are followed until the scope closes. */
export const makeClaudeBatches = Effect.fnUntraced(function*(o: ClaudeBatchesOptions) {
  const { batchBytes = 64e6, batchRequests = 10_000, quiet = 2, settled = 30 } = o
  const api = yield* makeBatchesApi(o)
  const { place, words } = api
  const { batches: memory } = yield* Answers
  const scope = yield* Effect.scope
  const remembered = <A>(work: Effect.Effect<A, { readonly message: string }>) =>
    Effect.mapError(work, ({ message }) => new ModelStopped({ message }))

  const pending = new Map<string, Pending>()
  const queue = new Map<string, Queued>()
  let queuedBytes = 0
  let came = Deferred.makeUnsafe<void>()
  /** Questions whose stored result was handed out: if asked again, they get a new request. */
  const handed = new Set<string>()
  /** Batches whose questions are known. */
  const attributed = new Set<string>()

  const expect = (key: string): Pending => {
    const known = pending.get(key)
    if (known !== undefined) return known
    const made: Pending = { answer: Deferred.makeUnsafe(), askers: 0 }
    pending.set(key, made)
    return made
  }
  const settle = (key: string, answer: Effect.Effect<Reply, TransportError>): void => {
    const waiting = pending.get(key)
    if (waiting === undefined) return
    pending.delete(key)
    Deferred.doneUnsafe(waiting.answer, answer)
  }
  const settleAll = (keys: Iterable<string>, answer: Effect.Effect<never, TransportError>): void => {
    for (const key of keys) settle(key, answer)
  }

  const enqueue = (request: Request): Pending => {
    const params = messageParams(request)
    const bytes = JSON.stringify(params).length + 100
    queue.set(request.id, { custom_id: request.id, params, bytes })
    queuedBytes += bytes
    const waiting = came
    came = Deferred.makeUnsafe()
    Deferred.doneUnsafe(waiting, Effect.void)
    return expect(request.id)
  }
  const dequeue = (key: string): boolean => {
    queuedBytes -= queue.get(key)?.bytes ?? 0
    return queue.delete(key)
  }
  const join = (key: string, waiting: Pending) =>
    Effect.suspend(() => {
      waiting.askers++
      return Deferred.await(waiting.answer)
    }).pipe(Effect.onInterrupt(() =>
      Effect.sync(() => {
        if (--waiting.askers === 0 && dequeue(key)) pending.delete(key) // not sent yet, not charged
      })
    ))
  const replyIn = (message: string) => replyOf(words, JSON.parse(message), new Headers())

  const send = Effect.fnUntraced(function*(request: Request): Effect.fn.Return<Reply, TransportError> {
    const { id } = request
    const waiting = pending.get(id)
    if (waiting !== undefined) return yield* join(id, waiting)
    const result = yield* remembered(memory.result(id))
    if (result !== undefined && !handed.has(id)) {
      handed.add(id)
      return yield* Effect.tapError(replyIn(result), () => remembered(memory.forget(id)))
    }
    handed.delete(id)
    if (result !== undefined) yield* remembered(memory.forget(id))
    return yield* join(id, pending.get(id) ?? enqueue(request))
  })

  const failed = ({ result: { error, type } }: Line): TransportError => {
    const said = Option.getOrUndefined(decodeError(error))?.error
    return type === "errored" && said !== undefined
      ? failureOf(words, statuses[said.type] ?? 500, said.message, undefined)
      : busy(words, "down", `the request ended as "${shown(words, type)}" in its batch at ${words.where}`)
  }
  /** Stores the answers, then hands them out. */
  const take = Effect.fnUntraced(function*(lines: ReadonlyArray<Line>) {
    const good = lines.flatMap((line) =>
      line.result.type === "succeeded" ? [[line.custom_id, JSON.stringify(withoutKey(words, line.result.message))] as const] : []
    )
    if (good.length > 0) yield* remembered(memory.keep(good))
    for (const [key, message] of good) {
      if ((pending.get(key)?.askers ?? 0) > 0) handed.add(key)
      settle(key, replyIn(message))
    }
    for (const line of lines) {
      if (line.result.type !== "succeeded") settle(line.custom_id, Effect.fail(failed(line)))
    }
  })
  const read = Effect.fnUntraced(function*(name: string, keys: ReadonlyArray<string>) {
    const missing = new Set(keys)
    let wait = api.makePatience()
    for (let vain = 0; vain < vainReadings;) {
      const before = missing.size
      const result = yield* Effect.result(api.results(name, (lines) =>
        Effect.as(take(lines.filter(({ custom_id }) => missing.delete(custom_id))), true)))
      const error = Result.isFailure(result) ? result.failure : busy(words, "lost", `${name} has fewer results than requests`)
      if (error._tag !== "ModelBusy") return yield* error
      if (missing.size === 0) return
      // We wait for a server that is away, but do not ask for ever if it sends no more than before.
      if (missing.size < before) [vain, wait] = [0, api.makePatience()]
      else if (error.kind === "lost") vain++
      yield* wait(error)
    }
    settleAll(missing, Effect.fail(busy(words, "lost", `the batch ${name} at ${words.where} has no result for the request`)))
  })

  /** Whether the batch, once it has ended, answers these questions. */
  const answers = Effect.fnUntraced(function*(name: string, keys: ReadonlySet<string>) {
    yield* api.ended(name)
    let first: Line | undefined
    yield* api.patiently(api.results(name, (lines) => Effect.sync(() => (first ??= lines[0]) === undefined)))
    return first !== undefined && keys.has(first.custom_id)
  }, Effect.catchTag("NotThere", () => Effect.succeed(false)))

  /**
   * The name of a batch that may or may not have been made.
   * @param since when that became unknown, milliseconds since 1970
   */
  const find = Effect.fnUntraced(function*({ after, keys, sentAt }: OpenBatch, since: number) {
    const own = new Set(keys)
    const ruledOut = new Set<string>()
    for (const last of [false, true]) {
      for (const { id, request_counts } of yield* api.newer(after, sentAt)) {
        const size = Object.values(request_counts).reduce((sum, n) => sum + n, 0)
        if (size !== own.size || attributed.has(id) || ruledOut.has(id)) continue
        if (yield* answers(id, own)) return id
        ruledOut.add(id)
      }
      if (!last) yield* Effect.sleep(Math.max(0, since + settled * 1000 - (yield* now)))
    }
    return undefined
  })

  const follow = Effect.fnUntraced(function*(batch: OpenBatch, name: string) {
    attributed.add(name)
    yield* api.ended(name)
    yield* read(name, batch.keys)
    yield* remembered(memory.close(batch))
  }, (following, batch) =>
    Effect.catchTag(following, "NotThere", () =>
      Effect.gen(function*() {
        // Perhaps another workspace's: remembered as long as a server keeps results.
        if ((yield* now) - batch.sentAt > kept * 86_400_000) yield* remembered(memory.close(batch))
        return yield* busy(words, "down", `${words.where} does not have the batch`)
      })))

  const make = Effect.fnUntraced(function*(batch: OpenBatch, requests: ReadonlyArray<BatchRequest>) {
    const wait = api.makePatience()
    for (;;) {
      const result = yield* Effect.result(api.create(requests))
      if (Result.isSuccess(result)) return result.success.id
      const error = result.failure
      if (error._tag !== "ModelBusy") { // refused, so there is none
        yield* remembered(memory.close(batch))
        return yield* error
      }
      const name = error.kind === "slow" ? undefined : yield* find(batch, yield* now)
      if (name !== undefined) return name
      yield* wait(error)
    }
  })
  const go = Effect.fnUntraced(function*(requests: ReadonlyArray<Queued>) {
    const after = yield* api.newest
    const keys = requests.map(({ custom_id }) => custom_id)
    const batch = yield* remembered(memory.begin(place, { after, sentAt: yield* now, keys }))
    const name = yield* make(batch, requests.map(({ custom_id, params }) => ({ custom_id, params })))
    yield* remembered(memory.made(place, batch, name))
    yield* follow(batch, name)
  })
  const resume = Effect.fnUntraced(function*(batch: OpenBatch) {
    const name = batch.name ?? (yield* find(batch, batch.sentAt))
    if (name === undefined) {
      yield* remembered(memory.close(batch))
      return yield* busy(words, "down", "the batch was not made before the last process ended")
    }
    yield* remembered(memory.made(place, batch, name))
    yield* follow(batch, name)
  })
  /** If the work on a batch ends for any reason, the waiting for its answers ends too. */
  const inBackground = (keys: ReadonlyArray<string>, work: Effect.Effect<void, TransportError | NotThere>) =>
    work.pipe(
      Effect.catchTag("NotThere", ({ message }) =>
        Effect.fail(new ModelStopped({
          message: `${words.where} takes no batches (${message}): check ${words.address}, or leave --judge-batch out.`
        }))),
      Effect.catch((error) => Effect.sync(() => settleAll(keys, Effect.fail(error)))),
      Effect.catchDefect((defect) => Effect.sync(() => settleAll(keys, Effect.die(defect)))),
      Effect.forkIn(scope)
    )

  const known = yield* memory.open(place)
  for (const { keys, name } of known) {
    if (name !== undefined) attributed.add(name)
    keys.forEach(expect)
  }
  yield* Effect.forEach(known, (batch) => inBackground(batch.keys, resume(batch)))

  const isFull = () => queue.size >= batchRequests || queuedBytes >= batchBytes
  const firstOf = (): ReadonlyArray<Queued> => {
    const chosen: Array<Queued> = []
    let bytes = 0
    for (const next of queue.values()) {
      bytes += next.bytes
      if (chosen.length > 0 && (bytes > batchBytes || chosen.length === batchRequests)) break
      chosen.push(next)
    }
    chosen.forEach(({ custom_id }) => dequeue(custom_id))
    return chosen
  }
  yield* Effect.gen(function*() {
    for (;;) {
      while (queue.size === 0) yield* Deferred.await(came)
      const began = yield* now
      while (!isFull() && (yield* now) - began < 30 * quiet * 1000) {
        if (Option.isNone(yield* Effect.timeoutOption(Deferred.await(came), quiet * 1000))) break
      }
      const requests = firstOf()
      if (requests.length > 0) yield* inBackground(requests.map(({ custom_id }) => custom_id), go(requests))
    }
  }).pipe(Effect.forkIn(scope))

  return { where: words.where, hide: words.hide, queued: true, thinkingTokens, send } satisfies Transport as Transport
})
