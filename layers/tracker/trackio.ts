/**
 * Trackio's server (0.43), by `POST /api/bulk_log`. Each step has an id of its own: the server takes it once, however often
 * it is sent, so a resumed run continues its curves.
 */
import { Effect, Layer, Redacted } from "effect"
import { numbersOf, type TrackedStep, Tracker, untracked } from "../../src/stages/Tracker.ts"
import { codeOf } from "../../src/system/http-failure.ts"
import { atMost, longestAnswer } from "../../src/system/http-limits.ts"
import { bounded, TrackerFailed } from "./bounded.ts"

export interface TrackioOptions {
  /** The server's address, without a query. */
  readonly url: string
  readonly project: string
  readonly run: string
  /** The same for every process of a run, and for no other run. */
  readonly id: string
  readonly config: Readonly<Record<string, unknown>>
  /** What the server was started with; it refuses to be written to without it. */
  readonly token: Redacted.Redacted | undefined
  readonly note: (line: string) => Effect.Effect<void>
}

export const layer = ({ config, id, note, project, run, token, url }: TrackioOptions) => Layer.effect(Tracker, Effect.gen(function*() {
  const address = `${url.replace(/\/+$/, "")}/api/bulk_log`
  const headers = {
    "content-type": "application/json",
    ...(token === undefined ? {} : { "x-trackio-write-token": Redacted.value(token) })
  }
  let begun = false
  const entry = (told: TrackedStep, first: boolean) => ({
    project,
    run,
    run_id: id,
    metrics: numbersOf(told),
    step: told.step,
    log_id: `${id}-${told.kind === "end" ? "end" : "step"}-${told.step}`,
    ...(first ? { config } : {})
  })
  const send = Effect.fnUntraced(function*(steps: ReadonlyArray<TrackedStep>) {
    const body = JSON.stringify({ logs: steps.map((step, n) => entry(step, !begun && n === 0)), hf_token: null })
    const status = yield* Effect.tryPromise({
      try: async (signal) => {
        const response = await fetch(address, { method: "POST", headers, body, signal, redirect: "manual" }) // a token is sent to nobody else
        await atMost(response, longestAnswer).arrayBuffer()
        return response.status
      },
      catch: (cause) => new TrackerFailed({ reason: `its server cannot be reached: ${codeOf(cause) || "the connection was lost"}`, passes: true })
    })
    if (status !== 200) {
      return yield* new TrackerFailed({
        reason: `its server answered ${status}${status === 400 && token === undefined ? "; it may need TRACKIO_WRITE_TOKEN" : ""}`,
        passes: status >= 500 || status === 408 || status === 429
      })
    }
    begun = true
  })
  const { dropped, end, offer } = yield* bounded({ name: "trackio", capacity: 1024, batch: 64, send, note })
  return { ...untracked, step: offer, dropped, end }
}))
