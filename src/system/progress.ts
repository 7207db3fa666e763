/**
 * Shows the progress of long work: one line that rewrites itself on a terminal, a plain line now and then elsewhere,
 * nothing if the output is for machines. Everything goes to stderr, so stdout stays clean for results.
 */
import { Clock, Context, Effect } from "effect"

/** `none`: silent, because results go to stdout as JSON, or because code is the caller. */
export type ProgressStyle = "terminal" | "plain" | "none"

export const progressStyle = (json: boolean): ProgressStyle =>
  json ? "none" : process.stderr.isTTY ? "terminal" : "plain"

/** `95` seconds as `1m35s`. */
export const duration = (seconds: number): string => {
  const s = Math.max(0, Math.round(seconds))
  if (s < 60) return `${s}s`
  return s < 3600 ? `${Math.floor(s / 60)}m${String(s % 60).padStart(2, "0")}s` : `${Math.floor(s / 3600)}h${String(Math.floor(s % 3600 / 60)).padStart(2, "0")}m`
}

/** `1234567` bytes as `1.2 MB`. */
export const byteSize = (bytes: number): string => {
  const unit = bytes < 1e3 ? 0 : Math.min(4, Math.floor(Math.log10(bytes) / 3))
  return `${unit === 0 ? Math.round(bytes) : (bytes / 1000 ** unit).toFixed(1)} ${["bytes", "kB", "MB", "GB", "TB"][unit]}`
}

/** How to put an amount and a rate into words. */
export interface Amounts {
  readonly of: (done: number, total: number) => string
  readonly rate: (perSecond: number) => string
}

const counted = (label: string): Amounts => ({
  of: (done, total) => `${label} ${done}/${total}`,
  rate: (rate) => (rate >= 1 ? `${rate.toFixed(1)} ${label}s/s` : rate > 0 ? `${(1 / rate).toFixed(1)} s a ${label}` : "")
})

export const bytes: Amounts = {
  of: (done, total) => `${byteSize(done)} of ${byteSize(total)}`,
  rate: (rate) => `${byteSize(rate)}/s`
}

/** Hears every line that stays on the screen, whatever the style. Without this service nobody does. */
export const Listener = Context.Reference<(line: string) => Effect.Effect<void>>("vequinox/Listener", {
  defaultValue: () => () => Effect.void
})

export interface Progress {
  /** Shows `done` of the total, with a detail beside it. */
  readonly tick: (done: number, detail: string) => Effect.Effect<void>
  /** Writes a separate line that stays. */
  readonly note: (line: string) => Effect.Effect<void>
  /** Keeps the last line. */
  readonly end: Effect.Effect<void>
}

/** Seconds between plain lines. */
const plainEvery = 10

/**
 * @param what is counted: `step`, `drawing`, ..., or `bytes`
 * @param from how much of `total` was done before: a resumed run's rate counts only its own work
 */
export const makeProgress = (style: ProgressStyle, what: string | Amounts, total: number, from = 0): Effect.Effect<Progress> =>
  Effect.gen(function*() {
    const amounts = typeof what === "string" ? counted(what) : what
    const start = yield* Clock.currentTimeMillis
    let printed = -Infinity
    let open = false
    const write = (text: string) => Effect.sync(() => void process.stderr.write(text))
    const tick = Effect.fnUntraced(function*(done: number, detail: string) {
      if (style === "none") return
      const now = yield* Clock.currentTimeMillis
      const seconds = (now - start) / 1000
      if (style === "plain" && done < total && seconds - printed < plainEvery) return
      printed = seconds
      const rate = (done - from) / Math.max(seconds, 1e-9)
      const left = rate > 0 && Number.isFinite(rate) ? `, ${duration((total - done) / rate)} left` : ""
      const line = `${amounts.of(done, total)}  ${detail}  ${amounts.rate(rate)}${left}`.trimEnd()
      if (style === "plain") return yield* write(line + "\n")
      open = true
      yield* write(`\r\x1b[2K${line.slice(0, Math.max(20, (process.stderr.columns ?? 80) - 1))}`)
    })
    const end = Effect.suspend(() => {
      if (!open) return Effect.void
      open = false
      return write("\n")
    })
    const listener = yield* Listener
    const note = (line: string) =>
      Effect.andThen(listener(line), style === "none" ? Effect.void : Effect.andThen(end, write(line + "\n")))
    return { tick, note, end }
  })
