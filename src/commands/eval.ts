/** `vequinox eval`: how policies stand on the same prompts, each at its best temperature. */
import * as path from "node:path"
import { Console, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { requirementsResult, requirementTable } from "../evaluation/requirements-told.ts"
import type { Standing } from "../evaluation/standing.ts"
import { percent } from "../evaluation/statistics.ts"
import { renderComparison } from "../report/comparison.ts"
import { writeFile } from "../system/files.ts"
import { makeProgress, progressStyle } from "../system/progress.ts"
import { readAsked, readTemperatures } from "../wiring/comparison/asked.ts"
import { compareJudged } from "../wiring/comparison/compare.ts"
import { changeIn, toldOf, worthIn } from "../evaluation/figures.ts"
import { marker, needOwnFolder } from "../wiring/comparison/folder.ts"
import { openCompared } from "../wiring/comparison/policies.ts"
import { checkRequirements, openChecker, requirementsForecast, withRequirements } from "../wiring/comparison/requirements.ts"
import * as Flags from "../wiring/flags.ts"
import { judgeFlags } from "../wiring/judges/judge-flags.ts"
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
    Flag.withDescription("prompts: a .txt, .csv, .parquet, .json, .jsonl or .ndjson file, with a column or key `category` if it has one, or of SVGBench, Eval Protocol, SGP-CompBench, SArena, MMSVGBench or VectorGym; or `embedded`, the grammar's held-out ones"),
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
  requirements: Flag.Boolean("requirements").pipe(
    Flag.withDescription("let a guide model (--guide) check which requirements of its prompt each drawing meets: those of the file of prompts, or of --checklist-file"),
    Flag.withDefault(false)
  ),
  guideModel: Flags.guideModel,
  out: Flags.out.pipe(Flag.withDescription("folder for evaluation.json, report.html and the drawings; new, or of an evaluation that goes on")),
  ...judgeFlags,
  maxNewTokens: numberSetting("max_new_tokens", 160),
  ...Flags.promptForm,
  device: Flags.device,
  threads: Flags.threads,
  json: Flags.json
}, Effect.fn(function*({ chooseOn, clip, device, guideModel, json, k, limit, maxNewTokens, model, out, policies, prefill, prompts, promptTemplate, requirements: checks, revision, systemPrompt, temperatures: text, threads, ...flags }) {
  const style = progressStyle(json)
  const temperatures = yield* readTemperatures(text)
  const settings = yield* resolveConfig(undefined, givenSettings(flags))
  const { asked, choice } = yield* readAsked(prompts, Option.getOrUndefined(chooseOn), temperatures.length > 1, limit, settings.seed)
  const required = checks ? { asked: yield* withRequirements(asked, prompts, settings.checklist_file), checker: yield* openChecker(settings, guideModel) } : undefined
  const compared = yield* openCompared(model, revision, policies, style)
  yield* needOwnFolder(out, "evaluation.json")
  if (required !== undefined) yield* (yield* makeProgress(style, "drawing", 0)).note(requirementsForecast(required.checker, required.asked, compared.length))
  const comparison = yield* compareJudged({
    policies: compared, asked, choice, temperatures, k, maxNewTokens, device, threads, style, settings,
    clip: Option.getOrUndefined(clip),
    format: { systemPrompt, promptTemplate, prefill },
    cells: path.join(out, "drawings")
  })
  const { drawn, judge, standings } = comparison
  const checked = required === undefined ? undefined : yield* checkRequirements({ ...required, drawn, out, style })
  const names = compared.map(({ name }) => name)
  const yardstick = toldOf(comparison.yardstick)
  const told = checked === undefined ? { policies: standings } : {
    policies: standings.map((of, n) => ({ ...of, requirements: checked.measures[n]! })),
    requirements: requirementsResult(required!.asked, names, checked)
  }
  const facts = { [marker]: 1, finished: true, prompts: asked.length, chosenOn: choice.length, temperatures, yardstick, judge, ...told }
  yield* writeFile(path.join(out, "evaluation.json"), JSON.stringify(facts, null, 2) + "\n")
  yield* writeFile(path.join(out, "report.html"), renderComparison({ asked: required?.asked ?? asked, drawn, standings, yardstick, judge, temperatures, chosenOn: choice.length, requirements: checked }))
  const tables = [...table(standings, yardstick.measure), ...checked === undefined ? [] : ["", ...requirementTable(names, checked)]]
  yield* Console.log(json ? JSON.stringify(facts) : [...tables, "", `Look: ${path.join(out, "report.html")}`].join("\n"))
}, Effect.scoped)).pipe(Command.withDescription("Compare policies on the same prompts, each at its best temperature"))

const table = (all: ReadonlyArray<Standing>, measure: "right" | "score"): ReadonlyArray<string> => {
  const width = Math.max(6, ...all.map(({ name }) => name.length))
  const most = all[0]!.several?.k
  const row = (cells: ReadonlyArray<string>, name: string) => [name.padEnd(width), ...cells].join("  ").trimEnd()
  const chosenBy = most === undefined ? "" : `best of ${most}`
  return [
    row(["   T", (measure === "right" ? "right" : "score").padStart(8), `minus ${all[0]!.name}, 95 %`.padEnd(21), "    at 1", " renders", chosenBy.padStart(10), "tokens"], "policy"),
    ...all.map((of) => {
      const { against, best, bestTemperature, several } = of
      const chosen = several?.chosen.at(-1)
      return row([
        String(bestTemperature).padStart(4),
        worthIn(measure, best.worth).padStart(8),
        changeIn(measure, against?.difference ?? null).padEnd(21),
        worthIn(measure, of.plain.worth).padStart(8),
        percent(best.validity).padStart(8),
        (chosen === undefined ? "" : worthIn(measure, chosen.worth)).padStart(10),
        best.tokens.toFixed(0).padStart(6)
      ], of.name)
    })
  ]
}
