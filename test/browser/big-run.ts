/**
 * A run folder as thousands of steps leave it, written in seconds: made-up drawings of realistic sizes in the real tables.
 *
 *     node test/browser/big-run.ts FOLDER
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync, type SQLInputValue } from "node:sqlite"
import { Effect } from "effect"
import { blobOf } from "../../layers/store/number-blobs.ts"
import { RunDatabase } from "../../layers/store/run-database.ts"
import { integer, pick, type Random, random } from "../../src/engine/random.ts"

export const steps = 10_000
const promptsPerStep = 2
const perPrompt = 5
export const drawings = steps * promptsPerStep * perPrompt

/** Different texts and lists of tokens; each is used again and again. */
const kinds = 500
const tokens = 90
const colours = ["red", "blue", "green", "purple", "orange", "teal"]
const things = ["circle", "square", "star", "triangle", "ring", "house"]
const failures = ["malformed", "no-svg", "blank"]

/** What a prompt must not become. */
export const hostile = "<img src=x onerror=alert(1)> a cat & a dog"

const prompts = [hostile, ...colours.flatMap((colour) => things.map((thing) => `a ${colour} ${thing} above a ${pick(random(colour.length, thing.length), colours)} line`))]

const svgOf = (draw: Random): string => {
  const shapes = Array.from({ length: 5 }, () => {
    const fill = pick(draw, colours)
    return draw() < 0.5
      ? `<circle cx="${4 + integer(draw, 56)}" cy="${4 + integer(draw, 56)}" r="${3 + integer(draw, 18)}" fill="${fill}" stroke="black"/>`
      : `<rect x="${integer(draw, 48)}" y="${integer(draw, 48)}" width="${6 + integer(draw, 30)}" height="${6 + integer(draw, 30)}" fill="${fill}"/>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">${shapes.join("")}</svg>`
}

const kindOf = (n: number) => {
  const draw = random(0x0b16, n)
  const list = (of: () => number, length: number) => blobOf(Array.from({ length }, of))
  return {
    promptIds: list(() => integer(draw, 800), 17),
    ids: list(() => integer(draw, 800), tokens),
    logps: list(() => -(draw() ** 4) * 5, tokens),
    svg: svgOf(draw)
  }
}

const metricsOf = (step: number, draw: Random): string => {
  const done = step / steps
  const noisy = (value: number) => value + 0.2 * (draw() - 0.5)
  return JSON.stringify({
    ...Object.fromEntries(failures.map((reason) => [`svg/rejected/${reason}`, integer(draw, 2)])),
    loss: noisy(0.7 - 0.2 * done), "rewards/chosen": noisy(done), "rewards/rejected": noisy(-done), "rewards/accuracies": 0.5 + 0.3 * done,
    "rewards/margins": noisy(2 * done), "logps/chosen": noisy(-20), "logps/rejected": noisy(-25), "objective/kl": noisy(done), beta: 0.1,
    nll_loss: noisy(0.3), num_tokens: 105 * step, padding: 0.04, grad_norm: noisy(0.8), learning_rate: 0.0005, step, policyVersion: step,
    "judge/asked": 20, "judge/ties": integer(draw, 3), "judge/by/clip": 20, "judge/failed": 0, "judge/tie_rate": 0.1 * draw(),
    "judge/cycle_rate": 0, "judge/confidence": 0.7 + 0.2 * draw(), "judge/cost_usd": 0, "svg/valid": 0.85 + 0.1 * done, "svg/length": noisy(90),
    "svg/unique": 1, "val/contain_eos_token": 1, "objective/entropy": noisy(15), "svg/killed/deadline": 0, "svg/killed/memory": 0,
    "svg/killed/crash": 0, "pairs/total": 20, "pairs/duplicate": 0, "pairs/invalid": 0, "pairs/gate": 2, "pairs/preferences": 2,
    "pairs/trained": 2, "pairs/stale": 0, "pairs/age": 1, "seconds/sample": noisy(0.9), "seconds/render": 0.02, "seconds/judge": noisy(0.6),
    "seconds/train": noisy(0.8), "seconds/step": noisy(1.4), "seconds/wait": 0.2, "judge/agreement/scene_check": noisy(0.6)
  })
}

const fill = (db: DatabaseSync): void => {
  const insert = (table: string, columns: number) => {
    const statement = db.prepare(`INSERT INTO ${table} VALUES (${Array(columns).fill("?").join(", ")})`)
    return (...values: ReadonlyArray<SQLInputValue>) => void statement.run(...values)
  }
  const [rollout, candidate, verdict, lesson, cost, report] = [
    insert("rollouts", 5), insert("candidates", 15), insert("verdicts", 11), insert("lessons", 9), insert("costs", 4), insert("reports", 4)
  ] as const
  const known = Array.from({ length: kinds }, (_, n) => kindOf(n))
  for (let step = 0; step < steps; step++) {
    const draw = random(0x57e9, step)
    rollout(step, step, 0.9, 0.02, 0.6)
    for (let p = 0; p < promptsPerStep; p++) {
      const prompt = prompts[(promptsPerStep * step + p) % prompts.length]!
      const id = `prompt-${prompts.indexOf(prompt)}`
      const scores = Array.from({ length: perPrompt }, (_, index) => {
        const { ids, logps, promptIds, svg } = pick(draw, known)
        const failure = draw() < 0.08 ? pick(draw, failures) : null
        const text = failure === null ? svg : svg.slice(0, -20)
        candidate(
          step, id, index, prompt, step, integer(draw, 2 ** 31), promptIds, ids, logps, text, failure === null ? "stop" : "length",
          failure === null ? "Rendered" : "Rejected", failure, failure === null ? null : "cut off before its end", failure === null ? "0".repeat(64) : null
        )
        return failure === null ? 20 + 10 * draw() : undefined
      })
      for (let a = 0; a < perPrompt; a++) {
        for (let b = a + 1; b < perPrompt; b++) {
          const [left, right] = [scores[a], scores[b]]
          const outcome = left === undefined ? (right === undefined ? "invalid" : "B") : right === undefined ? "A" : Math.abs(left - right) < 0.5 ? "tie" : left > right ? "A" : "B"
          const judged = left !== undefined && right !== undefined
          verdict(step, id, a, b, outcome, outcome === "A" || outcome === "B" ? 0.5 + 0.5 * draw() : 0, left ?? null, right ?? null, judged ? "clip" : "gate", null, null)
        }
      }
      const order = scores.map((score, index) => ({ score: score ?? -1, index })).toSorted((a, b) => b.score - a.score)
      lesson(null, step, id, order[0]!.index, order.at(-1)!.index, 1, 1, step, null)
    }
    cost(step, "clip", 18, 0)
    cost(step, "gate", 2, 0)
    report(step, step, metricsOf(step, draw), "[]")
  }
}

/** Writes the folder; it must not be there yet. */
export const writeBigRun = async (folder: string): Promise<void> => {
  fs.mkdirSync(folder, { recursive: true })
  fs.writeFileSync(path.join(folder, "config.json"), JSON.stringify({ max_steps: steps, judge: "clip", loss_type: "sigmoid", model_name_or_path: "embedded", budget_usd: 5 }))
  const file = path.join(folder, "run.db")
  await Effect.runPromise(
    Effect.flatMap(RunDatabase, ({ transaction }) => transaction(() => {})).pipe(Effect.provide(RunDatabase.layer({ path: file })))
  )
  const db = new DatabaseSync(file)
  db.exec("PRAGMA synchronous = OFF; BEGIN")
  fill(db)
  db.exec("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")
  db.close()
}

if (import.meta.main) await writeBigRun(process.argv[2]!)
