/** The budget of a run that many runners pay is one budget. */
import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted } from "effect"
import { afterAll, beforeAll } from "vitest"
import * as shared from "../../layers/cluster/ledger.ts"
import * as ledger from "../../layers/postgres/ledger.ts"
import { Postgres } from "../../layers/postgres/postgres.ts"
import { RunPostgres } from "../../layers/postgres/run-postgres.ts"
import { Ledger } from "../../src/stages/Ledger.ts"
import { hasPostgres, type PostgresServer, startPostgres } from "./server.ts"

describe.skipIf(!hasPostgres)("the ledger of many runners", () => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres()
    await server.start()
  }, 120_000)
  afterAll(() => server?.remove())

  /** As a process of its own. @param budget nano-USD */
  const runner = (run: string, budget: number) =>
    Effect.map(
      Layer.build(Layer.fresh(shared.layer({ budgetUsd: budget / 1e9 }).pipe(
        Layer.provide(ledger.layer),
        Layer.provide(RunPostgres.layer({ run })),
        Layer.provide(Postgres.layer({ url: Redacted.make(server.url) }))
      ))),
      (context) => Effect.provide(Ledger, context)
    )
  const booked = (run: string) =>
    Number(server.sql(`SELECT coalesce(sum(nano_usd), 0) FROM vequinox.calls c JOIN vequinox.runs r ON r.id = c.run WHERE r.name = '${run}'`))

  it.live("never books more than the budget, however many ask at once, and spends it", () =>
    Effect.gen(function*() {
      const run = randomUUID()
      const ledgers = yield* Effect.forEach([1, 2, 3], () => Effect.flatten(runner(run, 1000)))
      let most = 0
      const call = (n: number) =>
        Effect.gen(function*() {
          const { asked, ended } = ledgers[n % 3]!
          const id = yield* asked(`question ${n}`, 300)
          most = Math.max(most, booked(run))
          yield* Effect.sleep("50 millis")
          yield* ended(id, 100)
        })
      const exits = yield* Effect.forEach(Array.from({ length: 15 }, (_, n) => n), (n) => Effect.result(call(n)), { concurrency: 15 })
      const failures = exits.flatMap((exit) => exit._tag === "Failure" ? [exit.failure.message] : [])
      assert.isAtMost(most, 1000)
      assert.strictEqual(booked(run), 800) // another call could cost 300
      assert.deepStrictEqual([...new Set(failures)], ["The budget of $0.000001, which all runners share, has $0.000000 left, and the next judgment could cost $0.000000: raise --budget-usd to continue."])
    }))

  it.live("waits for what other runners have under way before it says that the budget is spent", () =>
    Effect.gen(function*() {
      const run = randomUUID()
      const [one, other] = yield* Effect.forEach([1, 2], () => Effect.flatten(runner(run, 1000)))
      const first = yield* one!.asked("a", 900)
      const waiting = yield* Effect.forkScoped(other!.asked("b", 900))
      yield* Effect.sleep("600 millis")
      assert.isUndefined(waiting.pollUnsafe())
      yield* one!.ended(first, 50)
      assert.isNumber(yield* Fiber.join(waiting))
      assert.strictEqual(booked(run), 950)
    }))

  it.live("counts everything at the highest charge that any runner has met", () =>
    Effect.gen(function*() {
      const run = randomUUID()
      const [one, other] = yield* Effect.forEach([1, 2], () => Effect.flatten(runner(run, 1000)))
      yield* one!.ended(yield* one!.asked("a", 100), 300, 3)
      yield* Effect.flip(other!.asked("b", 240)) // 300 + 3 * 240
      assert.isNumber(yield* other!.asked("b", 200))
    }))
})
