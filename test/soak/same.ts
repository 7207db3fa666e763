/** Two runs with the same settings, one left alone and one struck, must have come to the same. */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"

/** metrics.jsonl without what the clock says, and what calls in doubt make of the costs. */
const timeless = (line: string): string =>
  JSON.stringify(Object.entries(JSON.parse(line) as object).filter(([name]) => !/^seconds\/|^judge\/cost_usd$/.test(name)))

/** Words that count attempts or seconds, of which a killed process had other ones. */
const tables: Readonly<Record<string, string>> = {
  candidates: `SELECT step, prompt_id, idx, policy_version, seed, hex(completion_ids), hex(logps), svg, rendering, reason, picture_hash,
    CASE reason WHEN 'deadline' THEN '' ELSE detail END AS detail FROM candidates ORDER BY 1, 2, 3`,
  verdicts: `SELECT step, prompt_id, a, b, outcome, confidence, judged_by, CASE outcome WHEN 'failed' THEN '' ELSE reason END AS reason
    FROM verdicts ORDER BY 1, 2, 3, 4`,
  lessons: `SELECT step, prompt_id, candidate, rejected, signal, weight, consumed_by_step, dropped_at_step
    FROM lessons ORDER BY 1, 2, 3, 4`
}

/** What a run came to, part by part, as text that may be compared. */
const cameTo = (run: string): Readonly<Record<string, string>> => {
  const read = (name: string) => fs.readFileSync(path.join(run, name), "utf8")
  const { faults, ...summary } = JSON.parse(read("summary.json")) as Readonly<Record<string, unknown>>
  const own = Object.entries(faults as object).filter(([name]) => !/^(run\/resumed|judge\/in_doubt)$/.test(name))
  const db = new DatabaseSync(path.join(run, "run.db"), { readOnly: true })
  const rows = Object.entries(tables).map(([name, sql]) => [name, JSON.stringify(db.prepare(sql).all())] as const)
  db.close()
  return {
    adapter: fs.readFileSync(path.join(run, "adapter/adapter_model.safetensors")).toString("base64"),
    "metrics.jsonl": read("metrics.jsonl").split("\n").filter((line) => line !== "").map(timeless).join("\n"),
    "preferences.jsonl": read("preferences.jsonl"),
    "summary.json": JSON.stringify([{ ...summary, seconds: undefined, costUsd: undefined }, own]),
    ...Object.fromEntries(rows)
  }
}

/** A sentence for each part in which the struck run differs. */
export const differences = (alone: string, struck: string): ReadonlyArray<string> => {
  const [a, b] = [cameTo(alone), cameTo(struck)]
  return Object.keys(a).filter((part) => a[part] !== b[part]).map((part) => `Invariants 3 and 5: the struck run has another ${part} than the one that was left alone.`)
}
