/**
 * Four processes on one run, three that judge and put and one that takes, struck twenty times: they, and the server itself. What they
 * did is compared with ledgers outside of the database: the taker's file, and the judge's own count of what it charged.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { random } from "../../src/engine/random.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { hasPostgres, type PostgresServer, startPostgres } from "./server.ts"
import { honest, lessonsOf, linesOf } from "./work.ts"

const steps = 420
const blows = ["writer", "taker", "writer", "server", "writer", "taker", "one", "writer", "taker", "server"] as const
const kills = 20

/** A judge that charges a question once, whatever became of its answer, and counts how often it was asked again. */
const startJudge = async () => {
  const charged = new Map<string, number>()
  let again = 0
  const server = http.createServer((request, response) => {
    let body = ""
    request.on("data", (part) => (body += part)).on("end", () => {
      const key = String(request.headers["idempotency-key"])
      if (charged.has(key)) again++
      charged.set(key, (charged.get(key) ?? 0) + 1)
      const { a, b, step } = JSON.parse(body)
      setTimeout(() => response.end(JSON.stringify({ outcome: honest(step, a, b) })), 30)
    })
    response.on("error", () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, charged, again: () => again,
    close: () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve)))
  }
}

describe.skipIf(!hasPostgres)("four processes on one run", () => {
  const work = scratchFolder("postgres-many")
  let server: PostgresServer
  let judge: Awaited<ReturnType<typeof startJudge>>
  const alive = new Set<ChildProcess>()
  beforeAll(async () => {
    server = await startPostgres()
    await server.start()
    judge = await startJudge()
  })
  afterAll(async () => {
    for (const child of alive) child.kill("SIGKILL")
    await judge?.close()
    await server?.remove()
  })

  /** A process that is started again whenever it is killed, until it ends by itself. */
  const keepUp = (run: string, of: number, ...args: ReadonlyArray<string>) => {
    const env = { PATH: process.env["PATH"], DATABASE_URL: server.url, RUN: run, STEPS: String(of), JUDGE: judge.url, LEDGER: path.join(work, `${run}.jsonl`) }
    const said: Array<string> = []
    const now: { child?: ChildProcess; ready?: Promise<void> } = {}
    const ended = (async () => {
      for (;;) {
        const child = spawn(process.execPath, [path.join(import.meta.dirname, "work.ts"), ...args], { env, stdio: ["ignore", "pipe", "pipe"] })
        alive.add(child)
        now.child = child
        now.ready = new Promise((resolve) => child.stdout.once("data", () => resolve()))
        child.stderr.on("data", (text) => said.push(String(text)))
        const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => child.once("close", (code, signal) => resolve([code, signal])))
        alive.delete(child)
        if (signal !== "SIGKILL" && (code !== 0 || said.length > 0)) throw new Error(`${args.join(" ")} ended with ${code ?? signal}: ${said.join("")}`)
        if (signal !== "SIGKILL") return
      }
    })()
    /** Once it is at work, and a little later. @returns whether it was killed */
    const strike = async (after: number) => {
      await Promise.race([now.ready, ended])
      await pause(after)
      return now.child!.kill("SIGKILL")
    }
    return { ended, strike }
  }

  it("struck twenty times, lose nothing, double nothing, pay nothing twice, and mix it with no other run", async () => {
    const [run, other] = [randomUUID(), randomUUID()]
    // Another run in the same database, finished before.
    await Promise.all([keepUp(other, 6, "take"), keepUp(other, 6, "write")].map(({ ended }) => ended))
    const rowsOf = (name: string) =>
      ["rollouts", "candidates", "verdicts", "lessons", "judgments"].map((table) =>
        server.sql(`SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM vequinox.${table} t WHERE run = (SELECT id FROM vequinox.runs WHERE name = '${name}')`))
    const untouched = rowsOf(other)

    const writers = [0, 1, 2].map((n) => keepUp(run, steps, "write", String(n), "3"))
    const taker = keepUp(run, steps, "take")
    const draw = random(17)
    const struck: Record<string, number> = { writer: 0, taker: 0, server: 0, one: 0 }
    for (let n = 0; n < kills; n++) {
      const blow = blows[n % blows.length]!
      const after = 50 + Math.floor(400 * draw())
      switch (blow) {
        case "writer":
          assert.isTrue(await writers[Math.floor(draw() * 3)]!.strike(after), "all was done before it was struck")
          break
        case "taker":
          assert.isTrue(await taker.strike(after), "all was done before it was struck")
          break
        default:
          await pause(after)
          await server.strike(blow === "server" ? "all" : "one")
          if (blow === "server") {
            await pause(after)
            await server.start()
          }
      }
      struck[blow]!++
    }
    assert.deepStrictEqual(struck, { writer: 8, taker: 6, server: 4, one: 2 })
    await Promise.all([...writers, taker].map(({ ended }) => ended))

    // Every lesson once, and where the ledger says.
    const lines = linesOf(path.join(work, `${run}.jsonl`))
    const taken = lines.flatMap(({ lessons }) => lessons)
    assert.deepStrictEqual(taken.toSorted(), Array.from({ length: steps }, (_, step) => lessonsOf(step)).flat().toSorted())
    const stored = server.sql(
      `SELECT format('%s %s: %s over %s', consumed_by_step, step, candidate, rejected) FROM vequinox.lessons WHERE run = (SELECT id FROM vequinox.runs WHERE name = '${run}') AND dropped_at_step IS NULL`
    ).split("\n")
    assert.deepStrictEqual(stored.toSorted(), lines.flatMap(({ lessons, version }) => lessons.map((lesson) => `${version} ${lesson}`)).toSorted())

    // Every question answered, and stored, once. What was asked again had been on its way when its process was killed.
    const own = [...judge.charged.keys()].filter((key) => key.startsWith(run))
    assert.strictEqual(own.length, 3 * steps)
    assert.strictEqual(Number(server.sql(`SELECT count(*) FROM vequinox.judgments WHERE run = (SELECT id FROM vequinox.runs WHERE name = '${run}')`)), 3 * steps)
    assert.isAtMost(judge.again(), struck["writer"]!)
    assert.deepStrictEqual(rowsOf(other), untouched)
    console.log(`${kills} kills (${JSON.stringify(struck)}), ${lines.length} takes, ${judge.again()} questions sent again`)
  })
})
