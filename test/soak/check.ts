/**
 * What must hold of a run that has ended, whatever happened to it: the invariants that its folder, and the judge server's own
 * account, can show. Each broken one is a sentence that begins with the invariant's name.
 *
 * 1 no label from a failure; 2 a judge sees pixels and the prompt only; 3 drawings are as stale as was asked for; 4 sampler
 * and trainer agree; 5 nothing is paid twice, nothing is lost; 6 what is bad is counted, stored and shown; 8 prompt tokens
 * are never trained. The seventh, of native memory, shows in how the processes end.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { Effect } from "effect"
import { hashOf } from "../../layers/guide/question.ts"
import { listIn } from "../../layers/store/number-blobs.ts"
import { folderHealth } from "../../src/run/health.ts"
import type { ClaudeServer } from "../support/claude-server.ts"
import { hostileFor } from "./hostile-sampler.ts"

export interface Expected {
  readonly steps: number
  readonly maxStaleness: number
  readonly promptsPerStep: number
  readonly k: number
  /** Share of hostile drawings. */
  readonly hostile: number
  readonly lossType: "sigmoid" | "reinforce"
}

/** What the judge server says of a run. */
export interface Account {
  /** How often each Idempotency-Key was charged. */
  readonly charged: Readonly<Record<string, number>>
  /** Keys of answers that were no use. */
  readonly useless: ReadonlyArray<string>
  readonly usd: number
  readonly bodies: ReadonlyArray<ClaudeServer["bodies"][number]["body"]>
}

export const accountOf = ({ billed, bodies, charged, useless }: ClaudeServer): Account => ({
  charged: Object.fromEntries(charged),
  useless: [...useless],
  usd: billed().usd,
  bodies: bodies.map(({ body }) => body)
})

type Row = Readonly<Record<string, string | number | null>>
type Need = (holds: boolean, broken: string) => void

interface Facts {
  readonly run: string
  readonly all: (sql: string) => ReadonlyArray<Row>
  /** The one number that it comes to. */
  readonly one: (sql: string) => number
  readonly expected: Expected
  readonly account: Account
  readonly metrics: ReadonlyArray<Readonly<Record<string, number>>>
}

const linesOf = (file: string): ReadonlyArray<string> => fs.readFileSync(file, "utf8").split("\n").filter((line) => line !== "")
const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, x) => total + x, 0)
const sameSet = (a: Iterable<unknown>, b: Iterable<unknown>): boolean => {
  const [left, right] = [new Set(a), new Set(b)]
  return left.size === right.size && [...left].every((each) => right.has(each))
}

/** A preference, its verdict and its two drawings. */
const labels = `
  SELECT p.step, p.prompt_id, p.chosen, p.rejected, p.consumed_by_step, v.outcome, v.judged_by, v.a, v.b,
    c.rendering AS chosen_rendering, r.rendering AS rejected_rendering, c.policy_version, c.prompt,
    c.svg AS chosen_svg, r.svg AS rejected_svg, c.logps AS chosen_logps, r.logps AS rejected_logps
  FROM preferences p
    LEFT JOIN verdicts v ON v.step = p.step AND v.prompt_id = p.prompt_id AND v.a = min(p.chosen, p.rejected) AND v.b = max(p.chosen, p.rejected)
    LEFT JOIN candidates c ON c.step = p.step AND c.prompt_id = p.prompt_id AND c.idx = p.chosen
    LEFT JOIN candidates r ON r.step = p.step AND r.prompt_id = p.prompt_id AND r.idx = p.rejected
  ORDER BY p.id`

const labelsFromVerdicts = ({ all, run }: Facts, need: Need): void => {
  const rows = all(labels)
  need(rows.every(({ chosen, a, outcome }) => (outcome === "A" || outcome === "B") && (outcome === "A") === (chosen === a)), "a preference does not come from an A or a B of its pair")
  need(
    rows.every(({ chosen_rendering, judged_by, rejected_rendering }) =>
      chosen_rendering === "Rendered" && (judged_by === "gate") === (rejected_rendering !== "Rendered")),
    "a preference of the gate is not one of a valid drawing over an invalid one, or one of the judge not one of two valid ones"
  )
  // A pair with letters is judged twice: its verdict may be another than its first answer.
  const answers = all(`
    SELECT v.outcome, json_extract(j.verdicts, '$[0].outcome') AS answer, count(*) OVER (PARTITION BY v.step, v.prompt_id, v.a, v.b) AS answers
    FROM verdicts v LEFT JOIN judgments j ON j.step = v.step AND j.prompt_id = v.prompt_id
      AND json_extract(j.shown, '$[0][0]') = v.a AND json_extract(j.shown, '$[1][0]') = v.b
    WHERE v.judged_by <> 'gate'`)
  need(answers.every(({ answer, answers, outcome }) => answer !== null && (answers !== 1 || answer === outcome)), "a verdict is not the judgment that was stored")
  const written = linesOf(path.join(run, "preferences.jsonl")).map((line) => {
    const { chosen, prompt, rejected, step } = JSON.parse(line)
    return JSON.stringify([step, prompt[0].content, chosen[0].content, rejected[0].content])
  })
  const stored = rows.map(({ chosen_svg, prompt, rejected_svg, step }) => JSON.stringify([step, prompt, chosen_svg, rejected_svg]))
  need(written.join("\n") === stored.join("\n"), "preferences.jsonl does not hold the preferences of run.db")
}

/** An advantage and its drawing. */
const weighed = `
  SELECT l.step, l.prompt_id, l.candidate, l.signal, l.consumed_by_step, c.policy_version, c.logps
  FROM lessons l LEFT JOIN candidates c ON c.step = l.step AND c.prompt_id = l.prompt_id AND c.idx = l.candidate
  WHERE l.rejected IS NULL ORDER BY l.id`

/** Nothing that a drawing's reward is a share of comparisons can be nearer to another number than this. */
const tiny = 1e-11

/**
 * Recomputed from the verdicts alone: the share of its comparisons that a drawing won, less the mean of its prompt, divided
 * by the prompt's deviation.
 */
const advantagesFromVerdicts = ({ all }: Facts, need: Need): void => {
  const rows = all(weighed)
  if (rows.length === 0) return
  const stored = new Map(rows.map(({ candidate, prompt_id, signal, step }) => [`${step} ${prompt_id} ${candidate}`, Number(signal)]))
  const expected = new Map<string, number>()
  const wins: Readonly<Record<string, number>> = { A: 1, tie: 0.5, B: 0 }
  const answers = all("SELECT step, prompt_id, a, b, outcome FROM verdicts WHERE outcome IN ('A', 'B', 'tie')")
  for (const [at, own] of Map.groupBy(answers, ({ prompt_id, step }) => `${step} ${prompt_id}`)) {
    const shares = new Map<unknown, ReadonlyArray<number>>()
    for (const { a, b, outcome } of own) {
      const win = wins[String(outcome)]!
      shares.set(a, [...shares.get(a) ?? [], win]).set(b, [...shares.get(b) ?? [], 1 - win])
    }
    const rewards = [...shares].map(([index, won]) => [index, sum(won) / won.length] as const)
    const mean = sum(rewards.map(([, reward]) => reward)) / rewards.length
    const deviation = Math.sqrt(sum(rewards.map(([, reward]) => (reward - mean) ** 2)) / (rewards.length - 1))
    for (const [index, reward] of rewards) if (Math.abs(reward - mean) > tiny) expected.set(`${at} ${index}`, (reward - mean) / (deviation + 1e-4))
  }
  need(
    sameSet(stored.keys(), expected.keys()) && [...stored].every(([at, signal]) => Math.abs(signal - expected.get(at)!) <= tiny),
    "an advantage does not come from the verdicts about its prompt's drawings"
  )
}

/** Chunks of a PNG, by name. */
const chunksOf = (png: Buffer): ReadonlyArray<string> => {
  const names: Array<string> = []
  for (let at = 8; at + 8 <= png.length; at += 12 + png.readUInt32BE(at)) names.push(png.toString("latin1", at + 4, at + 8))
  return names
}

const pixelsOnly = ({ account, all }: Facts, need: Need): void => {
  const prompts = new Set(all("SELECT DISTINCT prompt FROM candidates").map(({ prompt }) => prompt))
  const systems = new Set(account.bodies.map(({ system }) => system))
  need(systems.size <= 1 && ![...systems].some((system) => /<\/?\w/.test(system)), "the judge was told something that is not the same for every pair")
  for (const { messages, ...rest } of account.bodies) {
    const parts = messages.flatMap(({ content }) => content)
    const texts = parts.flatMap((part) => (part.type === "text" ? [part.text] : []))
    const asked = /^The request: (".*")\nWhich picture is better\?$/.exec(texts[0] ?? "")
    const plain = messages.length === 1 && asked !== null && prompts.has(JSON.parse(asked[1]!)) && texts.slice(1).join() === "The first picture:,The second picture:"
    need(plain && Object.keys(rest).sort().join() === "max_tokens,model,output_config,system,temperature", "the judge was sent words that are not the prompt and the names of two places")
    const pictures = parts.flatMap((part) => (part.type === "image" ? [Buffer.from(part.source.data, "base64")] : []))
    need(pictures.length === 2 && pictures.every((png) => chunksOf(png).join() === "IHDR,IDAT,IEND"), "the judge was sent something beside the pixels of two pictures")
  }
}

const fresh = ({ all, expected: { maxStaleness } }: Facts, need: Need): void => {
  const rows = all("SELECT DISTINCT step, policy_version FROM candidates")
  need(rows.every(({ policy_version, step }) => policy_version === Math.max(0, Number(step) - maxStaleness)), "a drawing was not made from the policy version that its step asks for")
  need(
    [...all(labels), ...all(weighed)].every(({ consumed_by_step, policy_version }) => consumed_by_step === null || (Number(consumed_by_step) - Number(policy_version) >= 0 && Number(consumed_by_step) - Number(policy_version) <= maxStaleness)),
    "a lesson was trained when it was older than is allowed"
  )
}

/** Nats a token. */
const tolerance = 1e-4

/** Where the trainer saw the very parameters that the drawings were made from, its sums over their tokens are the sampler's. */
const agreement = ({ all, metrics }: Facts, need: Need): void => {
  const advantages = all(weighed)
  /** Whose log-probabilities a metric is the mean of. */
  const sides: ReadonlyArray<readonly [side: string, rows: ReadonlyArray<Row>, column: string]> = [
    ...(["chosen", "rejected"] as const).map((side) => [side, all(labels), `${side}_logps`] as const),
    ["better", advantages.filter(({ signal }) => Number(signal) > 0), "logps"],
    ["worse", advantages.filter(({ signal }) => Number(signal) < 0), "logps"]
  ]
  for (const [side, rows, column] of sides) {
    for (const [step, own] of Map.groupBy(rows, ({ consumed_by_step }) => consumed_by_step)) {
      if (step === null || own.some(({ policy_version }) => policy_version !== step)) continue
      const logps = own.map((row) => listIn(row[column]))
      const sampled = sum(logps.map(sum)) / own.length
      const tokens = sum(logps.map(({ length }) => length)) / own.length
      const trained = metrics[Number(step)]?.[`logps/${side}`] ?? NaN
      need(Math.abs(trained - sampled) <= tolerance * tokens, `at step ${step} the trainer's log-probabilities of the ${side} drawings' tokens are not the sampler's`)
    }
  }
}

/** The Idempotency-Key of a question that was answered in vain so many times (layers/guide/guide.ts). */
const keyOf = (question: string, inVain: number): string => hashOf([question, inVain])

const paidOnce = ({ account, all, expected, one, run }: Facts, need: Need): void => {
  need(one("SELECT count(*) FROM lessons WHERE (consumed_by_step IS NULL) = (dropped_at_step IS NULL)") === 0, "a lesson is neither trained nor dropped, or both")
  need(one("SELECT count(*) FROM (SELECT DISTINCT step, prompt_id, candidate, rejected FROM lessons)") === one("SELECT count(*) FROM lessons"), "a lesson is there twice")
  need(
    one(`SELECT count(*) FROM judgments`) === one("SELECT count(*) FROM (SELECT DISTINCT step, prompt_id, shown FROM judgments)") &&
      one("SELECT count(*) FROM judgments j WHERE NOT EXISTS (SELECT 1 FROM verdicts v WHERE v.step = j.step AND v.prompt_id = j.prompt_id AND v.a = json_extract(j.shown, '$[0][0]') AND v.b = json_extract(j.shown, '$[1][0]'))") === 0,
    "a pair was judged twice, or its judgment not used"
  )
  need(one("SELECT count(*) FROM calls WHERE state = 'asked'") === 0, "a call has no end")
  need(one(`SELECT count(*) FROM checkpoints WHERE step = ${expected.steps}`) === 1, "the last checkpoint is not committed")

  const questions = all("SELECT DISTINCT question FROM calls").map(({ question }) => String(question))
  const pairs = all("SELECT prompt_id, shown FROM judgments").map(({ prompt_id, shown }) =>
    JSON.stringify([prompt_id, ...(JSON.parse(String(shown)) as ReadonlyArray<readonly [number, string]>).map(([, hash]) => hash).sort()]))
  need(questions.length === 2 * new Set(pairs).size, "the questions that were asked are not those of the judged pairs, in both orders")
  const kept = new DatabaseSync(path.join(run, "../cache/vequinox/claude-answers.db"), { readOnly: true })
  const replies = kept.prepare("SELECT key FROM replies").all().map(({ key }) => String(key))
  kept.close()
  const charged = Object.keys(account.charged)
  const useless = new Set(account.useless)
  need(Object.values(account.charged).every((times) => times === 1), "an answer was charged twice")
  need(sameSet(charged.filter((key) => !useless.has(key)), replies.map((question) => keyOf(question, 0))), "an answer that was paid for is not among those that are kept, or another one is")
  const refused = questions.filter((question) => !replies.includes(question))
  need(sameSet(useless, charged.filter((key) => refused.some((question) => Array.from({ length: 12 }, (_, n) => keyOf(question, n)).includes(key)))), "an answer was charged that the ledger knows nothing of")
  const { costUsd } = JSON.parse(fs.readFileSync(path.join(run, "summary.json"), "utf8"))
  const booked = one("SELECT sum(nano_usd) FROM calls") / 1e9
  need(booked >= account.usd - 1e-9 && Math.abs(costUsd - booked) < 1e-9, `$${account.usd} were charged, but the ledger has $${booked} and summary.json $${costUsd}`)
}

const counted = ({ all, expected, metrics, one, run }: Facts, need: Need): void => {
  const { advantages, faults, pairs } = JSON.parse(fs.readFileSync(path.join(run, "summary.json"), "utf8")) as {
    readonly faults: Readonly<Record<string, number>>
    readonly pairs: number
    readonly advantages: number
  }
  need(metrics.length === expected.steps && metrics.every(({ step }, n) => step === n), "metrics.jsonl does not have each step once")
  need(one("SELECT count(*) FROM reports") === expected.steps, "a step has no report")
  const drawings = all("SELECT step, seed, svg, rendering, reason, detail, picture_hash FROM candidates")
  need(drawings.length === expected.steps * expected.promptsPerStep * expected.k, "a drawing is not stored")
  need(drawings.every(({ detail, picture_hash, reason, rendering }) => rendering === "Rendered" ? picture_hash !== null : reason !== null && detail !== null), "a drawing is stored without what became of it")
  need(drawings.every(({ seed, svg }) => (hostileFor(Number(seed), expected.hostile) ?? svg) === svg), "a hostile drawing is not stored as it was drawn")
  const kind = expected.lossType === "sigmoid" ? "pairs" : "advantages"
  const of = kind === "pairs" ? "rejected IS NOT NULL" : "rejected IS NULL"
  need(one(`SELECT count(*) FROM lessons WHERE NOT (${of})`) === 0, "a lesson is not one that the objective learns from")
  const lessons = (column: string, step: number) => one(`SELECT count(*) FROM lessons WHERE ${of} AND ${column} = ${step}`)
  for (const [step, own] of metrics.entries()) {
    const verdicts = (where: string) => one(`SELECT count(*) FROM verdicts WHERE step = ${step} AND ${where}`)
    const rows: Readonly<Record<string, number>> = {
      "judge/asked": verdicts("judged_by <> 'gate'"),
      "judge/failed": verdicts("outcome = 'failed'"),
      "judge/ties": verdicts("outcome = 'tie'"),
      "pairs/invalid": verdicts("outcome = 'invalid'"),
      "pairs/gate": verdicts("judged_by = 'gate' AND outcome <> 'invalid'"),
      [`${kind}/${kind === "pairs" ? "preferences" : "made"}`]: lessons("step", step),
      [`${kind}/trained`]: lessons("consumed_by_step", step),
      [`${kind}/stale`]: lessons("dropped_at_step", step)
    }
    for (const [name, count] of Object.entries(rows)) need(own[name] === count, `${name} of step ${step} is ${own[name]}, but run.db has ${count}`)
    for (const [name, count] of Object.entries(own)) {
      const [, rendering, reason] = /^svg\/(rejected|killed)\/(.*)$/.exec(name) ?? []
      if (rendering === undefined) continue
      const there = drawings.filter((drawing) => drawing.step === step && String(drawing.rendering).toLowerCase() === rendering && drawing.reason === reason).length
      need(count === there, `${name} of step ${step} is ${count}, but run.db has ${there}`)
    }
    const invalid = sum(Object.entries(own).filter(([name]) => /^svg\/(rejected|killed)\//.test(name)).map(([, count]) => count))
    need(invalid === drawings.filter(({ rendering, step: at }) => at === step && rendering !== "Rendered").length, `an invalid drawing of step ${step} is not counted`)
  }
  const names = [...new Set(metrics.flatMap((own) => Object.keys(own)))].filter((name) => /^(svg\/(rejected|killed)\/|judge\/failed$|pairs\/invalid$|(pairs|advantages)\/stale$)/.test(name))
  for (const name of names) {
    const total = sum(metrics.map((own) => own[name] ?? 0))
    need((faults[name] ?? 0) === total, `summary.json counts ${faults[name] ?? 0} ${name}, the steps ${total}`)
  }
  const trained = (where: string) => one(`SELECT count(*) FROM lessons WHERE consumed_by_step IS NOT NULL AND rejected IS ${where}`)
  need(pairs === trained("NOT NULL") && advantages === trained("NULL"), `summary.json has ${pairs} pairs and ${advantages} advantages, which run.db does not`)
  need((faults["judge/in_doubt"] ?? 0) === one("SELECT count(*) FROM calls WHERE state = 'in doubt'"), "summary.json does not count the calls in doubt")
}

const sha256 = (file: string): string => createHash("sha256").update(fs.readFileSync(file)).digest("hex")

const whole = ({ all, run }: Facts, need: Need): void => {
  const health = Effect.runSync(folderHealth(run))
  need(health.finished && fs.existsSync(path.join(run, "report.html")), "the run has no end")
  for (const damage of health.damage) need(false, damage)
  need(JSON.stringify(all("PRAGMA integrity_check")) === `[{"integrity_check":"ok"}]`, "run.db is damaged")
  const committed = all("SELECT step, sha256 FROM checkpoints")
  need(
    sameSet(committed.map(({ step }) => `step-${step}`), fs.readdirSync(path.join(run, "checkpoints"))) &&
      committed.every(({ sha256: hash, step }) => sha256(path.join(run, `checkpoints/step-${step}/state.json`)) === hash),
    "the checkpoints are not those that were committed"
  )
  const last = committed.map(({ step }) => Number(step)).reduce((a, b) => Math.max(a, b), 0)
  const weights = ["adapter", `checkpoints/step-${last}`].map((folder) => sha256(path.join(run, folder, "adapter_model.safetensors")))
  need(weights[0] === weights[1], "the adapter is not that of the last checkpoint")
  const parts = fs.readdirSync(run, { recursive: true }).filter((name) => /\.part(-|$)/.test(String(name)))
  need(parts.length === 0, `half-written files are left: ${parts.join(", ")}`)
}

const checks: ReadonlyArray<readonly [invariant: string, check: (facts: Facts, need: Need) => void]> = [
  ["1", labelsFromVerdicts],
  ["1", advantagesFromVerdicts],
  ["2", pixelsOnly],
  ["3", fresh],
  ["4 and 11", agreement],
  ["5", paidOnce],
  ["5", whole],
  ["6", counted]
]

/** A sentence for each invariant that the run breaks. @param run its folder; the judge's answers are in `../cache` */
export const broken = (run: string, expected: Expected, account: Account): ReadonlyArray<string> => {
  const db = new DatabaseSync(path.join(run, "run.db"), { readOnly: true })
  const all = (sql: string) => db.prepare(sql).all() as ReadonlyArray<Row>
  const one = (sql: string) => Number(Object.values(all(sql)[0]!)[0])
  const found = new Set<string>()
  try {
    const metrics = linesOf(path.join(run, "metrics.jsonl")).map((line) => JSON.parse(line))
    for (const [invariant, check] of checks) {
      const need: Need = (holds, what) => void (holds || found.add(`Invariant ${invariant}: ${what}.`))
      try {
        check({ run, all, one, expected, account, metrics }, need)
      } catch (cause) {
        need(false, `it cannot be checked (${(cause as Error).message})`)
      }
    }
  } finally {
    db.close()
  }
  return [...found]
}
