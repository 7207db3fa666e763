/** The layers on Postgres keep what those on SQLite keep (test/stages/*.contract.ts), and what only a server can break. */
import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Redacted } from "effect"
import { afterAll, beforeAll } from "vitest"
import * as bufferPostgres from "../../layers/buffer/postgres.ts"
import * as judgmentsPostgres from "../../layers/postgres/judgments.ts"
import * as killedDrawingsPostgres from "../../layers/postgres/killed-drawings.ts"
import * as ledgerPostgres from "../../layers/postgres/ledger.ts"
import { Postgres, type PostgresOptions } from "../../layers/postgres/postgres.ts"
import { forgetRun, RunPostgres } from "../../layers/postgres/run-postgres.ts"
import * as runStatePostgres from "../../layers/postgres/run-state.ts"
import { migrations } from "../../layers/postgres/schema.ts"
import { blobOf, listIn } from "../../layers/store/number-blobs.ts"
import { rowsOf } from "../../layers/store/rollout-rows.ts"
import { Candidate, isPreference, Preference } from "../../src/domain.ts"
import { Judgments } from "../../src/stages/Judgments.ts"
import { PreferenceBuffer } from "../../src/stages/PreferenceBuffer.ts"
import { RunState } from "../../src/stages/RunState.ts"
import { integer, random } from "../../src/engine/random.ts"
import { prompt, rollout, verdict } from "../stages/make.ts"
import { bufferContract } from "../stages/PreferenceBuffer.contract.ts"
import { runStoreContract } from "../stages/RunStore.contract.ts"
import { startProxy } from "./proxy.ts"
import { hasPostgres, type PostgresServer, startPostgres } from "./server.ts"

const staleness = { maxStaleness: 1, staleWeight: 1 }

describe.skipIf(!hasPostgres)("Postgres", () => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres()
    await server.start()
  })
  afterAll(() => server?.remove())

  const postgres = (options: Partial<PostgresOptions> = {}) => Layer.suspend(() => Postgres.layer({ url: Redacted.make(server.url), ...options }))
  const inRun = (run: string, options: Partial<PostgresOptions> = {}) =>
    Layer.mergeAll(judgmentsPostgres.layer, ledgerPostgres.layer, killedDrawingsPostgres.layer, runStatePostgres.layer, bufferPostgres.layerIn(staleness)).pipe(
      Layer.provideMerge(RunPostgres.layer({ run })),
      Layer.provideMerge(postgres(options))
    )
  const trainer = (run: string, begun = true) => runStatePostgres.layer.pipe(Layer.provideMerge(RunPostgres.layerTrainer({ run, begun })), Layer.provideMerge(postgres()))
  /** As a process of its own. */
  const process = <A, E, R>(run: string, work: Effect.Effect<A, E, R>, options: Partial<PostgresOptions> = {}) => Effect.provide(work, Layer.fresh(inRun(run, options)))
  const count = (table: string) => Number(server.sql(`SELECT count(*) FROM vequinox.${table}`))

  bufferContract("postgres", (options) => bufferPostgres.layerIn(options).pipe(Layer.provide(RunPostgres.layer({ run: randomUUID() })), Layer.provide(postgres())))
  runStoreContract("postgres", () => inRun(randomUUID()))

  describe("buffer", () => {
    it.live("keeps every bit, and every character, over a restart of the server", () =>
      Effect.gen(function*() {
        const run = randomUUID()
        const svg = `<svg>\0 \uE000 \uE0000 \u{1F408}</svg>`
        const strange = (of: Candidate) => new Candidate({ ...of, svg })
        const { drawings, lessons, ...rest } = rollout(0)
        const changed = lessons.map((lesson) => isPreference(lesson) ? new Preference({ ...lesson, chosen: strange(lesson.chosen), rejected: strange(lesson.rejected) }) : lesson)
        yield* process(run, Effect.flatMap(PreferenceBuffer, ({ put }) =>
          put({ ...rest, drawings: drawings.map(({ candidate, rendering }) => ({ candidate: strange(candidate), rendering })), lessons: changed })))
        yield* Effect.promise(() => server.strike("all").then(server.start))
        assert.deepStrictEqual((yield* process(run, Effect.flatMap(PreferenceBuffer, ({ take }) => take(0)))).lessons, changed)
      }))

    it.live("hands each lesson to one of many that take at once", () =>
      Effect.gen(function*() {
        const run = randomUUID()
        const layers = yield* Effect.forEach([1, 2, 3, 4], () => Layer.build(Layer.fresh(inRun(run))))
        const buffers = layers.map((context) => Effect.provide(PreferenceBuffer, context))
        yield* Effect.forEach(Array.from({ length: 24 }, (_, step) => step), (step) => Effect.flatMap(buffers[step % 4]!, ({ put }) => put(rollout(step, 0))), { concurrency: 4 })
        const takes = yield* Effect.forEach([...buffers, ...buffers, ...buffers], (buffer) => Effect.flatMap(buffer, ({ take }) => take(1)), { concurrency: 12 })
        const rest = yield* Effect.flatMap(buffers[0]!, ({ take }) => take(1)) // what all others had left to one another
        const steps = [...takes, rest].flatMap(({ lessons }) => lessons.map((lesson) => lesson._tag === "Preference" ? `${lesson.chosen.step} ${lesson.chosen.index}` : ""))
        assert.strictEqual(steps.length, 48)
        assert.strictEqual(new Set(steps).size, 48)
      }))

    it.live("leaves a rollout as it is once a lesson of it was handed out", () =>
      process(randomUUID(), Effect.gen(function*() {
        const { put, take } = yield* PreferenceBuffer
        yield* put(rollout(0))
        yield* Effect.forEach([1, 2, 3, 4], () => put(rollout(0)), { concurrency: 4 }) // all at once, before it was taken
        assert.strictEqual((yield* take(0)).lessons.length, 2)
        yield* put(rollout(0))
        assert.strictEqual((yield* take(0)).lessons.length, 0)
      })))

    it.live("keeps runs apart", () =>
      Effect.gen(function*() {
        const [one, other] = [randomUUID(), randomUUID()]
        for (const run of [one, other]) yield* process(run, Effect.flatMap(PreferenceBuffer, ({ put }) => put(rollout(0))))
        yield* process(one, Effect.flatMap(RunState, ({ rewind }) => rewind(0)))
        assert.strictEqual((yield* process(one, Effect.flatMap(PreferenceBuffer, ({ take }) => take(0)))).lessons.length, 0)
        assert.strictEqual((yield* process(other, Effect.flatMap(PreferenceBuffer, ({ take }) => take(0)))).lessons.length, 2)
        const rows = count("lessons")
        yield* process(other, forgetRun)
        assert.strictEqual(count("lessons"), rows - 2)
      }))
  })

  describe("a transaction", () => {
    it.live("waits for a server that starts again, and is done once", () =>
      Effect.gen(function*() {
        const run = randomUUID()
        yield* process(run, Effect.gen(function*() {
          const { transaction } = yield* RunPostgres
          const { put, take } = yield* PreferenceBuffer
          yield* put(rollout(0))
          // The server ends in the middle of it: what was half done is rolled back, and done anew.
          let tries = 0
          yield* transaction(({ insert, rows, run }) =>
            Effect.gen(function*() {
              yield* insert("faults", [{ run, name: "half done", count: 1 }])
              if (tries++ === 0) yield* Effect.promise(() => server.strike("all"))
              if (tries === 1) yield* Effect.forkDetach(Effect.promise(() => server.start()))
              yield* rows("SELECT 1 AS one")
            }))
          assert.isAtLeast(tries, 2)
          assert.strictEqual((yield* take(0)).lessons.length, 2)
          assert.deepStrictEqual(yield* (yield* RunState).faults, { "half done": 1 })
        }))
      }))

    it.live("whose commit came through is not done again where the answer to it was lost", () =>
      Effect.gen(function*() {
        const proxy = yield* Effect.acquireRelease(Effect.promise(() => startProxy(server.port)), ({ close }) => Effect.sync(close))
        let tries = 0
        const { cuts, faults, made } = yield* process(randomUUID(), Effect.gen(function*() {
          const { transaction } = yield* RunPostgres
          proxy.cutNextCommit()
          const made = yield* transaction(({ rows, run }) =>
            Effect.map(
              rows("INSERT INTO faults VALUES ($1, 'once', 1) ON CONFLICT (run, name) DO UPDATE SET count = faults.count + 1", [run]),
              () => ++tries
            ))
          return { cuts: proxy.cuts(), faults: yield* (yield* RunState).faults, made }
        }), { url: Redacted.make(server.url.replace(String(server.port), String(proxy.port))) })
        assert.deepStrictEqual({ cuts, faults, made, tries }, { cuts: 1, faults: { once: 1 }, made: 1, tries: 1 })
      }))

    it.live("fails in one sentence where the server stays away", () =>
      Effect.gen(function*() {
        const { message } = yield* process(randomUUID(), Effect.gen(function*() {
          yield* Effect.promise(() => server.strike("all"))
          return yield* Effect.flip(Effect.flatMap(PreferenceBuffer, ({ put }) => put(rollout(0))))
        }), { patience: 1 }).pipe(Effect.ensuring(Effect.promise(() => server.start())))
        assert.match(message, /^The database 127\.0\.0\.1:\d+\/postgres does not answer \(.*ECONNREFUSED.*\): start it, or check DATABASE_URL\.$/)
        assert.notInclude(message, server.password)
      }))
  })

  describe("a run", () => {
    it.live("has one trainer at a time, of which none is left behind", () =>
      Effect.gen(function*() {
        const run = randomUUID()
        const other = randomUUID()
        yield* Effect.gen(function*() {
          const { message } = yield* Effect.flip(Effect.provide(RunState, Layer.fresh(trainer(run))))
          assert.strictEqual(message, `Another process is training run ${run}: wait until it has ended, or end it first.`)
          yield* Effect.provide(RunState, Layer.fresh(trainer(other, false))) // another run
        }).pipe(Effect.provide(trainer(run, false)))
        yield* Effect.provide(RunState, Layer.fresh(trainer(run)))
      }))

    it.live("is held again after a restart of the server; who lost it meanwhile writes nothing more", () =>
      Effect.gen(function*() {
        const run = randomUUID()
        yield* Effect.gen(function*() {
          const state = yield* RunState
          yield* Effect.promise(() => server.strike("all").then(server.start))
          yield* state.count("before")
          yield* Effect.sleep("3 seconds")
          assert.match((yield* Effect.flip(Effect.provide(RunState, Layer.fresh(trainer(run))))).message, /^Another process is training/)
          // As if another had been faster: the lock is freed, and the run held by somebody else.
          server.sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'; UPDATE vequinox.runs SET holds = holds + 1")
          const { message } = yield* Effect.flip(state.count("after"))
          assert.strictEqual(message, `Another process has taken over run ${run} while the database was away: this one stops.`)
          assert.deepStrictEqual(yield* state.faults, { before: 1 })
        }).pipe(Effect.provide(trainer(run, false)))
      }))

    it.live("that has begun must be there", () =>
      Effect.gen(function*() {
        const run = randomUUID()
        assert.match((yield* Effect.flip(Effect.provide(RunState, trainer(run)))).message, new RegExp(`^The database .*/postgres does not hold run ${run}, which began in another`))
      }))
  })

  describe("judgments", () => {
    const asked = { step: 2, prompt: prompt("a cat"), judge: "j-1", shown: [[0, "x"], [3, "y"]], bare: false } as const

    it.live("that another process asks for are waited for, not asked twice", () =>
      Effect.gen(function*() {
        const run = randomUUID()
        const asking = yield* Deferred.make<void>()
        const answer = yield* Deferred.make<void>()
        const once = (ask: Effect.Effect<string>) =>
          process(run, Effect.flatMap(Judgments, ({ once }) => once(asked, Effect.map(ask, (by) => [verdict({ by })]))))
        const first = yield* Effect.forkScoped(once(Deferred.succeed(asking, undefined).pipe(Effect.andThen(Deferred.await(answer)), Effect.as("the first"))))
        yield* Deferred.await(asking)
        const second = yield* Effect.forkScoped(once(Effect.die("asked twice")))
        yield* Effect.sleep("300 millis")
        yield* Deferred.succeed(answer, undefined)
        const [a, b] = [yield* Fiber.join(first), yield* Fiber.join(second)]
        assert.deepStrictEqual([a[0]!.by, b[0]!.by], ["the first", "the first"])
      }))
  })

  it.live("has its tables made by the first of many processes that begin at once", () =>
    Effect.gen(function*() {
      server.sql("CREATE DATABASE fresh")
      const url = Redacted.make(server.url.replace(/postgres$/, "fresh"))
      yield* Effect.forEach(Array.from({ length: 8 }), () => Effect.provide(Effect.void, Layer.fresh(Postgres.layer({ url }))), { concurrency: 8 })
      assert.strictEqual(server.sql("SELECT version FROM vequinox.schema_version", "fresh"), String(migrations.length))
    }))

  it.live("brings tables of version 1 up to date, whose lists were JSON: every list as this version writes it", () =>
    Effect.gen(function*() {
      server.sql("CREATE DATABASE older")
      const draw = random(0x01de4)
      const lists: ReadonlyArray<ReadonlyArray<number>> = [
        [], [0, 65_535], [3, 65_536], [-1, 2 ** 31 - 1], [-(2 ** 31)], [2 ** 31], [-(2 ** 31) - 1], [0.5, -0.25, 0], [-0.1, -1 / 3], [2 ** 53], [1e21, 1e-7], [1e300, 0.5], [5e-324, 1],
        [2 ** -149], [2 ** -150], [3.4028234663852886e38], [3.403e38], [1.7976931348623157e308, -1],
        ...Array.from({ length: 150 }, (_, n) => Array.from({ length: n % 50 }, () => [-5 * draw(), Math.fround(-5 * draw()), integer(draw, 70_000), integer(draw, 900)][n % 4]!))
      ]
      const { candidates, costs: _, ...tables } = rowsOf(rollout(0))
      const odd = { "[-0]": blobOf([-0]), "[1,": Buffer.from("[1,"), "[1,null]": Buffer.from("[1,null]") }
      const texts = [...lists.map((list) => JSON.stringify(list)), ...Object.keys(odd)]
      const asJson = (column: Uint8Array) => JSON.stringify(listIn(column))
      const rows = {
        ...tables,
        candidates: candidates.map(({ completion_ids, logps, prompt_ids, ...row }) => ({ ...row, prompt_ids: asJson(prompt_ids), completion_ids: asJson(completion_ids), logps: asJson(logps) }))
      }
      const insert = (["rollouts", "candidates", "verdicts", "lessons"] as const).map((table) => {
        const columns = Object.keys(rows[table][0]!).join(", ")
        return `INSERT INTO ${table} (run, ${columns}) SELECT 1, ${columns} FROM json_populate_recordset(NULL::${table}, $json$${JSON.stringify(rows[table])}$json$) WITH ORDINALITY ORDER BY ordinality`
      })
      server.sql(["CREATE SCHEMA vequinox", "SET search_path = vequinox", migrations[0]!, "CREATE TABLE schema_version (version INTEGER NOT NULL)", "INSERT INTO schema_version VALUES (1)", "INSERT INTO runs (name) VALUES ('old')", ...insert].join(";\n"), "older")
      server.sql(
        `INSERT INTO vequinox.candidates SELECT 1, 0, 'odd', at, '', 0, 0, '[]', '[1,2]', list, '', 'stop', 'Rendered'
         FROM unnest(ARRAY[${texts.map((text) => `'${text}'`).join(", ")}]) WITH ORDINALITY AS lists (list, at)`,
        "older"
      )

      const url = Redacted.make(server.url.replace(/postgres$/, "older"))
      const { lessons } = yield* Effect.flatMap(PreferenceBuffer, ({ take }) => take(0)).pipe(Effect.provide(Layer.fresh(inRun("old", { url }))))
      assert.deepStrictEqual(lessons, rollout(0).lessons)
      const found = server.sql("SELECT encode(logps, 'hex') FROM vequinox.candidates WHERE prompt_id = 'odd' ORDER BY idx", "older").split("\n")
      const hex = (blob: Uint8Array) => Buffer.from(blob).toString("hex")
      assert.deepStrictEqual(found, [...lists.map(blobOf), ...Object.values(odd)].map(hex))
      const columns = (database: string) =>
        server.sql("SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns WHERE table_schema = 'vequinox' ORDER BY 1, ordinal_position", database)
      yield* Effect.provide(Effect.void, Layer.fresh(postgres()))
      assert.strictEqual(columns("older"), columns("postgres"))
      assert.strictEqual(server.sql("SELECT count(*) FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = 'vequinox'", "older"), "0")
      assert.strictEqual(server.sql("SELECT string_agg(DISTINCT chr(get_byte(logps, 0)), '' ORDER BY chr(get_byte(logps, 0))) FROM vequinox.candidates WHERE prompt_id = 'odd'", "older"), "H[dfi")
    }))

  describe("says what is wrong", () => {
    const refusal = (url: string) => Effect.map(Effect.flip(Effect.provide(Effect.void, Postgres.layer({ url: Redacted.make(url) }))), ({ message }) => message)

    it.live("with an address, a password, a database", () =>
      Effect.gen(function*() {
        const [start] = server.url.split("//")
        for (const address of ["localhost", "mysql://a:b@localhost/c", "postgres://localhost/%zz"]) {
          assert.match(yield* refusal(address), /^DATABASE_URL is not the address of a Postgres database: it should look like postgres:/)
        }
        const wrong = yield* refusal(`${start}//tester:not-the-password@127.0.0.1:${server.port}/postgres`)
        assert.match(wrong, /^The database 127\.0\.0\.1:\d+\/postgres refuses the user or the password: check DATABASE_URL\.$/)
        assert.match(yield* refusal(server.url.replace(/postgres$/, "nowhere")), /^The database .*\/nowhere does not exist: create the database, or check its name/)
      }))

    it.live("with tables of another version, or of another program", () =>
      Effect.gen(function*() {
        for (const database of ["newer", "strange"]) server.sql(`CREATE DATABASE ${database}`)
        server.sql("CREATE SCHEMA vequinox; CREATE TABLE vequinox.schema_version AS SELECT 99 AS version", "newer")
        server.sql("CREATE SCHEMA vequinox; CREATE TABLE vequinox.runs (id int)", "strange")
        assert.match(yield* refusal(server.url.replace(/postgres$/, "newer")), /^The runs at .*\/newer were written by a newer vequinox \(schema 99, this one knows 2\): update vequinox/)
        assert.match(yield* refusal(server.url.replace(/postgres$/, "strange")), /^The database .*\/strange could not be used \(relation "runs" already exists\)\.$/)
      }))

    it.live("with a user who may not make tables", () =>
      Effect.gen(function*() {
        server.sql("CREATE DATABASE closed")
        server.sql("CREATE ROLE weak LOGIN PASSWORD 'weak-password'")
        const weak = `postgres://weak:weak-password@127.0.0.1:${server.port}/closed`
        assert.match(yield* refusal(weak), /^The database .*\/closed does not let this user make or change tables/)
        server.sql("CREATE SCHEMA vequinox AUTHORIZATION weak", "closed")
        yield* Effect.provide(Effect.void, Postgres.layer({ url: Redacted.make(weak) }))
      }))
  })
})
