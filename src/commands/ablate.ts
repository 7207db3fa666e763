/** `vequinox ablate`: trains variants of a run with several seeds, and compares what they learned. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Console, Effect } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { freeMemory } from "../../layers/onnx/runtime.ts"
import { parameterCount, samplerBytes } from "../engine/training/memory.ts"
import { type VariantStanding, variantStandings } from "../evaluation/variants.ts"
import { renderComparison } from "../report/comparison.ts"
import { writeFile } from "../system/files.ts"
import { progressStyle } from "../system/progress.ts"
import { readAsked } from "../wiring/comparison/asked.ts"
import { compareJudged } from "../wiring/comparison/compare.ts"
import { changeIn, toldOf, worthIn } from "../evaluation/figures.ts"
import { marker, needOwnFolder } from "../wiring/comparison/folder.ts"
import { type AblationPlan, readPlan } from "../wiring/comparison/plan.ts"
import { openCompared } from "../wiring/comparison/policies.ts"
import { runVariants } from "../wiring/comparison/run-variants.ts"
import * as Flags from "../wiring/flags.ts"
import { openPolicy } from "../wiring/policy.ts"
import { resolveConfig, type TrainConfig } from "../wiring/settings.ts"
import { embedded } from "../system/installed.ts"

export const ablate = Command.make("ablate", {
  plan: Argument.String("plan.yaml").pipe(Argument.withDescription("variants, seeds, and how they are compared: docs/evaluation.md")),
  out: Flags.out.pipe(Flag.withDescription("folder for the runs, ablation.json and report.html; new, or of an ablation that goes on")),
  jobs: Flags.count("jobs", 1024).pipe(Flag.withDescription("runs at a time (default: as many as there are cores and memory for)"), Flag.optional),
  json: Flags.json
}, Effect.fn(function*({ jobs, json, out, plan: file }) {
  const plan = yield* readPlan(file)
  const style = progressStyle(json)
  const usual = yield* resolveConfig(undefined, plan.variants[0]!.settings)
  const model = usual.model_name_or_path === "embedded" ? embedded("policy") : usual.model_name_or_path
  const { prompts = "embedded", choose_on, limit = 256, temperatures: given = [0, 0.3, 0.5, 0.7, 1], k = 4 } = plan.evaluation
  const temperatures = [...new Set(given)].sort((a, b) => a - b)
  const { asked, choice } = yield* readAsked(prompts, choose_on, temperatures.length > 1, limit, 0)
  yield* needOwnFolder(out, "ablation.json")
  for (const folder of ["runs", "variants"]) fs.mkdirSync(path.join(out, folder), { recursive: true })
  const atOnce = jobs._tag === "Some" ? jobs.value : yield* placesFor(usual, model, plan)
  const threads = Math.max(1, Math.floor(os.availableParallelism() / atOnce))
  const say = (line: string) => style === "none" ? undefined : void process.stderr.write(`${line}\n`)
  const runs = yield* runVariants(plan, out, { jobs: atOnce, threads, say }).pipe(
    Effect.onInterrupt(() => Effect.sync(() => say("Stopped: the same command goes on from here.")))
  )
  const named = runs.map(({ folder, seed, variant }) => `${variant.name}-${seed}=${folder}`)
  const compared = yield* openCompared(model, usual.model_revision, named, style)
  const { drawn, judge, standings, yardstick: ruler } = yield* compareJudged({
    policies: compared, asked, choice, temperatures, k, style,
    settings: usual,
    clip: undefined,
    maxNewTokens: usual.max_new_tokens,
    device: usual.device,
    threads: usual.threads,
    format: { systemPrompt: usual.system_prompt, promptTemplate: usual.prompt_template, prefill: usual.prefill },
    cells: path.join(out, "drawings")
  })
  const of = plan.variants.map(({ name }) => ({ name, seeds: runs.flatMap((run, n) => (run.variant.name === name ? [drawn[n + 1]!] : [])) }))
  const variants = variantStandings(asked, drawn[0]!, of, ruler, 0)
  const yardstick = toldOf(ruler)
  const facts = { [marker]: 1, finished: true, seeds: plan.seeds, prompts: asked.length, chosenOn: choice.length, temperatures, yardstick, judge, base: standings[0], variants, runs: standings.slice(1) }
  yield* writeFile(path.join(out, "ablation.json"), JSON.stringify(facts, null, 2) + "\n")
  yield* writeFile(path.join(out, "report.html"), renderComparison({ asked, drawn, standings, yardstick, judge, temperatures, chosenOn: choice.length, variants }))
  yield* Console.log(json ? JSON.stringify(facts) : [...table(standings[0]!.best.worth, variants, yardstick.measure), "", `Look: ${path.join(out, "report.html")}`].join("\n"))
}, Effect.scoped)).pipe(Command.withDescription("Train variants of a run with several seeds, and compare what they learned"))

/** What a process of a run takes besides weights, gradients and caches, bytes. */
const processBytes = 6e8

/** Runs side by side for which there are cores and memory; at least one. */
const placesFor = Effect.fnUntraced(function*(c: TrainConfig, model: string, { seeds, variants }: AblationPlan) {
  const { checkpoint: { config } } = yield* openPolicy(model, c.model_revision, "none")
  // The trainer shortens its runs to what is free; this is what it needs to be quick.
  const bytes = processBytes + samplerBytes(config, c.max_num_seqs, c.max_length, "float32") + 8 * parameterCount(config)
  return Math.max(1, Math.min(os.availableParallelism(), seeds.length * variants.length, Math.floor(freeMemory() / bytes)))
})

const table = (base: number, all: ReadonlyArray<VariantStanding>, measure: "right" | "score"): ReadonlyArray<string> => {
  const width = Math.max(7, ...all.map(({ name }) => name.length))
  const worth = (value: number) => worthIn(measure, value)
  const change = (of: VariantStanding["minusFirst"]) => changeIn(measure, of)
  const row = (cells: ReadonlyArray<string>) => cells.join("  ").trimEnd()
  return [
    row(["variant".padEnd(width), "seeds", (measure === "right" ? "right" : "score").padStart(8), "seeds from, to".padEnd(16), "    at 1", "minus base, 95 %".padEnd(21), `minus ${all[0]!.name}`]),
    row(["base".padEnd(width), "     ", worth(base).padStart(8)]),
    ...all.map((of) =>
      row([
        of.name.padEnd(width),
        String(of.seeds).padStart(5),
        worth(of.worth.value).padStart(8),
        `${worth(of.lowest)}, ${worth(of.highest)}`.padEnd(16),
        worth(of.plain).padStart(8),
        change(of.minusBase).padEnd(21),
        change(of.minusFirst)
      ]))
  ]
}
