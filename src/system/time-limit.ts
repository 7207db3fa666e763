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

/** Where other processes take the cores, the clock runs on without us: so often the work may begin anew. */
const tries = 20

/** Microseconds of processor time, of this thread where Node can tell (from 23.9), else of the process. */
const worked = (): number => {
  const { system, user } = typeof process.threadCpuUsage === "function" ? process.threadCpuUsage() : process.cpuUsage()
  return system + user
}

/**
 * Runs `work`, which must not wait for anything, and ends it if it takes too long, wherever it is: V8 itself checks the
 * clock, in loops and in regular expressions. Work that was ended though it had the processor for less than half of that
 * time begins anew, so it must be repeatable. Costs a third of a millisecond. Nested work has the outer limit.
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
    for (let n = 1;; n++) {
      const before = worked()
      try {
        return script.runInContext(context, { timeout: Math.ceil(1000 * seconds) }) as A
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException | null)?.code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw cause
        if (n === tries || worked() - before >= 5e5 * seconds) throw new TimeLimitPassed(seconds)
      }
    }
  } finally {
    limited = false
    delete context.work
  }
}
