/** Damage done on purpose to a run that has ended well, which the check must see: a check that cannot fail says nothing. */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import type { Account } from "./check.ts"

export interface Breach {
  readonly name: string
  /** Of the invariant that is broken. */
  readonly breaks: RegExp
  /** @param run the folder of a copy @returns the account of the server, where that is what changes */
  readonly plant: (run: string, account: Account) => Account | void
}

const sql = (text: string) => (run: string): void => {
  const db = new DatabaseSync(path.join(run, "run.db"))
  const { changes } = db.prepare(text).run()
  db.close()
  if (changes === 0) throw new Error(`there is nothing to change for ${text}`)
}
const edit = (name: string, change: (text: string) => string) => (run: string): void => {
  const text = fs.readFileSync(path.join(run, name), "utf8")
  const changed = change(text)
  if (changed === text) throw new Error(`${name} is as it was`)
  fs.writeFileSync(path.join(run, name), changed)
}
const flip = (file: (run: string) => string) => (run: string): void => {
  const bytes = fs.readFileSync(path.join(run, file(run)))
  bytes[bytes.length >> 1]! ^= 1
  fs.writeFileSync(path.join(run, file(run)), bytes)
}
const inSummary = (changed: object) => edit("summary.json", (text) => JSON.stringify({ ...JSON.parse(text), ...changed }))
const inLine = (at: number, change: (row: Record<string, number>) => void) =>
  edit("metrics.jsonl", (text) => {
    const lines = text.split("\n")
    const row = JSON.parse(lines[at]!)
    change(row)
    return lines.with(at, JSON.stringify(row)).join("\n")
  })
const judged = "SELECT v.rowid FROM verdicts v JOIN preferences p ON v.step = p.step AND v.prompt_id = p.prompt_id AND v.a = min(p.chosen, p.rejected) AND v.b = max(p.chosen, p.rejected) WHERE v.judged_by <> 'gate' LIMIT 1"
/** In the first picture of the first request. */
const inPicture = (account: Account, change: (png: Buffer) => Buffer): Account => {
  const [first, ...rest] = structuredClone(account.bodies)
  const image = first!.messages[0]!.content.find((part) => part.type === "image")!
  const source = image.source as { data: string }
  source.data = change(Buffer.from(source.data, "base64")).toString("base64")
  return { ...account, bodies: [first!, ...rest] }
}
const comment = Buffer.concat([Buffer.from([0, 0, 0, 4]), Buffer.from("tEXtSVG!"), Buffer.alloc(4)])

export const breaches: ReadonlyArray<Breach> = [
  { name: "a label from a failed verdict", breaks: /^Invariant 1: a preference does not come from an A or a B/, plant: sql(`UPDATE verdicts SET outcome = 'failed' WHERE rowid = (${judged})`) },
  { name: "a label the other way round", breaks: /^Invariant 1: a preference does not/, plant: sql("UPDATE lessons SET candidate = rejected, rejected = candidate WHERE id = (SELECT min(id) FROM lessons)") },
  { name: "a verdict that nobody gave", breaks: /^Invariant 1: a verdict is not the judgment/, plant: sql("UPDATE judgments SET verdicts = json_replace(verdicts, '$[0].outcome', CASE json_extract(verdicts, '$[0].outcome') WHEN 'A' THEN 'B' ELSE 'A' END)") },
  { name: "an invalid drawing that a judge preferred", breaks: /^Invariant 1: a preference of the gate/, plant: sql(`UPDATE verdicts SET judged_by = 'gate' WHERE rowid = (${judged})`) },
  { name: "a line of preferences.jsonl twice", breaks: /^Invariant 1: preferences\.jsonl/, plant: edit("preferences.jsonl", (text) => text.split("\n")[0] + "\n" + text) },
  {
    name: "the drawing's text beside its picture",
    breaks: /^Invariant 2: the judge was sent words/,
    plant: (_run, account) => {
      const [first, ...rest] = structuredClone(account.bodies)
      const text = { type: "text", text: "<svg/>" } as const
      return { ...account, bodies: [{ ...first!, messages: [{ ...first!.messages[0]!, content: [...first!.messages[0]!.content, text] }] }, ...rest] }
    }
  },
  { name: "words in a picture's file", breaks: /^Invariant 2: the judge was sent something beside the pixels/, plant: (_run, account) => inPicture(account, (png) => Buffer.concat([png.subarray(0, 33), comment, png.subarray(33)])) },
  { name: "a drawing of another policy version", breaks: /^Invariant 3: a drawing was not made/, plant: sql("UPDATE candidates SET policy_version = policy_version + 1 WHERE rowid = (SELECT min(rowid) FROM candidates)") },
  { name: "a lesson trained too late", breaks: /^Invariant 3: a lesson was trained/, plant: sql("UPDATE lessons SET consumed_by_step = consumed_by_step + 2 WHERE id = (SELECT min(id) FROM lessons)") },
  { name: "a trainer that sees other tokens", breaks: /^Invariant 4 and 11: at step 0/, plant: inLine(0, (row) => (row["logps/chosen"]! -= 0.1)) },
  { name: "a lesson twice", breaks: /^Invariant 5: a lesson is there twice/, plant: sql("INSERT INTO lessons SELECT NULL, step, prompt_id, candidate, rejected, signal, weight, consumed_by_step, dropped_at_step FROM lessons LIMIT 1") },
  { name: "a lesson that was never used", breaks: /^Invariant 5: a lesson is neither/, plant: sql("UPDATE lessons SET consumed_by_step = NULL WHERE id = (SELECT min(id) FROM lessons)") },
  { name: "an advantage among preferences", breaks: /^Invariant 6: a lesson is not one that/, plant: sql("UPDATE lessons SET rejected = NULL WHERE id = (SELECT min(id) FROM lessons)") },
  { name: "more pairs than were trained", breaks: /^Invariant 6: summary\.json has 0 pairs/, plant: inSummary({ pairs: 0 }) },
  { name: "a judgment lost", breaks: /^Invariant 5: the questions that were asked/, plant: sql("DELETE FROM judgments WHERE rowid = (SELECT min(rowid) FROM judgments)") },
  { name: "a judgment twice", breaks: /^Invariant 5: a pair was judged twice/, plant: sql("INSERT INTO judgments SELECT key || 'x', step, prompt_id, shown, judge, verdicts FROM judgments LIMIT 1") },
  { name: "a call without an end", breaks: /^Invariant 5: a call has no end/, plant: sql("UPDATE calls SET state = 'asked' WHERE id = 1") },
  { name: "less booked than was charged", breaks: /^Invariant 5: \$/, plant: sql("UPDATE calls SET nano_usd = 0") },
  { name: "an answer charged twice", breaks: /^Invariant 5: an answer was charged twice/, plant: (_run, account) => ({ ...account, charged: { ...account.charged, [Object.keys(account.charged)[0]!]: 2 } }) },
  { name: "an answer charged to nobody", breaks: /^Invariant 5: an answer that was paid for/, plant: (_run, account) => ({ ...account, charged: { ...account.charged, other: 1 } }) },
  {
    name: "an answer not kept",
    breaks: /^Invariant 5: an answer that was paid for/,
    plant: (run) => {
      const db = new DatabaseSync(path.join(run, "../cache/vequinox/claude-answers.db"))
      db.exec("DELETE FROM replies WHERE rowid = (SELECT min(rowid) FROM replies)")
      db.close()
    }
  },
  { name: "a refusal charged to nobody", breaks: /^Invariant 5: an answer was charged that the ledger/, plant: (_run, account) => ({ ...account, charged: { ...account.charged, other: 1 }, useless: [...account.useless, "other"] }) },
  { name: "a bit of the adapter", breaks: /^Invariant 5: the adapter is not/, plant: flip(() => "adapter/adapter_model.safetensors") },
  { name: "a bit of a checkpoint", breaks: /^Invariant 5: checkpoints\/step-\d+ is damaged/, plant: flip((run) => `checkpoints/${fs.readdirSync(path.join(run, "checkpoints"))[0]}/optimizer.safetensors`) },
  { name: "a checkpoint that nobody committed", breaks: /^Invariant 5: the checkpoints are not/, plant: sql("DELETE FROM checkpoints WHERE step = (SELECT max(step) FROM checkpoints)") },
  { name: "a half-written file", breaks: /^Invariant 5: half-written/, plant: (run) => fs.writeFileSync(path.join(run, "config.json.part"), "{") },
  { name: "a step reported twice", breaks: /^Invariant 6: metrics\.jsonl/, plant: edit("metrics.jsonl", (text) => text + text.split("\n").at(-2) + "\n") },
  { name: "a drawing lost", breaks: /^Invariant 6: a drawing is not stored/, plant: sql("DELETE FROM candidates WHERE rowid = (SELECT max(rowid) FROM candidates)") },
  { name: "a hostile drawing made harmless", breaks: /^Invariant 6: a hostile drawing/, plant: sql("UPDATE candidates SET svg = '<svg/>'") },
  { name: "an invalid drawing without a reason", breaks: /^Invariant 6: a drawing is stored without/, plant: sql("UPDATE candidates SET reason = NULL WHERE rendering <> 'Rendered'") },
  { name: "a fault that a step does not count", breaks: /^Invariant 6: svg\/rejected\/no-svg of step 0/, plant: inLine(0, (row) => (row["svg/rejected/no-svg"]! += 1)) },
  { name: "a judgment that a step does not count", breaks: /^Invariant 6: judge\/asked of step 0/, plant: inLine(0, (row) => (row["judge/asked"]! -= 1)) },
  { name: "faults that the summary hides", breaks: /^Invariant 6: summary\.json counts 0 /, plant: inSummary({ faults: {} }) },
  { name: "a run without an end", breaks: /^Invariant 5: the run has no end/, plant: (run) => fs.rmSync(path.join(run, "report.html")) }
]

/** What a run that learns from advantages can have wrong besides. */
export const advantageBreaches: ReadonlyArray<Breach> = [
  { name: "an advantage from another verdict", breaks: /^Invariant 1: an advantage does not come/, plant: sql("UPDATE verdicts SET outcome = CASE outcome WHEN 'A' THEN 'B' ELSE 'A' END WHERE rowid = (SELECT min(rowid) FROM verdicts WHERE outcome IN ('A', 'B'))") },
  { name: "an advantage with the other sign", breaks: /^Invariant 1: an advantage does not come/, plant: sql("UPDATE lessons SET signal = -signal WHERE id = (SELECT min(id) FROM lessons)") },
  // All verdicts about one prompt: without that of the best and the worst of three alone, every share stays as it was.
  { name: "an advantage from a failed verdict", breaks: /^Invariant 1: an advantage does not come/, plant: sql("UPDATE verdicts SET outcome = 'failed' WHERE (step, prompt_id) = (SELECT step, prompt_id FROM lessons WHERE rejected IS NULL ORDER BY id LIMIT 1)") },
  { name: "an advantage lost", breaks: /^Invariant 1: an advantage does not come/, plant: sql("DELETE FROM lessons WHERE id = (SELECT min(id) FROM lessons)") },
  { name: "an advantage trained too late", breaks: /^Invariant 3: a lesson was trained/, plant: sql("UPDATE lessons SET consumed_by_step = consumed_by_step + 3 WHERE id = (SELECT min(id) FROM lessons)") },
  { name: "an advantage that was never used", breaks: /^Invariant 5: a lesson is neither/, plant: sql("UPDATE lessons SET consumed_by_step = NULL WHERE id = (SELECT min(id) FROM lessons)") },
  { name: "an advantage that a step does not count", breaks: /^Invariant 6: advantages\/trained of step 0/, plant: inLine(0, (row) => (row["advantages/trained"]! += 1)) },
  { name: "advantages that the summary calls pairs", breaks: /^Invariant 6: summary\.json has 9 pairs and 0 advantages/, plant: inSummary({ pairs: 9, advantages: 0 }) }
]

/** One that a run without a model cannot show. */
export const otherTokens: Breach = { name: "a better drawing with other tokens", breaks: /^Invariant 4 and 11: at step 0 .* of the better drawings/, plant: inLine(0, (row) => (row["logps/better"]! -= 100)) }

/** Differences of two runs that came to the same, planted in one of them, by the part that shows it. */
export const changes: Readonly<Record<string, (run: string) => void>> = {
  adapter: flip(() => "adapter/adapter_model.safetensors"),
  "metrics.jsonl": inLine(0, (row) => (row["loss"]! += 1e-9)),
  "preferences.jsonl": edit("preferences.jsonl", (text) => text.replace("\"weight\":1", "\"weight\":2")),
  "summary.json": inSummary({ steps: 0 }),
  candidates: sql("UPDATE candidates SET seed = seed + 1"),
  verdicts: sql("UPDATE verdicts SET confidence = confidence / 2 WHERE confidence > 0"),
  lessons: sql("UPDATE lessons SET weight = 2")
}
