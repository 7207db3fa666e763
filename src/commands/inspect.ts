/** `vequinox inspect`: the state of a run, and its judged pairs as rows. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Console, Effect, Option, Result } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { needHere } from "../../layers/store/elsewhere.ts"
import { readDecidedPairs } from "../../layers/store/run-pairs.ts"
import { type Fault, type LessonCounts, readRunRecords, type RunRecords } from "../../layers/store/run-records.ts"
import { needNewFiles, writeNewFile } from "../system/outputs.ts"
import { askedOf, outcomeOf, type StageHistory } from "../curriculum/history.ts"
import { percent } from "../evaluation/statistics.ts"
import { type FolderHealth, folderHealth } from "../run/health.ts"
import { resultLines } from "../run/result-lines.ts"
import { readSummary, type Summary } from "../run/summary.ts"
import * as Flags from "../wiring/flags.ts"
import { unfinishedReport } from "../wiring/run/unfinished-report.ts"

const noLessons: LessonCounts = { trained: 0, stale: 0, waiting: 0 }
const none: RunRecords = {
  damage: [],
  faults: [],
  costs: [],
  drawings: 0,
  pairs: 0,
  preferences: noLessons,
  advantages: noLessons
}

/** The database's records, as far as they can be read; damage to it is part of the answer. */
const recordsOf = Effect.fnUntraced(function*(file: string) {
  if (!fs.existsSync(file)) return none // stopped before its first rollout was whole
  const records = yield* readRunRecords(file).pipe(
    Effect.catch(({ message }) => Effect.succeed<RunRecords>({ ...none, damage: [message] }))
  )
  const damage = records.damage.map((line) => `run.db is damaged (${line.replace(/\.$/, "")}): restore it from a copy; metrics and checkpoints do not depend on it.`)
  return { ...records, damage }
})

interface Health extends Omit<FolderHealth, "damage">, RunRecords {
  readonly costUsd: number
  /** What came of a run that has finished. */
  readonly summary: Summary | null
}

const share = (value: number | undefined) => value === undefined ? "unknown" : percent(value)
const plural = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : "s"}`
const figure = (value: number | undefined, digits: number) => value === undefined ? "unknown" : value.toFixed(digits)

const uses = ({ stale, trained, waiting }: LessonCounts) => `${trained} trained, ${stale} stale, ${waiting} waiting`

const progressOf = (last: Readonly<Record<string, number>>): string =>
  last["advantages/trained"] === undefined
    ? `margin ${figure(last["rewards/margins"], 4)}, accuracy ${share(last["rewards/accuracies"])}`
    : `${plural(last["advantages/trained"], "advantage")} of mean size ${figure(last["advantages/abs"], 4)}`

/** A run learns either from the pairs themselves or from single drawings. */
const learned = ({ advantages, preferences }: Pick<RunRecords, "advantages" | "preferences">): string =>
  advantages.trained + advantages.stale + advantages.waiting > 0 ? `. Drawings with an advantage: ${uses(advantages)}` : `, ${uses(preferences)}`

const faultLine = ({ count, example, kind, reason }: Fault) =>
  `  ${String(count).padStart(6)}  ${kind}: ${reason}${example === null ? "" : ` (${example.replace(/\p{Cc}/gu, " ").slice(0, 90)})`}`

const stageLine = (finished: boolean) => (stage: StageHistory, n: number): string => {
  const last = stage.evaluations.at(-1)
  const measured = last === undefined ? "" : `, last ${last.value.toFixed(2)}`
  return `  ${n + 1}. ${stage.terms.name.replace(/\p{Cc}/gu, " ")}: ${outcomeOf(stage, finished)} (${askedOf(stage.terms)}${measured})`
}

const next = ({ checkpoints, damage, finished, path, steps }: Health): string => {
  if (finished) return damage.length === 0 ? "Finished and undamaged: there is nothing to do." : "Finished, with the damage named above."
  const whole = checkpoints.findLast((each) => each.damage === undefined)
  const where = whole === undefined ? "from the beginning: no checkpoint is whole" : `from checkpoints/${whole.name}`
  return `Not finished: stopped or still running, ${plural(steps.done, "step")} done. It can continue ${where}: vequinox train --resume ${path}.`
}

/** Why it stopped is said where it ran away, with the step. */
const withoutStop = (summary: Summary): Summary => {
  const { stopped: _, ...rest } = summary
  return rest
}

const lines = (health: Health): ReadonlyArray<string> => {
  const { advantages, checkpoints, costs, costUsd, curriculum, damage, divergence, drawings, faults, judge, last, pairs, path, preferences, steps } = health
  return [
    path,
    `Steps: ${steps.done}${steps.asked === null ? "" : ` of ${steps.asked}`}, judged by ${judge ?? "unknown"}.`,
    ...(last === null ? [] : [
      `Last step ${last["step"]}: loss ${figure(last["loss"], 4)}, ${progressOf(last)}, drawings that render ${share(last["svg/valid"])}.`
    ]),
    ...(curriculum.length === 0 ? [] : ["Curriculum:", ...curriculum.map(stageLine(health.finished))]),
    ...(divergence.length === 0 ? [] : ["Ran away:", ...divergence.map(({ message, step }) => `  Step ${step + 1}. ${message}`)]),
    `Drawings: ${drawings}. Pairs: ${pairs} decided${learned({ advantages, preferences })}.`,
    `Costs: ${costUsd.toFixed(4)} USD${costs.length === 0 ? "" : ` (${costs.map(({ answers, judge, usd }) => `${judge}: ${plural(answers, "answer")}, ${usd.toFixed(4)} USD`).join("; ")})`}.`,
    ...(faults.length === 0 ? ["Faults: none."] : ["Faults:", ...faults.map(faultLine)]),
    ...(checkpoints.length === 0 ? ["Checkpoints: none."] : [
      "Checkpoints:",
      ...checkpoints.map(({ damage, name }) => `  ${name}: ${damage === undefined ? "whole" : `damaged, ${damage}`}`)
    ]),
    ...(health.summary === null ? [] : ["Result:", ...resultLines(withoutStop(health.summary)).map((line) => `  ${line}`)]),
    ...(damage.length === 0 ? [] : ["Damage:", ...damage.map((line) => `  ${line}`)]),
    next(health)
  ]
}

export const inspect = Command.make("inspect", {
  run: Argument.String("run").pipe(Argument.withDescription("run folder")),
  export: Flag.String("export").pipe(
    Flag.withDescription("file for the judged pairs, a JSON object a line: both drawings, the verdict, what was trained"),
    Flag.optional
  ),
  report: Flag.String("report").pipe(
    Flag.withDescription("file for a report of an unfinished run: its curves, faults and times so far"),
    Flag.optional
  ),
  json: Flags.json
}, Effect.fn(function*({ export: to, json, report, run }) {
  if (Option.isSome(to)) yield* needNewFiles([to.value], "--export")
  if (Option.isSome(report)) yield* needNewFiles([report.value], "--report")
  const folder = yield* folderHealth(run)
  yield* needHere(folder.path)
  const database = path.join(folder.path, "run.db")
  const records = yield* recordsOf(database)
  const summary = folder.finished
    ? yield* Effect.result(readSummary(path.join(folder.path, "summary.json")))
    : undefined
  const health: Health = {
    ...folder,
    ...records,
    costUsd: records.costs.reduce((total, { usd }) => total + usd, 0),
    summary: summary === undefined || Result.isFailure(summary) ? null : summary.success,
    damage: [...folder.damage, ...records.damage, ...summary !== undefined && Result.isFailure(summary) ? [summary.failure.message] : []]
  }
  const page = Option.isSome(report) ? yield* unfinishedReport(health) : ""
  if (json) yield* Console.log(JSON.stringify(health))
  else yield* Effect.forEach(lines(health), (line) => Console.log(line))
  if (Option.isSome(to)) {
    const rows = fs.existsSync(database) ? yield* readDecidedPairs(database) : []
    yield* writeNewFile(to.value, rows.map((row) => JSON.stringify(row) + "\n").join(""), "--export")
    if (!json) yield* Console.log(`${plural(rows.length, "judged pair")} written to ${to.value}.`)
  }
  if (Option.isSome(report)) {
    yield* writeNewFile(report.value, page, "--report")
    if (!json) yield* Console.log(`Report of ${plural(health.steps.done, "step")}: ${report.value}`)
  }
})).pipe(Command.withDescription("Show the state of a run: steps, faults, costs, checkpoints, damage"))
