/** `vequinox eval`: how policies stand on the same prompts, each at its best temperature. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Console, Effect, Layer, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as judgeClip from "../../layers/judge/clip.ts"
import { OnnxRuntime } from "../../layers/onnx/runtime.ts"
import { random, shuffled } from "../engine/random.ts"
import { type Asked, categoryOf, type Standing } from "../evaluation/standing.ts"
import { percent } from "../evaluation/statistics.ts"
import { openWeights, weightsHash } from "../model/model-folder.ts"
import { embeddedPrompts, promptOf, readPromptRows } from "../prompts.ts"
import { renderComparison } from "../report/comparison.ts"
import { BadInput } from "../system/errors.ts"
import { readText, writeFile } from "../system/files.ts"
import { embedded } from "../system/installed.ts"
import { needFreeFolder } from "../system/outputs.ts"
import { progressStyle } from "../system/progress.ts"
import { compare } from "../wiring/comparison/compare.ts"
import { openCompared } from "../wiring/comparison/policies.ts"
import * as Flags from "../wiring/flags.ts"
import { judgeFlags } from "../wiring/judges/judge-flags.ts"
import { openJudging } from "../wiring/judges/judging.ts"
import { heldOutScorers } from "../wiring/run/held-out-scorers.ts"
import { givenSettings, numberSetting } from "../wiring/setting-flags.ts"
import { resolveConfig } from "../wiring/settings.ts"

export const evaluate = Command.make("eval", {
  policies: Argument.String("NAME=FOLDER").pipe(
    Argument.withDescription("an adapter, a run or a checkpoint to compare with the base; the base itself is always the first"),
    Argument.variadic()
  ),
  model: Flags.model,
  revision: Flags.revision,
  prompts: Flag.String("prompts").pipe(
    Flag.withDescription("prompts: a .txt, .csv, .json, .jsonl or .ndjson file, with a column or key `category` if it has one; or `embedded`, the grammar's held-out ones"),
    Flag.withDefault("embedded")
  ),
  limit: Flags.count("limit", 1e6).pipe(Flag.withDescription("the first so many of them"), Flag.withDefault(256)),
  chooseOn: Flag.String("choose-on").pipe(
    Flag.withDescription("file of other prompts, to choose each policy's temperature on; without it, a file's own prompts give one in five for that"),
    Flag.optional
  ),
  temperatures: Flag.String("temperatures").pipe(
    Flag.withDescription("temperatures to choose from, with commas; one alone is taken as it is"),
    Flag.withDefault("0,0.3,0.5,0.7,1")
  ),
  k: Flags.count("k", 256).pipe(Flag.withDescription("drawings a prompt at the best temperature over 0: their best, mean, worst and variety, and the judge's choice among them"), Flag.withDefault(4)),
  clip: Flag.String("clip").pipe(Flag.withDescription("folder of a CLIP of your own that scores too, and first where prompts have no right and wrong"), Flag.optional),
  out: Flags.out.pipe(Flag.withDescription("folder for evaluation.json, report.html and the drawings; new, or of an evaluation that goes on")),
  ...judgeFlags,
  maxNewTokens: numberSetting("max_new_tokens", 160),
  prefill: Flags.prefill,
  promptTemplate: Flags.promptTemplate,
  systemPrompt: Flags.systemPrompt,
  device: Flags.device,
  threads: Flags.threads,
  json: Flags.json
}, Effect.fn(function*({ chooseOn, clip, device, json, k, limit, maxNewTokens, model, out, policies, prefill, prompts, promptTemplate, revision, systemPrompt, temperatures: text, threads, ...flags }) {
  const style = progressStyle(json)
  const temperatures = yield* readTemperatures(text)
  const settings = yield* resolveConfig(undefined, givenSettings(flags))
  const { asked, choice } = yield* readAsked(prompts, Option.getOrUndefined(chooseOn), temperatures.length > 1, limit, settings.seed)
  const compared = yield* openCompared(model, revision, policies, style)
  const { size, stages } = yield* openJudging(settings, style)
  yield* needOwnFolder(out)
  const comparison = yield* Effect.gen(function*() {
    const known = yield* heldOutScorers
    const own = Option.isNone(clip) ? [] : [yield* judgeClip.scorer(`clip ${path.basename(path.resolve(clip.value))}`, { model: clip.value })]
    const [scene, ...others] = known
    const identity = yield* Effect.forEach([embedded("clip-heldout"), ...Option.toArray(clip)], (folder) => Effect.map(openWeights(folder), weightsHash))
    return yield* compare({
      policies: compared, asked, choice, temperatures, k, size, maxNewTokens, device, threads, style,
      seed: settings.seed,
      scorers: [scene!, ...own, ...others],
      scorersIdentity: identity.join(" "),
      format: { systemPrompt, promptTemplate, prefill },
      cells: path.join(out, "drawings")
    })
  }).pipe(Effect.provide(Layer.mergeAll(stages, OnnxRuntime.layer("cpu", 0, { threads, overlap: false }))), Effect.scoped)
  const { drawn, judge, standings, yardstick } = comparison
  const facts = { [marker]: 1, finished: true, prompts: asked.length, chosenOn: choice.length, temperatures, yardstick, judge, policies: standings }
  yield* writeFile(path.join(out, "evaluation.json"), JSON.stringify(facts, null, 2) + "\n")
  yield* writeFile(path.join(out, "report.html"), renderComparison({ asked, drawn, standings, yardstick, judge, temperatures, chosenOn: choice.length }))
  yield* Console.log(json ? JSON.stringify(facts) : [...table(standings, yardstick.measure), "", `Look: ${path.join(out, "report.html")}`].join("\n"))
}, Effect.scoped)).pipe(Command.withDescription("Compare policies on the same prompts, each at its best temperature"))

/** A key of evaluation.json, by which the folder is known to be an evaluation's. */
const marker = "vequinox_evaluation"

/** New or empty, or an evaluation's own: that one goes on. */
const needOwnFolder = Effect.fnUntraced(function*(out: string) {
  const file = path.join(out, "evaluation.json")
  const isOwn = fs.existsSync(file) && (yield* Effect.orElseSucceed(readText(file), () => "")).includes(`"${marker}"`)
  if (!isOwn) yield* needFreeFolder(out, "--out")
  fs.mkdirSync(path.join(out, "drawings"), { recursive: true })
  if (!isOwn) yield* writeFile(file, JSON.stringify({ [marker]: 1, finished: false }) + "\n")
})

const readTemperatures = Effect.fnUntraced(function*(text: string) {
  const given = text.split(",").map((part) => (part.trim() === "" ? NaN : Number(part)))
  if (given.some((t) => !(t >= 0 && t <= 100))) {
    return yield* new BadInput({ message: `--temperatures is ${text}: give numbers from 0 to 100 with commas between them.` })
  }
  return [...new Set(given)].sort((a, b) => a - b)
})

/** Most prompts that temperatures are chosen on. */
const mostChoice = 64

const readAsked = Effect.fnUntraced(function*(file: string, chooseOn: string | undefined, chooses: boolean, limit: number, seed: number) {
  const few = <A>(all: ReadonlyArray<A>) => shuffled(random(seed, 0xc401ce), all).slice(0, mostChoice)
  const given = chooseOn === undefined ? undefined : (yield* readPromptRows(chooseOn)).map(({ text }) => promptOf(text))
  if (file === "embedded") {
    const { heldOut, train } = embeddedPrompts(limit)
    return { asked: heldOut.map((prompt): Asked => ({ prompt, category: categoryOf(prompt, undefined) })), choice: few(given ?? train) }
  }
  const rows = yield* readPromptRows(file)
  const all = [...new Map(rows.map((row) => [row.text, row])).values()].map(({ category, text }): Asked => {
    const prompt = promptOf(text)
    return { prompt, category: categoryOf(prompt, category) }
  })
  if (given !== undefined || !chooses) {
    const asked = all.slice(0, limit)
    const texts = new Set(asked.map(({ prompt }) => prompt.text))
    return { asked, choice: few((given ?? []).filter(({ text }) => !texts.has(text))) }
  }
  // One in five, by the hash in its id: adding prompts moves none of the others.
  const chooser = ({ prompt }: Asked): boolean => Number.parseInt(prompt.id.slice(0, 4), 16) % 5 === 0
  const [choice, asked] = [all.filter(chooser), all.filter((of) => !chooser(of)).slice(0, limit)]
  if (choice.length === 0 || asked.length === 0) {
    return yield* new BadInput({ message: `${file} has too few prompts to choose a temperature on some and measure on others: give others as --choose-on, or one temperature as --temperatures.` })
  }
  return { asked, choice: few(choice.map(({ prompt }) => prompt)) }
})

const worth = (measure: "right" | "score", value: number): string => (measure === "right" ? percent(value) : value.toFixed(2))

const table = (all: ReadonlyArray<Standing>, measure: "right" | "score"): ReadonlyArray<string> => {
  const width = Math.max(6, ...all.map(({ name }) => name.length))
  const most = all[0]!.several?.k
  const row = (cells: ReadonlyArray<string>, name: string) => [name.padEnd(width), ...cells].join("  ").trimEnd()
  /** Points, where shares are compared. */
  const signed = (value: number) => `${value < 0 ? "-" : "+"}${measure === "right" ? (100 * Math.abs(value)).toFixed(1) : Math.abs(value).toFixed(2)}`
  const chosenBy = most === undefined ? "" : `best of ${most}`
  return [
    row(["   T", (measure === "right" ? "right" : "score").padStart(8), `minus ${all[0]!.name}, 95 %`.padEnd(21), "    at 1", " renders", chosenBy.padStart(10), "tokens"], "policy"),
    ...all.map((of) => {
      const { against, best, bestTemperature, several } = of
      const change = against === null ? "" : `${signed(against.difference.value)} [${signed(against.difference.lower)}, ${signed(against.difference.upper)}]`
      const chosen = several?.chosen.at(-1)
      return row([
        String(bestTemperature).padStart(4),
        worth(measure, best.worth).padStart(8),
        change.padEnd(21),
        worth(measure, of.plain.worth).padStart(8),
        percent(best.validity).padStart(8),
        (chosen === undefined ? "" : worth(measure, chosen.worth)).padStart(10),
        best.tokens.toFixed(0).padStart(6)
      ], of.name)
    })
  ]
}
