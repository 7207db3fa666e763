/**
 * One of several processes on one run in Postgres, to be killed at any instant: `node work.ts write FIRST OF` judges and puts every OF-th rollout from
 * FIRST on, and puts again what a trainer that went back has forgotten; `node work.ts take` takes, writes what it got into a
 * ledger outside of the database, and commits. DATABASE_URL, RUN, STEPS, JUDGE (an address) and LEDGER (a file) say what on.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { Effect, Layer, Schema } from "effect"
import * as bufferPostgres from "../../layers/buffer/postgres.ts"
import * as judgmentsPostgres from "../../layers/postgres/judgments.ts"
import { Postgres } from "../../layers/postgres/postgres.ts"
import { RunPostgres } from "../../layers/postgres/run-postgres.ts"
import * as runStatePostgres from "../../layers/postgres/run-state.ts"
import { JudgedPair, Preference, type Rollout, Verdict } from "../../src/domain.ts"
import { Judgments } from "../../src/stages/Judgments.ts"
import { PreferenceBuffer } from "../../src/stages/PreferenceBuffer.ts"
import { RunState } from "../../src/stages/RunState.ts"
import { candidate, prompt } from "../stages/make.ts"

export const candidates = 3
const places = [[0, 1], [0, 2], [1, 2]] as const

/** What the judge says of a pair, whoever asks. */
export const honest = (step: number, a: number, b: number): "A" | "B" =>
  createHash("sha256").update(`${step} ${a} ${b}`).digest()[0]! % 2 === 0 ? "A" : "B"

/** Every lesson of a rollout, as the ledger names it. */
export const lessonsOf = (step: number): ReadonlyArray<string> =>
  places.map(([a, b]) => honest(step, a, b) === "A" ? `${step}: ${a} over ${b}` : `${step}: ${b} over ${a}`)

export interface Line {
  readonly version: number
  readonly lessons: ReadonlyArray<string>
}

export const linesOf = (ledger: string): ReadonlyArray<Line> =>
  fs.existsSync(ledger) ? fs.readFileSync(ledger, "utf8").split("\n").flatMap((line) => line === "" ? [] : [JSON.parse(line) as Line]) : []

const staleness = { maxStaleness: 1e6, staleWeight: 1 }
const env = (name: string): string => process.env[name]!

const ask = (step: number, a: number, b: number) =>
  // As layers/guide does: a question that is sent again has the same key, and the server charges it once.
  Effect.promise(() =>
    fetch(env("JUDGE"), { method: "POST", headers: { "idempotency-key": `${env("RUN")} ${step} ${a} ${b}` }, body: JSON.stringify({ step, a, b }) }).then((answer) => answer.json())
  ).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(Schema.Struct({ outcome: Schema.Literals(["A", "B"]) }))),
    Effect.orDie,
    Effect.map(({ outcome }) => [new Verdict({ outcome, confidence: 0.75, by: "loopback", costUsd: 0.001 })])
  )

const rollout = Effect.fnUntraced(function*(step: number) {
  const { once } = yield* Judgments
  const of = prompt(`drawing ${step}`)
  const drawn = Array.from({ length: candidates }, (_, index) => candidate({ step, index, prompt: of, seed: step * 10 + index }))
  const pairs = yield* Effect.forEach(places, ([a, b]) =>
    Effect.map(once({ step, prompt: of, judge: "loopback", shown: [[a, `hash ${a}`], [b, `hash ${b}`]], bare: false }, ask(step, a, b)), ([verdict]) =>
      new JudgedPair({ a: drawn[a]!, b: drawn[b]!, verdict: verdict! })))
  const lessons = pairs.map(({ a, b, verdict }) => {
    const [chosen, rejected] = verdict.outcome === "A" ? [a, b] : [b, a]
    return new Preference({ prompt: of, chosen, rejected, label: 1, weight: 1, verdict })
  })
  const drawings = drawn.map((candidate) => ({ candidate, rendering: { _tag: "Rejected", reason: "not-svg", detail: "not drawn here" } } as const))
  return { step, policyVersion: 0, drawings, pairs, lessons, seconds: { sample: 0, render: 0, judge: 0 } } as unknown as Rollout
})

const ready = Effect.sync(() => void process.stdout.write("ready\n"))

const write = Effect.fnUntraced(function*(first: number, of: number) {
  const { put } = yield* PreferenceBuffer
  const { read } = yield* RunPostgres
  const state = yield* RunState
  const own = Array.from({ length: Number(env("STEPS")) }, (_, step) => step).filter((step) => step % of === first)
  yield* ready
  while ((yield* state.finished) === undefined) {
    const there = new Set((yield* read(({ rows, run }) => rows("SELECT step FROM rollouts WHERE run = $1", [run]))).map(({ step }) => Number(step)))
    for (const step of own.filter((step) => !there.has(step))) yield* put(yield* rollout(step))
    yield* Effect.sleep("100 millis")
  }
})

const take = Effect.gen(function*() {
  const state = yield* RunState
  const buffer = yield* PreferenceBuffer
  let version = (yield* state.checkpoints)[0]?.step ?? 0
  yield* state.rewind(version)
  // What was not committed is taken again.
  const lines = linesOf(env("LEDGER")).filter((line) => line.version < version)
  fs.writeFileSync(env("LEDGER"), lines.map((line) => JSON.stringify(line) + "\n").join(""))
  let taken = lines.reduce((sum, { lessons }) => sum + lessons.length, 0)
  yield* ready
  while (taken < Number(env("STEPS")) * places.length) {
    const { lessons } = yield* buffer.take(version)
    if (lessons.length > 0) {
      const named = lessons.map((lesson) => lesson._tag === "Preference" ? `${lesson.chosen.step}: ${lesson.chosen.index} over ${lesson.rejected.index}` : "")
      fs.appendFileSync(env("LEDGER"), JSON.stringify({ version, lessons: named }) + "\n")
      yield* state.commit({ step: version + 1, sha256: "none", seconds: 0 }, [])
      taken += lessons.length
      version++
    }
    yield* Effect.sleep("30 millis")
  }
  yield* state.finish(version)
})

if (import.meta.main) {
  const [what, first = "0", of = "1"] = process.argv.slice(2)
  const run = what === "take" ? RunPostgres.layerTrainer({ run: env("RUN"), begun: false }) : RunPostgres.layer({ run: env("RUN") })
  const layers = Layer.mergeAll(judgmentsPostgres.layer, runStatePostgres.layer, bufferPostgres.layerIn(staleness)).pipe(
    Layer.provideMerge(run),
    Layer.provideMerge(Postgres.layerConfig())
  )
  const work = what === "take" ? take : write(Number(first), Number(of))
  await Effect.runPromise(Effect.provide(work, layers)).catch((error: Error) => {
    console.error(error.message)
    process.exitCode = 1
  })
}
