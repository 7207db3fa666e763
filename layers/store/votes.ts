/**
 * People's votes in `votes.db` of the run's folder, made with the first vote. A file of its own: the process that trains may hold
 * run.db, and a vote must not wait for it.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { Effect, Layer, Schema } from "effect"
import { Outcome } from "../../src/domain.ts"
import { hash32 } from "../../src/engine/random.ts"
import { Vote } from "../../src/studio/api.ts"
import { type Cast, type Pair, type VotedDrawings, Votes } from "../../src/studio/votes.ts"
import { explain, FileProblem } from "../../src/system/files.ts"
import { needHere } from "./elsewhere.ts"
import { readOnly } from "./read-only.ts"

const table = `
  CREATE TABLE IF NOT EXISTS votes (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
    step INTEGER NOT NULL, prompt_id TEXT NOT NULL, left_idx INTEGER NOT NULL, right_idx INTEGER NOT NULL,
    choice TEXT NOT NULL CHECK (choice IN ('left', 'right', 'tie')), blind INTEGER NOT NULL
  ) STRICT`

const fileOf = (run: string) => path.join(run, "votes.db")

/** Makes the file if it is missing. */
const writing = <A>(run: string, work: (db: DatabaseSync) => A): Effect.Effect<A, FileProblem> =>
  Effect.try({
    try: () => {
      const db = new DatabaseSync(fileOf(run), { timeout: 2000 })
      try {
        db.exec(table)
        return work(db)
      } finally {
        db.close()
      }
    },
    catch: (cause) => new FileProblem({ message: `Votes cannot be kept in ${fileOf(run)}: ${explain(cause)}.` })
  })

const Stored = Schema.Struct({ ...Vote.fields, blind: Schema.BooleanFromBit })
const decode = Schema.decodeUnknownSync(Schema.Array(Stored))
type StoredVote = typeof Stored.Type

const columns = `step, prompt_id AS promptId, left_idx AS "left", right_idx AS "right", choice, blind`

/** All votes, oldest first. */
const cast = (run: string): Effect.Effect<ReadonlyArray<StoredVote>, FileProblem> =>
  fs.existsSync(fileOf(run))
    ? readOnly(fileOf(run), (db) => decode(db.prepare(`SELECT ${columns} FROM votes ORDER BY id`).all()))
    : Effect.succeed([])

/** A pair whichever way round it was shown. */
const keyOf = ({ left, promptId, right, step }: Pick<StoredVote, "step" | "promptId" | "left" | "right">): string =>
  JSON.stringify([step, promptId, Math.min(left, right), Math.max(left, right)])

/** The last vote of each pair, in the order of these. */
const lastOf = (votes: ReadonlyArray<StoredVote>): ReadonlyArray<StoredVote> => {
  const last = new Map<string, StoredVote>()
  for (const vote of votes) {
    last.delete(keyOf(vote))
    last.set(keyOf(vote), vote)
  }
  return [...last.values()]
}

const inRun = <A>(run: string, work: (db: DatabaseSync) => A) => Effect.andThen(needHere(run), readOnly(path.join(run, "run.db"), work))

const judged = `v.judged_by <> 'gate' AND v.outcome IN ('A', 'B', 'tie')`
/** In this order, whatever SQLite thinks: verdicts are walked from a place, and few of them. */
const drawn = (side: "a" | "b") =>
  `CROSS JOIN candidates c${side} ON c${side}.step = v.step AND c${side}.prompt_id = v.prompt_id AND c${side}.idx = v.${side} AND c${side}.rendering = 'Rendered'`
const pairs = `SELECT v.step, v.prompt_id AS promptId, ca.prompt, v.a, v.b FROM verdicts v ${drawn("a")} ${drawn("b")}`

/** Pairs that are looked at before all are taken to have a vote. */
const mostTried = 500

/** From a place in the table that the number of votes decides: reloading the page shows the same pair. */
const nextIn = (db: DatabaseSync, votes: ReadonlyArray<StoredVote>): Pair | undefined => {
  const voted = new Set(votes.map(keyOf))
  const last = Number(db.prepare("SELECT max(rowid) AS last FROM verdicts").get()?.["last"] ?? 0)
  const from = last === 0 ? 0 : hash32(0x707e, votes.length) % last + 1
  const different = "ca.picture_hash <> cb.picture_hash"
  for (const range of ["v.rowid >= ?", "v.rowid < ?"]) {
    const rows = db.prepare(`${pairs} WHERE ${judged} AND ${different} AND ${range} ORDER BY v.rowid LIMIT ${mostTried + votes.length}`).iterate(from)
    for (const row of rows) {
      const pair = row as unknown as Pair
      if (!voted.has(keyOf({ ...pair, left: pair.a, right: pair.b }))) return { ...pair }
    }
  }
  return undefined
}

const verdictOn = `SELECT outcome FROM verdicts WHERE step = ? AND prompt_id = ? AND a = ? AND b = ?`
const swapped = { A: "B", B: "A", tie: "tie", invalid: "invalid", failed: "failed" } as const
const isOutcome: (value: unknown) => value is Outcome = Schema.is(Outcome)

const withJudge = (db: DatabaseSync, votes: ReadonlyArray<StoredVote>): Cast["pairs"] => {
  const ask = db.prepare(verdictOn)
  return lastOf(votes).flatMap(({ blind, choice, left, promptId, right, step }) => {
    const outcome = ask.get(step, promptId, Math.min(left, right), Math.max(left, right))?.["outcome"]
    if (!isOutcome(outcome)) return []
    return [{ blind, choice, judge: left < right ? outcome : swapped[outcome] }]
  })
}

const drawing = "SELECT prompt, svg, policy_version AS version FROM candidates WHERE step = ? AND prompt_id = ? AND idx = ?"

const drawings = (db: DatabaseSync, votes: ReadonlyArray<StoredVote>): ReadonlyArray<VotedDrawings> => {
  const read = db.prepare(drawing)
  return lastOf(votes).flatMap(({ choice, left, promptId, right, step }) => {
    const [a, b] = [left, right].map((index) => read.get(step, promptId, index))
    return a === undefined || b === undefined
      ? []
      : [{ step, policyVersion: Number(a["version"]), prompt: String(a["prompt"]), left: String(a["svg"]), right: String(b["svg"]), choice }]
  })
}

export const layer = Layer.succeed(Votes, Votes.of({
  next: (run) => Effect.flatMap(cast(run), (votes) => inRun(run, (db) => nextIn(db, votes))),
  cast: Effect.fnUntraced(function*(run, { blind, choice, left, promptId, right, step }) {
    const known = yield* inRun(run, (db) =>
      db.prepare(`${pairs} WHERE v.step = ? AND v.prompt_id = ? AND v.a = ? AND v.b = ?`).get(step, promptId, Math.min(left, right), Math.max(left, right)))
    if (known === undefined) return false
    yield* writing(run, (db) =>
      void db.prepare("INSERT INTO votes (step, prompt_id, left_idx, right_idx, choice, blind) VALUES (?, ?, ?, ?, ?, ?)")
        .run(step, promptId, left, right, choice, Number(blind)))
    return true
  }),
  undo: (run) =>
    fs.existsSync(fileOf(run))
      ? writing(run, (db) => void db.exec("DELETE FROM votes WHERE id = (SELECT max(id) FROM votes)"))
      : Effect.void,
  all: (run) =>
    Effect.flatMap(cast(run), (votes) =>
      votes.length === 0 ? Effect.succeed({ votes: 0, pairs: [] }) : inRun(run, (db) => ({ votes: votes.length, pairs: withJudge(db, votes) }))),
  of: (run, step, promptId, index) =>
    Effect.map(cast(run), (votes) =>
      new Map(lastOf(votes).filter((vote) => vote.step === step && vote.promptId === promptId && (vote.left === index || vote.right === index))
        .map(({ choice, left, right }) => [
          left === index ? right : left,
          choice === "tie" ? "tie" : (choice === "left") === (left === index) ? "won" : "lost"
        ]))),
  drawings: (run) => Effect.flatMap(cast(run), (votes) => votes.length === 0 ? Effect.succeed([]) : inRun(run, (db) => drawings(db, votes)))
}))
