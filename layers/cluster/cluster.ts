/**
 * The runners of one run: effect/cluster over TCP between them, with messages, results and locks in the run's database. Each
 * run has tables and locks of its own there, so its runners see no other run.
 *
 * The numbers say how soon a runner that is gone is noticed. Its work, and the optimizer if it held it, goes on elsewhere within
 * `lease` seconds at most.
 */
import * as NodeClusterSocket from "@effect/platform-node/NodeClusterSocket"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { Effect, Layer, Option } from "effect"
import { ClusterWorkflowEngine, RunnerAddress, RunnerHealth, Runners, ShardingConfig, SocketRunner, SqlMessageStorage, SqlRunnerStorage } from "effect/cluster"
import { RpcSerialization } from "effect/rpc"
import { RunPostgres } from "../postgres/run-postgres.ts"

/** Where other runners reach this one. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** Seconds after which the locks of a runner that no longer answers are free. */
export const lease = 35

/** Most bytes of a message from another runner. */
const longestFrame = 64 * 2 ** 20

const config = ({ host, port }: Address) =>
  ShardingConfig.layer({
    runnerAddress: Option.some(RunnerAddress.make(host, port)),
    runnerListenAddress: Option.none(),
    shardsPerGroup: 24, // each is a lock of the database, handed over one after the other
    shardLockExpiration: `${lease} seconds`,
    runnerHealthCheckInterval: "3 seconds",
    refreshAssignmentsInterval: "1 second",
    entityMessagePollInterval: "1 second",
    entityReplyPollInterval: "50 millis",
    entityTerminationTimeout: "200 millis",
    simulateRemoteSerialization: false
  })

const prefixOf = (run: number): string => `run_${run}`

const storage = Layer.unwrap(Effect.map(RunPostgres, ({ run }) => {
  const prefix = prefixOf(run)
  return Layer.mergeAll(
    SqlMessageStorage.layerWith({ prefix }).pipe(Layer.provide(NodeCrypto.layerDigest)),
    Layer.orDie(SqlRunnerStorage.layerWith({ prefix }))
  )
}))

/** A runner, until the scope closes: it then hands over what it holds. Fails if it cannot listen at its address. */
export const layer = (address: Address) =>
  ClusterWorkflowEngine.layer.pipe(
    Layer.provideMerge(SocketRunner.layer),
    Layer.provide(NodeClusterSocket.layerSocketServer),
    Layer.provide(RunnerHealth.layerPing.pipe(Layer.provide(Runners.layerRpc))),
    Layer.provide(NodeClusterSocket.layerClientProtocol),
    Layer.provideMerge(storage),
    Layer.provide(config(address)),
    Layer.provide(RpcSerialization.layerSchemaBinary({ maxFrameSize: longestFrame }))
  )

/** How many runners the run has now; none if it never had any. */
export const runnersNow = Effect.flatMap(RunPostgres, ({ read, run }) =>
  read(({ rows }) =>
    Effect.gen(function*() {
      const table = `${prefixOf(run)}_runners`
      const [known] = yield* rows("SELECT to_regclass($1) IS NOT NULL AS there", [`vequinox.${table}`])
      if (known?.["there"] !== true) return 0
      const [row] = yield* rows(`SELECT count(*)::int AS count FROM ${table} WHERE last_heartbeat > now() - interval '${lease} seconds'`)
      return Number(row!["count"])
    })))

/** Removes all messages of a run, which is finished and has no runner. */
export const removeTables = Effect.flatMap(RunPostgres, ({ run, transaction }) =>
  transaction(({ rows }) =>
    Effect.forEach(
      ["messages", "replies", "migrations", "runners", "locks", "runner_migrations"],
      (name) => rows(`DROP TABLE IF EXISTS ${prefixOf(run)}_${name} CASCADE`),
      { discard: true }
    )))
