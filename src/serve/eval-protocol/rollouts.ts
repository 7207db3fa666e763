/**
 * What becomes of rollouts: each is answered at once, drawn behind that, and kept until it is asked about.
 *
 * A client asks whenever it likes, or never. So what is kept is bounded: the oldest that have ended are dropped first, and
 * one that is asked about after that is unknown, which the client takes as a reason to send it again. An id that is sent
 * again is drawn again, and only the newest counts.
 */
import { randomUUID } from "node:crypto"
import { Clock, Effect, FiberMap, Result, Schedule, Semaphore } from "effect"
import { Completions } from "../../stages/Completions.ts"
import { begin, whole } from "../answer.ts"
import { figures } from "../figures.ts"
import { kindOf, type Refusal } from "../refusals.ts"
import type { Served, Wanted } from "../request.ts"
import type { InitRequest, LogEntry, RolloutMessage, Status } from "./api.ts"
import { codeOf, codes } from "./codes.ts"
import { rolloutWanted } from "./wanted.ts"

export interface RolloutLimits {
  /** Rollouts under way, those that wait included; more are refused. */
  readonly mostUnderWay: number
  /** Rollouts that have ended and are kept. */
  readonly mostKept: number
  /** Bytes of the messages, drawings and tokens of both together, roughly. */
  readonly mostBytes: number
}

export const defaultLimits: RolloutLimits = { mostUnderWay: 10_000, mostKept: 10_000, mostBytes: 256_000_000 }

/** What was drawn. */
export interface Drawn {
  readonly id: string
  /** The model, as the client named it. */
  readonly model: string
  readonly content: string
  /** Tokens of the prompt. */
  readonly prompt: Int32Array
  readonly ids: Int32Array
  /** log p of each token under the model itself at temperature 1, nats. */
  readonly logps: Float32Array
  /** Milliseconds since 1970. */
  readonly began: number
  readonly ended: number
}

export interface Rollout {
  readonly id: string
  readonly tags: ReadonlyArray<string>
  /** As the client sent them; none once it has failed. */
  messages: ReadonlyArray<RolloutMessage>
  /** Roughly what it holds. */
  bytes: number
  status: Status
  extras: LogEntry["extras"]
  logs: ReadonlyArray<LogEntry>
  drawn: Drawn | undefined
}

export interface Rollouts {
  /** Returns at once, whatever comes of it. */
  readonly start: (init: InitRequest) => Effect.Effect<void>
  /** Undefined: it never began here, or was dropped since. */
  readonly get: (id: string) => Rollout | undefined
  /** Those that have all tags, oldest first. */
  readonly tagged: (tags: ReadonlyArray<string>) => ReadonlyArray<Rollout>
}

const tagsOf = ({ metadata }: InitRequest): ReadonlyArray<string> => Object.entries(metadata).map(([name, id]) => `${name}:${id}`)

/** A string has two bytes a character at most; the rest is the objects around them. */
const bytesOf = ({ messages, tags }: Pick<Rollout, "messages" | "tags">): number => 2000 + 2 * JSON.stringify([messages, tags]).length

/** As AIP-193 says why something ended, which is what the client's own servers send. */
const endedBy = (reason: string) => [{
  "@type": "type.googleapis.com/google.rpc.ErrorInfo",
  domain: "evalprotocol.io",
  reason: "TERMINATION_REASON",
  metadata: { termination_reason: reason }
}]

const isFull = ({ error }: Refusal): boolean => error.code === "server_overloaded"

/** Rollouts are drawn until the scope closes; those under way are then given up. */
export const makeRollouts = Effect.fnUntraced(function*(served: Served, { mostBytes, mostKept, mostUnderWay }: RolloutLimits = defaultLimits) {
  const { most } = yield* Effect.flatMap(Completions, ({ figures }) => figures)
  // Half of the places stay for clients that wait for their answer.
  const places = yield* Semaphore.make(Math.max(1, Math.floor(most / 2)))
  const fibers = yield* FiberMap.make<string>()
  // In this context, not in that of the request, which would be held as long.
  const run = yield* FiberMap.runtime(fibers)<Completions>()
  const underWay = new Map<string, Rollout>()
  const ended = new Map<string, Rollout>()
  let bytes = 0

  const drop = (of: Map<string, Rollout>, id: string) => {
    const rollout = of.get(id)
    if (rollout === undefined) return
    of.delete(id)
    bytes -= rollout.bytes
  }
  const put = (of: Map<string, Rollout>, rollout: Rollout) => {
    of.set(rollout.id, rollout)
    bytes += rollout.bytes
  }
  const shrink = () => {
    for (const id of ended.keys()) {
      if (ended.size <= mostKept && bytes <= mostBytes) return
      drop(ended, id)
    }
  }

  const note = (rollout: Rollout, now: number, status: Status, extras: Rollout["extras"] = {}) => {
    rollout.status = status
    rollout.extras = extras
    rollout.logs = [...rollout.logs, {
      timestamp: new Date(now).toISOString(),
      message: status.message,
      severity: status.code < codes.finished ? "ERROR" : "INFO",
      tags: rollout.tags,
      status,
      extras
    }]
  }
  /** Another one may have taken its id meanwhile: then nobody asks about this one any more. */
  const end = (rollout: Rollout, status: Status, drawn?: Drawn, extras: Rollout["extras"] = {}) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      if (underWay.get(rollout.id) !== rollout) return
      drop(underWay, rollout.id)
      if (drawn === undefined) rollout.messages = []
      rollout.drawn = drawn
      rollout.bytes = bytesOf(rollout) + (drawn === undefined ? 0 : 2 * drawn.content.length + 4 * drawn.prompt.length + 8 * drawn.ids.length)
      note(rollout, now, status, extras)
      put(ended, rollout)
      shrink()
    })
  const fail = (rollout: Rollout, code: number, message: string) => end(rollout, { code, message, details: [] })

  const draw = Effect.fnUntraced(function*(rollout: Rollout, wanted: Wanted) {
    const began = yield* Clock.currentTimeMillis
    // Places that others hold come free: the rollout waits for them, and its client with it.
    const grown = yield* begin(wanted).pipe(Effect.retry({ while: isFull, schedule: Schedule.spaced("100 millis") }))
    const { choices: [choice], usage } = yield* whole({
      object: { whole: "rollout", chunk: "" },
      id: "",
      choice: (_, content, { ids, logps }, finish) => ({ content, ids, logps, finish }),
      change: () => undefined
    }, wanted, grown)
    const { content, finish, ids, logps } = choice!
    yield* end(rollout, { code: codes.finished, message: "Rollout finished", details: endedBy(finish) }, {
      id: randomUUID(),
      model: wanted.model,
      content,
      prompt: Int32Array.from(wanted.begins[0]!.ids),
      ids: Int32Array.from(ids),
      logps: Float32Array.from(logps),
      began,
      ended: yield* Clock.currentTimeMillis
    }, { model: wanted.model, finish_reason: finish, ...usage })
  }, Effect.scoped, places.withPermit)

  /** It is read before it waits: what waits holds its tokens, and nothing else of the request, least of all the client's key. */
  const start = Effect.fnUntraced(function*(init: InitRequest) {
    const read = yield* Effect.result(rolloutWanted(served, init))
    const id = init.metadata.rollout_id
    const messages = init.messages ?? []
    yield* FiberMap.remove(fibers, id)
    const now = yield* Clock.currentTimeMillis
    drop(underWay, id)
    drop(ended, id)
    const tags = tagsOf(init)
    const rollout: Rollout = {
      id,
      tags,
      messages,
      bytes: bytesOf({ messages, tags }) + (Result.isSuccess(read) ? 8 * read.success.begins[0]!.ids.length : 0),
      status: { code: codes.running, message: "", details: [] },
      extras: {},
      logs: [],
      drawn: undefined
    }
    note(rollout, now, { code: codes.running, message: "Rollout is running", details: [] })
    put(underWay, rollout)
    shrink()
    if (underWay.size > mostUnderWay || bytes > mostBytes) {
      return yield* fail(rollout, codes.resourceExhausted, `${underWay.size - 1} rollouts are under way, and no more can be kept: ask again in a moment.`)
    }
    run(
      id,
      figures.counted("rollout").pipe(
        Effect.andThen(Effect.fromResult(read)), // what cannot be drawn waits for no place
        Effect.flatMap((wanted) => draw(rollout, wanted)),
        Effect.scoped,
        Effect.catch((refusal) => fail(rollout, codeOf(kindOf(refusal)), refusal.error.message)),
        Effect.catchDefect((defect) =>
          Effect.andThen(Effect.logError("A rollout failed", defect), fail(rollout, codes.internal, "The server failed at this rollout."))
        )
      )
    )
  })

  return {
    start,
    get: (id) => underWay.get(id) ?? ended.get(id),
    tagged: (tags) => {
      const has = (rollout: Rollout) => tags.every((tag) => rollout.tags.includes(tag))
      const id = tags.find((tag) => tag.startsWith("rollout_id:"))?.slice("rollout_id:".length)
      const one = id === undefined ? undefined : underWay.get(id) ?? ended.get(id)
      return (id === undefined ? [...ended.values(), ...underWay.values()] : one === undefined ? [] : [one]).filter(has)
    }
  } satisfies Rollouts as Rollouts
})
