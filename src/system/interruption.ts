/**
 * Ctrl-C and SIGTERM. The first signal interrupts the main fiber, so that every scope releases what it holds. This file
 * tells people what is happening and, if that takes too long or a second signal comes, kills the process with that
 * signal, native runs included. A killed run continues from its last checkpoint.
 */
import { Exit, Runtime } from "effect"

type Signal = "SIGINT" | "SIGTERM"

/** 128 and the number of the signal, as a shell reports it. */
const codes: Readonly<Record<Signal, number>> = { SIGINT: 130, SIGTERM: 143 }

/** Milliseconds after which a run that is still stopping is killed. Only a single native run can take that long. */
const patience = 4000
/** Milliseconds after which the waiting is explained. */
const noticeable = 700

/**
 * Listens from now on.
 *
 * @returns a function that ends the process once the main fiber has ended: `teardown` of `NodeRuntime.runMain`
 */
export const watchSignals = (): Runtime.Teardown => {
  // npm and pnpm pass on to a script a signal that the terminal has already sent it: one key press arrives twice.
  const echo = process.env["npm_lifecycle_event"] === undefined ? 0 : 100
  let first: { readonly signal: Signal; readonly at: number } | undefined
  const say = (sentence: string) => void process.stderr.write(`${process.stderr.isTTY ? "\n" : ""}vequinox: ${sentence}\n`)
  const kill = (signal: Signal, sentence: string) => {
    say(sentence)
    process.removeAllListeners(signal) // restore the system's default: end
    process.kill(process.pid, signal)
  }
  const hear = (signal: Signal) => {
    const at = performance.now()
    if (first !== undefined) {
      if (at - first.at >= echo) kill(signal, "ended at once.")
      return
    }
    first = { signal, at }
    setTimeout(() => say("stopping; press Ctrl-C again to end at once."), noticeable).unref()
    setTimeout(() => kill(signal, `ended, because stopping took more than ${patience / 1000} s.`), patience).unref()
  }
  process.on("SIGINT", hear)
  process.on("SIGTERM", hear)
  return (exit, onExit) => {
    if (first === undefined) return Runtime.defaultTeardown(exit, onExit)
    if (Exit.isSuccess(exit) && !process.exitCode) return onExit(0) // it had just finished
    say("interrupted; nothing was left running.")
    onExit(codes[first.signal])
  }
}
