/**
 * Which sampling server is asked: the one with the fewest candidates under way, of those that have room. What fails is asked
 * again, here or elsewhere. A server that asks for later requests is left alone for as long as it says. One that fails is left
 * out for a moment, each time twice as long, up to 30 s, and is then asked for one thing first.
 *
 * An adapter is loaded on a server before a candidate is asked of it there. A server that has lost it, because it was
 * restarted, gets it again. An answer under another name than the one that was asked counts as lost: its candidates are of an
 * unknown policy, and nobody sees them.
 */
import { Clock, Deferred, Effect } from "effect"
import { SamplerFailed } from "../../src/stages/Sampler.ts"
import type { Work } from "./engine.ts"
import type { PushedAdapter } from "./pushed-adapters.ts"
import type { CallError } from "./server-call.ts"
import type { Drawn, Server } from "./server.ts"

export interface FleetOptions {
  readonly servers: ReadonlyArray<Server>
  /** Most candidates under way on one server; work with more is asked of an idle one. */
  readonly concurrency: number
  /** Seconds without an answer from any server after which it gives up. */
  readonly patience: number
  /** Seconds that a server is left out after its first failure. */
  readonly backoff: number
  /** Tells a person that a server is left out, or is back. */
  readonly note: (line: string) => Effect.Effect<void>
}

/** How often the same work may meet a lost adapter, or an answer that cannot be used. */
const mostTries = 5

/** Milliseconds. */
const longestOut = 30_000

interface Place {
  readonly server: Server
  /** Candidates under way. */
  open: number
  /** Failures since its last answer. */
  failures: number
  /** When it may be asked again, milliseconds since 1970. */
  from: number
  /** Whether a person was told that it is left out. */
  out: boolean
}

const sentence = (text: string): string => `${text[0]!.toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`

export const makeFleet = ({ backoff, concurrency, note, patience, servers }: FleetOptions) => {
  const places = servers.map((server): Place => ({ server, open: 0, failures: 0, from: 0, out: false }))
  let changed = Deferred.makeUnsafe<void>()
  /** When the last answer came, or the first work after a pause. */
  let heard = 0
  let last = "no server has answered"
  const change = Effect.suspend(() => {
    const told = changed
    changed = Deferred.makeUnsafe<void>()
    return Deferred.succeed(told, undefined)
  })

  const free = (candidates: number, now: number) =>
    places.filter(({ failures, from, open }) => from <= now && (open === 0 || (failures === 0 && open + candidates <= concurrency)))
      .reduce<Place | undefined>((best, place) => (best === undefined || place.open < best.open ? place : best), undefined)

  /** Waits for a place; fails once no server has answered for too long. */
  const take = (candidates: number, restore: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>): Effect.Effect<Place, SamplerFailed> =>
    Effect.gen(function*() {
      for (;;) {
        const until = Deferred.await(changed) // before the look, so that no change is missed
        const now = yield* Clock.currentTimeMillis
        const place = free(candidates, now)
        if (place !== undefined) {
          place.open += candidates
          return place
        }
        const end = heard + 1000 * patience
        const stuck = places.every(({ failures, from, open }) => from > now || (failures > 0 && open > 0))
        if (stuck && now >= end) {
          return yield* new SamplerFailed({ kind: "unreachable", message: `No sampling server has answered for ${patience} s; the last one: ${last}. Start them again, then resume the run.` })
        }
        const wake = Math.min(...places.map(({ from }) => (from > now ? from : Infinity)), stuck ? end : Infinity)
        yield* restore(wake === Infinity ? until : Effect.timeoutOrElse(until, { duration: Math.max(1, wake - now), orElse: () => Effect.void }))
      }
    })

  const answered = (place: Place) =>
    Effect.gen(function*() {
      heard = yield* Clock.currentTimeMillis
      place.failures = 0
      if (!place.out) return
      place.out = false
      yield* note(sentence(`${place.server.where} is back`))
    })

  /** Leaves the server alone for a while. */
  const failed = Effect.fnUntraced(function*(place: Place, error: CallError) {
    last = error.message
    const now = yield* Clock.currentTimeMillis
    // Those that were under way together fail together: that is one failure.
    if (place.from > now) return
    place.failures++
    place.from = now + Math.max(Math.min(longestOut, 1000 * backoff * 2 ** (place.failures - 1)), error._tag === "ServerBusy" ? 1000 * error.retryAfter : 0)
    if (error._tag !== "ServerDown") return
    place.server.forget()
    if (place.out) return
    place.out = true
    yield* note(sentence(`${error.message}; it is left out, and asked again later`))
  })

  /** What a person must change, or `undefined` if the work is worth asking again. */
  const given = (error: CallError, tries: number): SamplerFailed | undefined => {
    if (error._tag === "ServerRefused") return new SamplerFailed({ kind: "refused", message: sentence(error.message) })
    if (tries < mostTries) return undefined
    return error._tag === "AdapterLost"
      ? new SamplerFailed({ kind: "unknown", message: `${sentence(error.message).slice(0, -1)}, though it was loaded ${tries} times. Its candidates would be of an unknown policy, so none is taken: look at its log.` })
      : new SamplerFailed({ kind: "refused", message: `${sentence(error.message).slice(0, -1)}, ${tries} times in a row.` })
  }

  /** Asks until some server has answered. */
  const draw = Effect.fnUntraced(function*(adapter: PushedAdapter, work: Work) {
    const size = work.seeds.length
    const tries = { AdapterLost: 0, AnswerUnusable: 0 }
    if (places.every(({ open }) => open === 0)) heard = yield* Clock.currentTimeMillis
    for (;;) {
      const drawn = yield* Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(take(size, restore), (place) =>
          restore(place.server.ask(adapter, work)).pipe(
            Effect.tap(answered(place)),
            Effect.catch((error: CallError) =>
              Effect.gen(function*() {
                const seen = error._tag === "AdapterLost" || error._tag === "AnswerUnusable" ? ++tries[error._tag] : 0
                const why = given(error, seen)
                if (why !== undefined) return yield* why
                // Lost once is a restart, mended at once.
                if (error._tag !== "AdapterLost" || seen > 1) yield* failed(place, error)
                return undefined
              })
            ),
            Effect.ensuring(Effect.andThen(Effect.sync(() => void (place.open -= size)), change))
          ))
      )
      if (drawn !== undefined) return drawn satisfies Drawn as Drawn
    }
  })

  return { draw, clear: Effect.forEach(servers, ({ clear }) => clear, { concurrency: "unbounded", discard: true }) }
}
