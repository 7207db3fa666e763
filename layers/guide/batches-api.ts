/**
 * The calls of the Message Batches API, each answer checked. All calls except making a batch are safe to repeat, and
 * are repeated as long as the server can be expected back.
 */
import { Clock, Effect, Option, Result, Schema } from "effect"
import { longestAnswer } from "../../src/system/http-limits.ts"
import { type ClaudeOptions, claudeWords, type messageParams, openSdk } from "./claude.ts"
import { brokenOff, busy, type ModelBusy, ModelStopped, shown, type TransportError } from "./transport.ts"

export interface BatchesApiOptions extends Omit<ClaudeOptions, "deadline"> {
  readonly model: string
  /**
   * Seconds between two looks at a batch, or two tries: the first wait and the longest; each wait is double the one
   * before. Default 1 to 60.
   */
  readonly waits?: readonly [first: number, longest: number] | undefined
  /** Seconds without any answer after which the run is stopped; a minute before the first answer. Default 900. */
  readonly patience?: number | undefined
}

export interface BatchRequest {
  readonly custom_id: string
  readonly params: ReturnType<typeof messageParams>
}

const Batch = Schema.Struct({
  type: Schema.Literal("message_batch"),
  id: Schema.String.check(Schema.isPattern(/^[\w-]+$/)), // it becomes part of a URL
  processing_status: Schema.String,
  created_at: Schema.String,
  request_counts: Schema.Struct({
    processing: Schema.Finite,
    succeeded: Schema.Finite,
    errored: Schema.Finite,
    canceled: Schema.Finite,
    expired: Schema.Finite
  })
})
export type Batch = typeof Batch.Type
const Page = Schema.Struct({ data: Schema.Array(Batch), has_more: Schema.Boolean })
const Line = Schema.fromJsonString(Schema.Struct({
  custom_id: Schema.String,
  result: Schema.Struct({
    type: Schema.String,
    message: Schema.optionalKey(Schema.Unknown),
    error: Schema.optionalKey(Schema.Unknown)
  })
}))
const decodeLine = Schema.decodeUnknownOption(Line)
/** The result of one request. */
export type Line = typeof Line.Type

/** There is no such batch, or the server has no batches at all. */
export class NotThere extends Schema.TaggedError<NotThere>()("NotThere", { message: Schema.String }) {}

const path = "/v1/messages/batches"
const day = 86_400_000
/** Deadlines in seconds: for a call that carries a batch, for any other, and for the next piece of a batch's results. */
const deadlines = { create: 600, look: 60, piece: 60 }
/** Most bytes of all results of a batch: far more than 100,000 answers have. */
const longestResults = 4e9

export const makeBatchesApi = Effect.fnUntraced(function*(o: BatchesApiOptions) {
  const { patience = 900, waits: [firstWait, longestWait] = [1, 60] } = o
  const { client, failure, notThere } = yield* openSdk(o)
  const words = claudeWords(o, o.model)

  const call = <A>(seconds: number, work: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, TransportError | NotThere> =>
    Effect.tryPromise({
      try: work,
      catch: (cause) => {
        const said = notThere(cause)
        return said === undefined ? failure(words, cause) : new NotThere({ message: shown(words, said) })
      }
    }).pipe(
      Effect.timeoutOrElse({
        duration: seconds * 1000,
        orElse: () => Effect.fail(busy(words, "lost", `${words.where} gave no whole answer within ${seconds} s`))
      })
    )
  const namesIn = (value: Batch | typeof Page.Type) => ("data" in value ? value.data : [value]).map(({ id }) => id)
  const checked = <A extends Batch | typeof Page.Type>(schema: Schema.Codec<A, unknown>) => (data: unknown) =>
    Schema.decodeUnknownEffect(schema)(data).pipe(
      Effect.filterOrFail((value) => namesIn(value).every((name) => words.hide.text(name) === name)), // they are stored, and shown
      Effect.mapError(() => busy(words, "lost", `${words.where} answered with something that is not a batch`))
    )

  let everAnswered = false
  /** Waits after a failed try, longer each time; fails if there was no answer for too long. */
  const makePatience = () => {
    let wait = firstWait
    let since: number | undefined
    return Effect.fnUntraced(function*({ kind, message, retryAfter }: ModelBusy) {
      const at = yield* Clock.currentTimeMillis
      if (kind === "slow") everAnswered = true
      since = kind === "slow" ? undefined : since ?? at
      if (since !== undefined && at - since > (everAnswered ? patience : Math.min(60, patience)) * 1000) {
        return yield* new ModelStopped({
          message: `No answer came for ${Math.round((at - since) / 1000)} s, last because ${message}; ` +
            "batches already sent continue, and the same command reads their answers when the service is back."
        })
      }
      yield* Effect.sleep(Math.max(wait, retryAfter) * 1000)
      wait = Math.min(2 * wait, longestWait)
    })
  }
  const patiently = Effect.fnUntraced(function*<A>(work: Effect.Effect<A, TransportError | NotThere>) {
    const wait = makePatience()
    for (;;) {
      const result = yield* Effect.result(work)
      if (Result.isSuccess(result)) {
        everAnswered = true
        return result.success
      }
      if (result.failure._tag !== "ModelBusy") return yield* result.failure
      yield* wait(result.failure)
    }
  })

  const page = (query: Record<string, string | number>) =>
    patiently(Effect.flatMap(call(deadlines.look, (signal) => client.get<unknown>(path, { query, signal })), checked(Page)))
  const look = (name: string) =>
    Effect.flatMap(call(deadlines.look, (signal) => client.messages.batches.retrieve(name, {}, { signal })), checked(Batch))

  return {
    words,
    /** The server's address: where the key goes, and nowhere else. */
    place: words.hide.text(o.baseUrl ?? "https://api.anthropic.com"),
    makePatience,
    patiently,
    /** Called once only: if its answer is lost, a batch may exist. */
    create: (requests: ReadonlyArray<BatchRequest>) =>
      Effect.flatMap(
        call(deadlines.create, (signal) => client.messages.batches.create({ requests: [...requests] }, { signal })),
        checked(Batch)
      ),
    /** Null if the account has no batch. */
    newest: Effect.map(page({ limit: 1 }), ({ data }) => data[0]?.id ?? null),
    /**
     * Batches that the server got after that one, oldest first.
     * @param since milliseconds since 1970
     */
    newer: Effect.fnUntraced(function*(after: string | null, since: number) {
      const found: Array<Batch> = []
      for (let last: string | undefined;;) {
        const { data, has_more } = yield* page({ limit: 100, ...(last === undefined ? {} : { after_id: last }) })
        for (const batch of data) {
          // The limit of a day is for an `after` that somebody has deleted.
          if (batch.id === after || Date.parse(batch.created_at) < since - day) return found.reverse()
          found.push(batch)
        }
        last = data.at(-1)?.id
        if (!has_more || last === undefined) return found.reverse()
      }
    }),
    ended: Effect.fnUntraced(function*(name: string) {
      for (let wait = firstWait;; wait = Math.min(2 * wait, longestWait)) {
        const { processing_status } = yield* patiently(look(name))
        if (processing_status === "ended") return
        yield* Effect.sleep(wait * 1000)
      }
    }),
    /** Reads a batch's results once, piece by piece, while `each` wants more. Lines that are not results are left out. */
    results: (name: string, each: (lines: ReadonlyArray<Line>) => Effect.Effect<boolean, TransportError>) =>
      Effect.scoped(Effect.gen(function*() {
        // Not the address in the batch itself: the key would go there.
        const response = yield* call(deadlines.look, (signal) =>
          client.get(`${path}/${name}/results`, {
            headers: { accept: "application/binary" },
            stream: true,
            __binaryResponse: true,
            signal
          }).asResponse())
        if (response.body === null) return
        const reader = response.body.getReader()
        yield* Effect.addFinalizer(() => Effect.ignore(Effect.tryPromise(() => reader.cancel())))
        const decoder = new TextDecoder()
        let rest = ""
        let read = 0
        for (;;) {
          const { done, value } = yield* Effect.tryPromise({
            try: () => reader.read(),
            catch: (cause) => brokenOff(words, cause)
          }).pipe(
            Effect.timeoutOrElse({
              duration: deadlines.piece * 1000,
              orElse: () => Effect.fail(brokenOff(words, new Error(`nothing came for ${deadlines.piece} s`)))
            })
          )
          read += value?.length ?? 0
          if (read > longestResults || rest.length > longestAnswer) return yield* brokenOff(words, new Error("it does not end"))
          const lines = (rest + (done ? decoder.decode() : decoder.decode(value, { stream: true }))).split("\n")
          rest = done ? "" : lines.pop()!
          if (!(yield* each(lines.flatMap((line) => Option.toArray(decodeLine(line))))) || done) return
        }
      }))
  }
})
