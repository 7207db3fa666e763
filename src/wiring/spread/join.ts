/**
 * One runner of a run whose work is spread (layers/cluster): draws, renders and judges for it, and trains where the cluster
 * gives it the optimizer, until the run has ended or a person ends the process.
 */
import * as net from "node:net"
import * as path from "node:path"
import { Effect, Layer, Logger, References, Schedule, Schema } from "effect"
import { type Address, layer as clusterLayer, removeTables, runnersNow } from "../../../layers/cluster/cluster.ts"
import { removePolicies } from "../../../layers/cluster/policy-files.ts"
import * as runner from "../../../layers/cluster/runner.ts"
import { PostgresFailed } from "../../../layers/postgres/db.ts"
import { Postgres } from "../../../layers/postgres/postgres.ts"
import { RunPostgres } from "../../../layers/postgres/run-postgres.ts"
import * as runState from "../../../layers/postgres/run-state.ts"
import { RunState } from "../../stages/RunState.ts"
import { BadInput } from "../../system/errors.ts"
import type { Say } from "../run/open-run.ts"
import { type Begun, joinCommand, openBegun, resumeCommand, wasUnderWay } from "../run/resume.ts"
import { hearEnd } from "./end.ts"
import { localStages } from "./local-stages.ts"
import * as optimizer from "./optimizer.ts"

/** The run ended on one of its runners, for this reason. */
export class SpreadEnded extends Schema.TaggedError<SpreadEnded>()("SpreadEnded", {
  message: Schema.String
}) {}

export interface JoinOptions extends Pick<optimizer.OptimizerOptions, "onStep" | "onSummary" | "say" | "style"> {
  /** The run's folder, which all runners share. */
  readonly folder: string
  /** Port 0 takes a free one. */
  readonly address: Address
}

/** @param port 0 finds a free one */
const portAt = ({ host, port }: Address) =>
  Effect.callback<number, BadInput>((resume) => {
    const server = net.createServer()
    server.on("error", ({ message }) =>
      resume(Effect.fail(new BadInput({ message: `No runner can listen there (${message}): give an address of this machine as --host, and a free --port.` }))))
    server.listen(port, host, () => {
      const { port } = server.address() as net.AddressInfo
      server.close(() => resume(Effect.succeed(port)))
    })
  })

/** The run's own place in the database that DATABASE_URL names. */
const inDatabase = Effect.fnUntraced(function*(begun: Begun, run: string) {
  const server = yield* Layer.build(Postgres.layerConfig())
  const { place, read } = yield* Effect.provide(Postgres, server)
  const [known] = yield* read(({ rows }) => rows("SELECT 1 AS one FROM runs WHERE name = $1", [run]))
  if (known === undefined && wasUnderWay(begun)) {
    return yield* new PostgresFailed({ message: `The database ${place} does not hold run ${run}, which began in another: name that one in DATABASE_URL.` })
  }
  return yield* Layer.build(runState.layer.pipe(Layer.provideMerge(RunPostgres.layer({ run })), Layer.provideMerge(Layer.succeedContext(server))))
})

/** Only what a person should know of the cluster's own log: that it cannot reach the database, and waits. */
const logged = (say: Say) =>
  Layer.merge(
    Logger.layer([Logger.make(({ message }) => void Effect.runFork(say(`The cluster: ${String(Array.isArray(message) ? message[0] : message)}.`)))]),
    Layer.succeed(References.MinimumLogLevel, "Error")
  )

/** Fails with a sentence for people if it cannot join, and with `SpreadEnded` if the run failed, here or on another runner. */
export const joinRun = Effect.fn("joinRun")(function*({ address: { host, port }, folder, onStep, onSummary, say, style }: JoinOptions) {
  const begun = yield* openBegun(folder)
  const { run } = begun
  const name = path.relative(process.cwd(), run.path) || "."
  const id = String(begun.config["run_id"] ?? "")
  const { settings, stages } = yield* localStages(begun, style)
  const database = yield* inDatabase(begun, id)
  const finished = Effect.map(Effect.flatMap(RunState, ({ finished }) => finished), (steps) => steps === settings.max_steps)
  return yield* Effect.gen(function*() {
    if (yield* finished) return yield* say(`${name} is finished. Look: ${run.file("report.html")}`)
    const address = { host, port: yield* portAt({ host, port }) }
    const done = { sample: 0, render: 0, compare: 0 }
    let holds = false
    const told = () => `drew ${done.sample} batches, rendered ${done.render} drawings and judged ${done.compare} times`

    // Registered first, so it comes last: the cluster has been left by then.
    yield* Effect.addFinalizer(() =>
      Effect.gen(function*() {
        yield* say(`This runner ${told()}.`)
        if ((yield* runnersNow) > 0) return
        if (!(yield* finished)) return yield* say(`No runner is left. Go on: ${joinCommand(run)} (or alone: ${resumeCommand(run)})`)
        yield* removeTables
        yield* removePolicies(run.path)
      }).pipe(Effect.timeout("3 seconds"), Effect.ignore, Effect.provide(database))
    )
    const local = yield* Layer.build(stages)
    const end = yield* hearEnd
    const onHolding = (now: boolean) =>
      Effect.suspend(() => {
        holds = now
        return now ? say("This runner trains from here on.") : Effect.void
      })
    yield* say(`Runner ${host}:${address.port} of ${name} draws, renders and judges. Others join with: ${joinCommand(run)}`)
    yield* Layer.build(
      Layer.merge(runner.layer(run.path), optimizer.layer({ folder: run, run: id, style, say, onStep, onSummary, onHolding })).pipe(
        Layer.provide(clusterLayer(address).pipe(Layer.provide(Postgres.layerClient()))),
        Layer.provide(Layer.succeedContext(local)),
        Layer.provide(logged(say)),
        Layer.provide(Layer.succeed(runner.Done, (kind) => void done[kind]++))
      )
    )
    if (style !== "none") {
      yield* Effect.forkScoped(Effect.repeat(Effect.suspend(() => holds ? Effect.void : say(`So far this runner ${told()}.`)), Schedule.spaced("1 minute")).pipe(Effect.delay("1 minute")))
    }
    const { failed } = yield* end
    if (failed !== undefined) return yield* new SpreadEnded({ message: failed })
    yield* say(`${name} is finished. Look: ${run.file("report.html")}`)
  }).pipe(Effect.provide(database))
})
