/** `vequinox refine`: draws, criticises and corrects, keeps the best by the judge, and says what that gained. */
import * as path from "node:path"
import { Console, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as rendererResvg from "../../layers/renderer/resvg.ts"
import { gains } from "../refine/gains.ts"
import { namesOf } from "../prompts/file-names.ts"
import { pictureSize, writeRefined } from "../refine/folder.ts"
import { toldOf } from "../evaluation/figures.ts"
import { yardstickFor } from "../evaluation/worth.ts"
import { plainRow, promptOf, readPromptRows } from "../prompts.ts"
import { measureRecords } from "../refine/measure.ts"
import { preferencesOf } from "../refine/record.ts"
import { gainTable, refinementOf } from "../refine/told.ts"
import { BadInput } from "../system/errors.ts"
import { writeFile } from "../system/files.ts"
import { progressStyle } from "../system/progress.ts"
import { int, real } from "../system/ranges.ts"
import * as Flags from "../wiring/flags.ts"
import { openRoles } from "../wiring/roles/open-roles.ts"
import { criticFlags, policyFlags, roleFlags } from "../wiring/roles/role-flags.ts"
import { marker, resultFile, runRefine } from "../wiring/roles/run-refine.ts"
import { heldOutScorers } from "../wiring/run/held-out-scorers.ts"
import { givenSettings, numberFlag } from "../wiring/setting-flags.ts"
import { resolveConfig } from "../wiring/settings.ts"

const temperatureFlag = (name: string, what: string, value: number) =>
  numberFlag(name, real(0, 100)).pipe(Flag.withDescription(what), Flag.withDefault(value))

export const refine = Command.make("refine", {
  texts: Argument.String("prompt").pipe(Argument.withDescription("what to draw"), Argument.variadic()),
  ...policyFlags,
  prompts: Flag.String("prompts").pipe(
    Flag.withDescription("prompts instead of arguments: a .csv with `desc` and, if files should be called so, `id`; or a .txt, .parquet, .json, .jsonl or .ndjson file"),
    Flag.optional
  ),
  limit: Flags.count("limit", 1e6).pipe(Flag.withDescription("the first so many of them"), Flag.withDefault(1e6)),
  ...criticFlags,
  rounds: numberFlag("rounds", int(0, 100)).pipe(Flag.withDescription("most corrections of a prompt"), Flag.withDefault(3)),
  threshold: numberFlag("threshold", real(0, 11)).pipe(
    Flag.withDescription("a drawing that the critic gives this many of 10 is done; 11: none is"),
    Flag.withDefault(9)
  ),
  patience: Flags.count("patience", 100).pipe(Flag.withDescription("corrections in a row that were no better, after which a prompt is done"), Flag.withDefault(2)),
  draftTemperature: temperatureFlag("draft-temperature", "temperature of the drafts; 0 is greedy", 0.5),
  correctionTemperature: temperatureFlag("correction-temperature", "temperature of the corrections", 0.5),
  beside: Flag.Boolean("best-of-n").pipe(
    Flag.withDescription("draw also as many drawings as the same tokens give, and let a free judge choose one, for comparison"),
    Flag.withDefault(true)
  ),
  preferences: Flag.Boolean("preferences").pipe(
    Flag.withDescription("write preferences.jsonl too: {prompt, chosen, rejected} for each correction that the judge decided"),
    Flag.withDefault(false)
  ),
  out: Flags.out.pipe(Flag.withDescription("folder for the drawings and refinement.json; new, or of a refinement that goes on")),
  ...roleFlags
}, Effect.fn(function*({
  adapter, beside, correctionTemperature, critic, criticModel, device, draftTemperature, json, limit, maxNewTokens, model, out, patience,
  preferences, prefill, prompts: file, promptTemplate, revision, rounds, systemPrompt, texts, threads, threshold, ...flags
}) {
  const style = progressStyle(json)
  const settings = yield* resolveConfig(undefined, givenSettings(flags))
  const rows = (Option.isSome(file) ? yield* readPromptRows(file.value) : texts.map(plainRow)).slice(0, limit)
  if (rows.length === 0) return yield* new BadInput({ message: "There is nothing to draw: give a prompt, or a file with --prompts." })
  const prompts = rows.map(({ text }) => promptOf(text))
  const { facts, measuring, policy, stages } = yield* openRoles({
    model, revision, adapter: Option.getOrUndefined(adapter), maxNewTokens, device, threads, style, critic, criticModel, settings, prompts,
    // Each correction is judged against the best before it, and then against the draft.
    most: { criticised: rounds + 1, drawings: rounds + 1, pairs: 2 * rounds },
    format: { systemPrompt, promptTemplate, prefill }
  })
  const run = yield* runRefine({
    out, prompts, names: namesOf(rows, prompts), beside, facts, style,
    options: { policy, seed: settings.seed, promptTemplate, prefill, rounds, threshold, patience, draftTemperature, correctionTemperature }
  }).pipe(Effect.provide(stages))

  const { records } = run
  yield* Effect.forEach(records, (record) => writeRefined(out, record), { concurrency: 4 }).pipe(
    Effect.provide(rendererResvg.layer({ size: pictureSize }))
  )
  if (preferences) {
    const pairs = records.flatMap(preferencesOf)
    yield* writeFile(path.join(out, "preferences.jsonl"), pairs.map((pair) => `${JSON.stringify(pair)}\n`).join(""))
  }
  const told = yield* Effect.gen(function*() {
    const scorers = yield* heldOutScorers
    const yardstick = yardstickFor(prompts, scorers)
    return { yardstick: toldOf(yardstick), results: gains(yield* measureRecords(records, scorers), yardstick, scorers, settings.seed) }
  }).pipe(Effect.scoped, Effect.provide(measuring))
  const result = { [marker]: run.key, finished: true, critic: run.critic, judge: run.judge, ...refinementOf(records), ...told }
  yield* writeFile(path.join(out, resultFile), `${JSON.stringify(result, null, 2)}\n`)
  yield* Console.log(json ? JSON.stringify(result) : [
    ...gainTable(told.results, told.yardstick),
    "",
    `${result.prompts} prompts, ${result.corrections} corrections, ${result.kept} kept, ${result.failed} failed. Look: ${path.join(out, "final_pngs")}`
  ].join("\n"))
}, Effect.scoped)).pipe(Command.withDescription("Draw, criticise, correct, and keep the best by the judge"))
