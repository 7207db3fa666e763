/** `vequinox make-rows`: training rows for drawing, correcting and criticising, from a policy's own judged drawings. */
import * as path from "node:path"
import { Console, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import * as rendererResvg from "../../layers/renderer/resvg.ts"
import { encodePng } from "../drawing/png.ts"
import { userText } from "../model/tokenizer/tokenizer.ts"
import { embeddedPrompts, plainRow, promptOf, type PromptRow, readPromptRows } from "../prompts.ts"
import { namesOf } from "../prompts/file-names.ts"
import { pictureSize } from "../refine/folder.ts"
import type { JudgedPrompt } from "../rows/judged-prompt.ts"
import { fileOf, introSvgOf, preferenceOf, rowsOf } from "../rows/made.ts"
import { renderFor } from "../stages/render-for.ts"
import { writeFile } from "../system/files.ts"
import { progressStyle } from "../system/progress.ts"
import { int, real } from "../system/ranges.ts"
import * as Flags from "../wiring/flags.ts"
import { openRoles } from "../wiring/roles/open-roles.ts"
import { criticFlags, policyFlags, roleFlags } from "../wiring/roles/role-flags.ts"
import { marker, resultFile, runRows } from "../wiring/roles/run-rows.ts"
import { givenSettings, numberFlag } from "../wiring/setting-flags.ts"
import { resolveConfig } from "../wiring/settings.ts"

/** The files of one prompt: its drawings, and pictures of those that were criticised, as IntroSVG's rows name them. */
const writeDrawings = Effect.fnUntraced(function*(out: string, { drawings, id, prompt }: JudgedPrompt) {
  for (const [n, { critique, outcome, svg }] of drawings.entries()) {
    yield* writeFile(path.join(out, "drawings", `${fileOf(id, n)}.svg`), `${svg}\n`, false)
    if (critique === null || outcome !== "rendered") continue
    const rendering = yield* renderFor(prompt, svg)
    if (rendering._tag !== "Rendered") continue
    const { height, rgba, width } = rendering.picture
    yield* writeFile(path.join(out, "introsvg", "draft_image", `${fileOf(id, n)}.png`), encodePng(width, height, rgba), false)
  }
})

export const makeRows = Command.make("make-rows", {
  ...policyFlags,
  prompts: Flag.String("prompts").pipe(
    Flag.withDescription("prompts: a .txt, .csv, .parquet, .json, .jsonl or .ndjson file, or `embedded`, the grammar's training prompts"),
    Flag.withDefault("embedded")
  ),
  limit: Flags.count("limit", 1e6).pipe(Flag.withDescription("the first so many of them"), Flag.withDefault(1e6)),
  k: numberFlag("k", int(2, 64)).pipe(Flag.withDescription("drawings a prompt, which are compared with one another"), Flag.withDefault(4)),
  temperature: numberFlag("temperature", real(0, 100)).pipe(Flag.withDescription("temperature of the drawings"), Flag.withDefault(1)),
  drafts: numberFlag("drafts", int(0, 63)).pipe(
    Flag.withDescription("drafts of a prompt that are criticised and corrected, the worst first, if the judge says that the best drawing beats them"),
    Flag.withDefault(1)
  ),
  ...criticFlags,
  out: Flags.out.pipe(Flag.withDescription("folder for rows.jsonl and the drawings; new, or of rows that were begun")),
  ...roleFlags
}, Effect.fn(function*({
  adapter, critic, criticModel, device, drafts, json, k, limit, maxNewTokens, model, out, prefill, prompts: file, promptTemplate, revision,
  systemPrompt, temperature, threads, ...flags
}) {
  const style = progressStyle(json)
  const settings = yield* resolveConfig(undefined, givenSettings(flags))
  const rows: ReadonlyArray<PromptRow> = (file === "embedded"
    ? embeddedPrompts(0).train.map(({ text }) => plainRow(text))
    : yield* readPromptRows(file)).slice(0, limit)
  const prompts = rows.map(({ text }) => promptOf(text))
  const { facts, policy, stages } = yield* openRoles({
    model, revision, adapter: Option.getOrUndefined(adapter), maxNewTokens, device, threads, style, critic, criticModel, settings, prompts,
    most: { criticised: Math.min(drafts, k - 1) + 1, drawings: k, pairs: k * (k - 1) / 2 },
    format: { systemPrompt, promptTemplate, prefill }
  })
  const { critic: criticised, judge, key, records } = yield* runRows({
    out, prompts, names: namesOf(rows, prompts), policy, k, temperature, drafts, seed: settings.seed, facts, style
  }).pipe(Effect.provide(stages))

  yield* Effect.forEach(records, (record) => writeDrawings(out, record), { concurrency: 4 }).pipe(
    Effect.scoped,
    Effect.provide(rendererResvg.layer({ size: pictureSize }))
  )
  const lines = (all: ReadonlyArray<unknown>): string => all.map((row) => `${JSON.stringify(row)}\n`).join("")
  /** Rows have whole user messages: `vequinox sft` is given them with the template `{prompt}`, its default. */
  const goalOf = (text: string) => userText({ promptTemplate }, text)
  const made = records.flatMap((record) => rowsOf(record, goalOf(record.prompt.text)))
  const preferences = records.flatMap((record) => preferenceOf(record) ?? [])
  yield* writeFile(path.join(out, "rows.jsonl"), lines(made))
  yield* writeFile(path.join(out, "preferences.jsonl"), lines(preferences))
  for (const [name, rows] of Object.entries(introSvgOf(records, goalOf))) {
    yield* writeFile(path.join(out, "introsvg", name), `${JSON.stringify(rows, null, 1)}\n`)
  }
  const count = (kind: string) => made.filter((row) => row.kind === kind).length
  const result = {
    [marker]: key,
    finished: true,
    critic: criticised,
    judge,
    prompts: records.length,
    withoutBest: records.filter(({ best }) => best === null).length,
    rows: { direct: count("direct"), correction: count("correction"), critique: count("critique") },
    preferences: preferences.length,
    costUsd: records.reduce((sum, { costUsd }) => sum + costUsd, 0)
  }
  yield* writeFile(path.join(out, resultFile), `${JSON.stringify(result, null, 2)}\n`)
  yield* Console.log(json ? JSON.stringify(result) : [
    `Wrote ${path.join(out, "rows.jsonl")}: ${result.rows.direct} direct rows, ${result.rows.correction} corrections and ${result.rows.critique} critiques, and ${result.preferences} preferences.`,
    ...result.withoutBest === 0 ? [] : [`${result.withoutBest} of ${result.prompts} prompts gave none: the judge found no drawing better than another.`]
  ].join("\n"))
}, Effect.scoped)).pipe(Command.withDescription("Make training rows for drawing, correcting and criticising"))
