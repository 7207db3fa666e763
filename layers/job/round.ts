/**
 * One job from its start to its end. Its id stands for its work, so the order is: take the result if it is there; join the job if
 * it is there; only then start it. A process that died at any instant does the same again, and nothing is started twice.
 *
 * An interruption leaves the job running (or asks it to stop) and says how it is joined.
 */
import { Clock, Duration, Effect, Ref, Schedule } from "effect"
import { duration as inWords } from "../../src/system/progress.ts"
import { JobBusy, type JobCluster, type JobError, JobFailed, type JobSpec, type JobState } from "./cluster.ts"

export interface RoundOptions {
  readonly cluster: JobCluster
  /** One line for people. */
  readonly tell: (line: string) => Effect.Effect<void>
  /** Seconds between two looks at the job. Default 5. */
  readonly poll?: number | undefined
  /** Seconds for which a cluster that has answered before may be away. Default 900. */
  readonly patience?: number | undefined
  /** Hours for which a job may wait and run. Default 24. */
  readonly timeout?: number | undefined
  /** What an interruption does with the job. Default `leave`. */
  readonly onInterrupt?: "leave" | "stop" | undefined
}

/** Lines of the log that are told in a round, and kept for the error. */
const [toldLines, keptLines] = [200, 20]

/** Progress bars and warnings of libraries are many lines that say nothing. */
const isNoise = (line: string): boolean => /\d+%\||(it|examples)\/s\]|[A-Z]\w*Warning:|^warnings\.warn\(/.test(line)

/** The line that says most of why a Python program died. */
const telling = (log: ReadonlyArray<string>): string | undefined =>
  log.findLast((line) => /^[\w.]*(Error|Exception|Killed|Interrupt)\b/.test(line) && !line.includes("CalledProcessError")) ?? log.at(-1)

/**
 * Asks again while the cluster is busy: 0.5 s, 1 s, ... 30 s, never before it allows. Without any connection only five times,
 * unless it has answered before.
 */
const patiently = (o: RoundOptions, answered: Ref.Ref<boolean>) => <A, E, R>(ask: Effect.Effect<A, E, R>) => {
  const { patience = 900 } = o
  return Effect.gen(function*() {
    let [waited, tried] = [0, 0]
    const before = yield* Ref.get(answered)
    return yield* Effect.retry(ask, Schedule.min([Schedule.exponential("500 millis"), Schedule.spaced("30 seconds")]).pipe(
      Schedule.jittered,
      Schedule.setInputType<E>(),
      Schedule.while(({ input }) => input instanceof JobBusy && waited < patience && (++tried <= 5 || before || input.reached)),
      Schedule.modifyDelay(({ duration, input }) => {
        if (!(input instanceof JobBusy)) return Effect.succeed(duration)
        const wait = Duration.max(duration, Duration.seconds(input.retryAfter))
        waited += Duration.toSeconds(wait)
        return Effect.as(o.tell(`${input.message}; again in ${inWords(Math.ceil(Duration.toSeconds(wait)))}.`), wait)
      })
    ))
  }).pipe(Effect.tap(() => Ref.set(answered, true)))
}

/**
 * The result of the job, whoever started it. Fails with `JobFailed` if it ended without one, with `JobBusy` if the cluster stays
 * away, with `JobRefused` if it will not have the job.
 *
 * @param put brings what the job reads to where it reads it; only before the job is started
 * @param result undefined while it is not there
 */
export const runJob = Effect.fn("job.runJob")(function*<A, E>(
  o: RoundOptions,
  spec: JobSpec,
  put: Effect.Effect<void, JobError>,
  result: Effect.Effect<A | undefined, E | JobError>
): Effect.fn.Return<A, E | JobError | JobFailed> {
  const { cluster, poll = 5, tell, timeout = 24 } = o
  const { id } = spec
  const again = patiently(o, yield* Ref.make(false))
  const known = yield* again(result)
  if (known !== undefined) {
    yield* tell(`The result of job ${id} is there already, and is taken over.`)
    return known
  }
  const find = again(cluster.find(id))
  const pause = Effect.sleep(Duration.seconds(poll))

  let placed = false
  /**
   * Looks for the job and starts it if it is not there. Where the start failed, the answer may be lost, or somebody else may have
   * been first: only the cluster knows whether it has the job.
   */
  const findOrStart = Effect.gen(function*() {
    const found = yield* cluster.find(id)
    if (found !== undefined) return found
    if (!placed) yield* put
    placed = true
    const refused = yield* cluster.start(spec).pipe(Effect.as(undefined), Effect.catch((error: JobError) => Effect.succeed(error)))
    if (refused === undefined) return undefined
    return (yield* cluster.find(id)) ?? (yield* refused)
  })

  /** One that ended without a result, before this process came, is started again. */
  const begin = Effect.gen(function*() {
    for (;;) {
      const found = yield* again(findOrStart)
      if (found === undefined) return yield* tell(`Job ${id} is started: ${cluster.name}.`)
      if (found.status === "failed" || found.status === "stopped") {
        yield* tell(`Job ${id} ${found.status === "failed" ? "had failed" : "was stopped"}${found.message === "" ? "" : ` (${found.message})`}: it is started again.`)
        yield* again(cluster.remove(id))
      } else if (found.status !== "leaving") {
        return yield* tell(`Job ${id} is there already (${found.status}), and is joined: ${cluster.name}.`)
      }
      yield* pause
    }
  })

  const told = { lines: 0, seen: 0 }
  let log: ReadonlyArray<string> = []
  const follow = Effect.fnUntraced(function*() {
    const all = yield* cluster.log(id).pipe(Effect.orElseSucceed(() => undefined)) // the job goes on without its log
    if (all === undefined) return
    const fresh = all.slice(told.seen).filter((line) => !isNoise(line))
    told.seen = all.length
    log = all.filter((line) => !isNoise(line)).slice(-keptLines)
    for (const line of fresh) {
      if (told.lines === toldLines) yield* tell("  More is in the job's own log.")
      if (told.lines++ < toldLines) yield* tell(`  ${line}`)
    }
  })
  const failed = (how: string, state: JobState) => {
    const why = [state.message, telling(log)].filter((words) => words !== undefined && words !== "").join("; ")
    return new JobFailed({ job: id, message: `Job ${id} of ${cluster.name} ${how}${why === "" ? "" : `: ${why.replace(/\.$/, "")}`}. Resume the run to start it again.`, log })
  }

  const watch = Effect.gen(function*() {
    const began = yield* Clock.currentTimeMillis
    for (let before = "";;) {
      const state = yield* find
      if (state === undefined) return yield* failed("is gone", { status: "stopped", message: "" })
      if (state.status !== before) yield* tell(`Job ${id}: ${state.status}${state.message === "" ? "" : `, ${state.message}`}`)
      before = state.status
      if (state.status !== "waiting") yield* follow()
      if (state.status === "failed" || state.status === "stopped" || state.status === "leaving") return yield* failed(state.status === "failed" ? "failed" : "was stopped", state)
      if (state.status === "succeeded") return state
      if ((yield* Clock.currentTimeMillis) - began > 3600e3 * timeout) {
        return yield* new JobFailed({ job: id, log, message: `Job ${id} of ${cluster.name} has not ended within ${timeout} h (--job-timeout): resume the run to join it, or stop it: ${cluster.byHand(id)}.` })
      }
      yield* pause
    }
  })

  const interrupted = o.onInterrupt === "stop"
    ? cluster.stop(id).pipe(
      Effect.timeout("20 seconds"),
      Effect.andThen(tell(`Job ${id} was asked to stop; a resumed run starts it again.`)),
      Effect.catch(() => tell(`Job ${id} could not be asked to stop: ${cluster.byHand(id)}.`))
    )
    : tell(`Job ${id} goes on at ${cluster.name}: a resumed run joins it. To stop it: ${cluster.byHand(id)}`)
  const state = yield* Effect.andThen(begin, watch).pipe(Effect.interruptible, Effect.onInterrupt(() => interrupted))

  // A shared folder may show a file a little later than it was written.
  for (let n = 0; n < 12; n++) {
    const found = yield* again(result)
    if (found !== undefined) return found
    yield* Effect.interruptible(pause)
  }
  yield* again(cluster.remove(id)) // else a resumed run would join it
  return yield* failed("ended well but left no result where it was looked for", state)
})
