/** The studio's Archive in a run's database, read page by page. */
import * as fs from "node:fs"
import * as path from "node:path"
import type { DatabaseSync, SQLInputValue } from "node:sqlite"
import { Effect, Layer, Schema } from "effect"
import { Verdict } from "../../src/domain.ts"
import type { StoredReport } from "../../src/stages/RunState.ts"
import { runFolder } from "../../src/run/folder.ts"
import { Rollout, RolloutRow } from "../../src/studio/api.ts"
import { Archive, type Counts, type Extent, type Place, type Wanted } from "../../src/studio/archive.ts"
import type { FileProblem } from "../../src/system/files.ts"
import { needHere } from "./elsewhere.ts"
import { listIn } from "./number-blobs.ts"
import { readOnly, type Row, rowsOf } from "./read-only.ts"
import { isWorked } from "./run-lock.ts"
import { faultsOf } from "./run-records.ts"
import { decodeTrust } from "./run-state.ts"

/** A rollout's standing among its pairs: `$side` is won, lost, tied or failed. */
const outcomeFor = {
  won: "(v.a = c.idx AND v.outcome = 'A' OR v.b = c.idx AND v.outcome = 'B')",
  lost: "(v.a = c.idx AND v.outcome = 'B' OR v.b = c.idx AND v.outcome = 'A')",
  tied: "((v.a = c.idx OR v.b = c.idx) AND v.outcome = 'tie')",
  failed: "((v.a = c.idx OR v.b = c.idx) AND v.outcome = 'failed')"
} as const
const ofPrompt = "v.step = c.step AND v.prompt_id = c.prompt_id"
const some = (condition: string) => `EXISTS (SELECT 1 FROM verdicts v WHERE ${ofPrompt} AND ${condition})`
const count = (condition: string) => `(SELECT count(*) FROM verdicts v WHERE ${ofPrompt} AND ${condition})`

/** One drawing as a row of the table. */
const told = `
  c.step, c.prompt_id AS promptId, c.idx AS "index", c.prompt, c.policy_version AS policyVersion,
  c.completion_ids, c.finish, lower(c.rendering) AS rendering, c.reason,
  ${count(outcomeFor.won)} AS won, ${count(outcomeFor.lost)} AS lost, ${count(outcomeFor.tied)} AS tied, ${count(outcomeFor.failed)} AS failed,
  (SELECT CASE WHEN v.a = c.idx THEN v.score_a ELSE v.score_b END FROM verdicts v
   WHERE ${ofPrompt} AND (v.a = c.idx OR v.b = c.idx) AND v.score_a IS NOT NULL LIMIT 1) AS score`

/** The filter runs on what the index holds: texts and tokens are read of the page's own rows alone. */
const pageOf = ({ after, from, limit, prompt, reason, to, verdict }: Wanted): readonly [string, Record<string, SQLInputValue>] => {
  const conditions = [
    ...(prompt === undefined ? [] : ["instr(lower(c.prompt), lower($prompt)) > 0"]),
    ...(reason === undefined ? [] : [reason === "rendered" ? "c.rendering = 'Rendered'" : "c.reason = $reason"]),
    ...(verdict === undefined ? [] : [verdict === "unjudged" ? `NOT ${some("(v.a = c.idx OR v.b = c.idx)")}` : some(outcomeFor[verdict])]),
    ...(from === undefined ? [] : ["c.step >= $from"]),
    ...(to === undefined ? [] : ["c.step <= $to"]),
    ...(after === undefined ? [] : ["c.step <= $step", "(c.step < $step OR (c.prompt_id, c.idx) > ($id, $index))"])
  ]
  const order = "ORDER BY step DESC, prompt_id, idx"
  return [
    `SELECT ${told} FROM candidates c JOIN (
       SELECT step, prompt_id, idx FROM candidates c ${conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`} ${order} LIMIT $limit
     ) page USING (step, prompt_id, idx) ${order}`,
    {
      $limit: limit,
      ...(prompt === undefined ? {} : { $prompt: prompt }),
      ...(reason === undefined || reason === "rendered" ? {} : { $reason: reason }),
      ...(from === undefined ? {} : { $from: from }),
      ...(to === undefined ? {} : { $to: to }),
      ...(after === undefined ? {} : { $step: after.step, $id: after.promptId, $index: after.index })
    }
  ]
}
const decodeRows = Schema.decodeUnknownSync(Schema.Array(RolloutRow))

const at = "step = $step AND prompt_id = $promptId"
const named = ({ index, promptId, step }: Place) => ({ $step: step, $promptId: promptId, $index: index })

const Judgment = Schema.Struct({
  shown: Schema.fromJsonString(Schema.Array(Schema.Tuple([Schema.Int, Schema.String]))),
  verdicts: Schema.fromJsonString(Schema.Array(Verdict))
})
const decodeJudgments = Schema.decodeUnknownSync(Schema.Array(Judgment))
const decodeRollout = Schema.decodeUnknownSync(Rollout)

const turned = { won: "lost", lost: "won", tie: "tie", invalid: "invalid", failed: "failed" } as const
const outcomeOfA = { A: "won", B: "lost", tie: "tie", invalid: "invalid", failed: "failed" } as const

/** Which place was chosen each time two pictures lay side by side, by the pair's indexes: only a stored answer says it. */
const placesOf = (db: DatabaseSync, place: Place) => {
  const { $index: _, ...prompt } = named(place)
  const chosen = new Map<string, ReadonlyArray<"first" | "second" | "tie">>()
  for (const { shown, verdicts } of decodeJudgments(db.prepare(`SELECT shown, verdicts FROM judgments WHERE ${at}`).all(prompt))) {
    if (shown.length === 2 && verdicts[0]?.places !== undefined) chosen.set(`${shown[0]![0]} ${shown[1]![0]}`, verdicts[0].places)
  }
  /** The second order swaps the places. */
  return (a: number, b: number) => (chosen.get(`${a} ${b}`) ?? []).map((chose, order) =>
    chose === "tie" ? "tie" as const : (chose === "first") === (order % 2 === 0) ? "a" as const : "b" as const)
}

const rollout = (db: DatabaseSync, place: Place): typeof Rollout.Type | undefined => {
  const { $index, ...prompt } = named(place)
  const row = db.prepare(`SELECT ${told}, c.seed, c.detail, c.svg, c.logps FROM candidates c WHERE ${at} AND idx = $index`)
    .get(named(place))
  if (row === undefined) return undefined
  const [ids, logps] = [listIn(row["completion_ids"]), listIn(row["logps"])]
  const places = placesOf(db, place)
  const lessons = db.prepare(`
    SELECT CASE WHEN rejected IS NULL THEN 'advantage' WHEN candidate = $index THEN 'chosen' ELSE 'rejected' END AS "as",
      CASE WHEN rejected IS NULL THEN NULL WHEN candidate = $index THEN rejected ELSE candidate END AS against,
      signal, weight, consumed_by_step AS trainedAtStep, dropped_at_step AS droppedAtStep
    FROM lessons WHERE ${at} AND (candidate = $index OR rejected = $index) ORDER BY id`).all(named(place))
  const verdicts = db.prepare(`
    SELECT a, b, outcome, confidence, score_a, score_b, judged_by AS "by", reason, cost_usd AS costUsd
    FROM verdicts WHERE ${at} AND (a = $index OR b = $index) ORDER BY a, b`).all(named(place))
  return decodeRollout({
    ...row,
    tokens: ids.length,
    tokenList: ids.map((id, n) => ({ id, text: null, logp: logps[n] ?? 0 })),
    siblings: db.prepare(`SELECT idx AS "index", lower(rendering) AS rendering, reason FROM candidates WHERE ${at} ORDER BY idx`).all(prompt),
    verdicts: verdicts.map(({ a, b, outcome, score_a, score_b, ...rest }) => {
      const first = a === $index
      const forA = outcomeOfA[outcome as keyof typeof outcomeOfA]
      return {
        ...rest,
        against: first ? b : a,
        outcome: first ? forA : turned[forA],
        score: first ? score_a : score_b,
        otherScore: first ? score_b : score_a,
        places: places(Number(a), Number(b)).map((chose) => chose === "tie" ? "tie" : (chose === "a") === first ? "this" : "other"),
        person: null
      }
    }),
    lessons
  })
}

const number = (row: Row | undefined, name: string): number => Number(row?.[name] ?? 0)

const extent = (db: DatabaseSync): Extent => {
  const [reports] = rowsOf(db, "SELECT count(*) AS steps, min(step) AS first, max(step) AS last FROM reports")
  const [timed] = rowsOf(db, "SELECT step, seconds FROM checkpoints ORDER BY step DESC LIMIT 1")
  const byJudge = rowsOf(db, "SELECT judged_by AS judge, sum(answers) AS answers, sum(usd) AS usd FROM costs GROUP BY judged_by ORDER BY judged_by")
    .map(({ answers, judge, usd }) => ({ judge: String(judge), answers: Number(answers), usd: Number(usd) }))
  const nano = number(rowsOf(db, "SELECT sum(nano_usd) AS nano FROM calls")[0], "nano")
  const steps = number(reports, "steps")
  return {
    steps,
    firstStep: steps === 0 ? null : number(reports, "first"),
    lastStep: steps === 0 ? null : number(reports, "last"),
    timed: { steps: number(timed, "step"), seconds: number(timed, "seconds") },
    usd: nano > 0 ? nano / 1e9 : byJudge.reduce((sum, { usd }) => sum + usd, 0),
    byJudge
  }
}

const counts = (db: DatabaseSync): Counts => ({
  drawings: number(rowsOf(db, "SELECT count(*) AS n FROM candidates")[0], "n"),
  pairs: number(rowsOf(db, "SELECT count(*) AS n FROM verdicts")[0], "n"),
  faults: faultsOf(db)
})

const numbersIn = (json: unknown): Readonly<Record<string, number>> =>
  Object.fromEntries(Object.entries(Object(JSON.parse(String(json)))).filter((entry): entry is [string, number] => Number.isFinite(entry[1])))

/** Thousands are read at once, so each is checked by hand: a schema takes ten times as long. */
const reportOf = ({ metrics, policyVersion, step, trust }: Row): StoredReport => ({
  step: Number(step),
  policyVersion: Number(policyVersion),
  metrics: numbersIn(metrics),
  trust: decodeTrust(trust)
})

const none: Extent = { steps: 0, firstStep: null, lastStep: null, timed: { steps: 0, seconds: 0 }, usd: 0, byJudge: [] }

export const layer = Layer.succeed(Archive, (() => {
  /** A run that has drawn nothing yet may have no database. */
  const reading = <A>(run: string, empty: A, work: (db: DatabaseSync) => A): Effect.Effect<A, FileProblem> => {
    const file = path.join(run, "run.db")
    return Effect.suspend(() => fs.existsSync(file) ? readOnly(file, work) : Effect.as(needHere(run), empty))
  }
  return Archive.of({
    isWorked: (run) => isWorked(runFolder(run)),
    extent: (run) => reading(run, none, extent),
    counts: (run) => reading(run, { drawings: 0, pairs: 0, faults: [] }, counts),
    reportsAfter: (run, step, most) =>
      reading(run, [], (db) =>
        db.prepare("SELECT step, policy_version AS policyVersion, metrics, trust FROM reports WHERE step > ? ORDER BY step LIMIT ?").all(step, most).map(reportOf)),
    rollouts: (run, wanted) => reading(run, [], (db) => {
      const [sql, values] = pageOf(wanted)
      return decodeRows(db.prepare(sql).all(values).map(({ completion_ids, ...row }) => ({ ...row, tokens: listIn(completion_ids).length })))
    }),
    rollout: (run, place) => reading(run, undefined, (db) => rollout(db, place)),
    drawing: (run, place) => reading(run, undefined, (db) => {
      const row = db.prepare(`SELECT prompt, svg FROM candidates WHERE ${at} AND idx = $index`).get(named(place))
      return row === undefined ? undefined : { prompt: String(row["prompt"]), svg: String(row["svg"]) }
    })
  })
})())
