/**
 * Limits the time of work in this thread, for work whose time depends on a stranger's text and cannot be bounded by
 * reading it.
 */
import { createContext, Script } from "node:vm"

/** The work was ended: it took longer than allowed. */
export class TimeLimitPassed extends Error {
  constructor(seconds: number) {
    super(`it took longer than ${seconds} s`)
  }
}

const script = new Script("work()")
let context: { work?: () => unknown } | undefined
let limited = false

/**
 * Runs `work`, which must not wait for anything, and ends it if it takes too long, wherever it is: V8 itself checks the
 * clock, in loops and in regular expressions. Costs a third of a millisecond. Nested work has the outer limit.
 *
 * @param seconds of wall clock, > 0: nothing else runs in this thread meanwhile
 * @returns what `work` returns; throws `TimeLimitPassed`, or what `work` throws
 */
export const within = <A>(seconds: number, work: () => A): A => {
  if (limited) return work()
  context ??= createContext({}) as { work?: () => unknown }
  context.work = work
  limited = true
  try {
    return script.runInContext(context, { timeout: Math.ceil(1000 * seconds) }) as A
  } catch (cause) {
    throw (cause as NodeJS.ErrnoException | null)?.code === "ERR_SCRIPT_EXECUTION_TIMEOUT" ? new TimeLimitPassed(seconds) : cause
  } finally {
    limited = false
    delete context.work
  }
}
