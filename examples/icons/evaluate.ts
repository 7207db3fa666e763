/**
 * Compares the policy after DPO with the one after SFT alone, each at its own best temperature, on words that neither has
 * read. A CLIP that trained neither says how well a drawing fits its prompt, and whether it fits the prompt better than 19
 * other prompts. `vequinox train` measures by the embedded scorers, which know no icons: hence this script.
 *
 * Drawings are kept in OUT/drawings by policy and temperature, and not made again.
 *
 * Usage: node examples/icons/evaluate.ts --model FOLDER --sft ADAPTER --dpo ADAPTER --data FOLDER --evaluator CLIP --out FOLDER
 *        [--prompts N] [--temperatures 0,0.3,0.5,0.7,1] [--threads N] [--max-new-tokens N]
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { Effect, Layer } from "effect"
import * as judgeClip from "../../layers/judge/clip.ts"
import { OnnxRuntime } from "../../layers/onnx/runtime.ts"
import * as rendererResvg from "../../layers/renderer/resvg.ts"
import { promptOf } from "../../src/prompts.ts"
import { renderFor } from "../../src/stages/render-for.ts"
import { prefill, svgOf } from "./compact.ts"
import { gridOf } from "./grid.ts"
import { readIcons } from "./icons.ts"
import { bestTemperature, compared, measured, rivalsOf, type Scored } from "./scores.ts"
import { asked } from "./words.ts"

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    sft: { type: "string" },
    dpo: { type: "string" },
    data: { type: "string" },
    evaluator: { type: "string" },
    out: { type: "string" },
    /** Most prompts of each kind. */
    prompts: { type: "string", default: "100" },
    temperatures: { type: "string", default: "0,0.3,0.5,0.7,1" },
    "max-new-tokens": { type: "string", default: "128" },
    threads: { type: "string", default: "1" }
  }
})
const { data, dpo, evaluator, model, out, sft } = values
if (data === undefined || dpo === undefined || evaluator === undefined || model === undefined || out === undefined || sft === undefined) {
  throw new Error("usage: node examples/icons/evaluate.ts --model FOLDER --sft ADAPTER --dpo ADAPTER --data FOLDER --evaluator CLIP --out FOLDER")
}
const temperatures = values.temperatures.split(",").map(Number)
const most = Number(values.prompts)

const read = (file: string) => fs.readFileSync(path.join(data, file), "utf8").split("\n").filter((line) => line !== "").slice(0, most)
/** The best temperature is chosen on training words. */
const sets = { "training words": read("words.txt"), "held-out names": read("names.txt"), "held-out tags": read("tags.txt") }
type SetName = keyof typeof sets
const all = [...new Set(Object.values(sets).flat())]

const drawings = path.join(out, "drawings")
fs.mkdirSync(drawings, { recursive: true })
const promptFile = path.join(out, "prompts.txt")
fs.writeFileSync(promptFile, all.map((text) => `${text}\n`).join(""))

const main = path.resolve(import.meta.dirname, "../../src/main.ts")

interface Drawn {
  readonly prompt: string
  readonly svg: string
  readonly tokens: number
}

const draw = (policy: string, adapter: string, temperature: number): ReadonlyArray<Drawn> => {
  const file = path.join(drawings, `${policy}-${temperature}.jsonl`)
  if (!fs.existsSync(file)) {
    console.log(`${policy} draws ${all.length} prompts at temperature ${temperature}`)
    const to = fs.openSync(`${file}.new`, "w")
    const form = ["--prefill", prefill, "--system-prompt", "Draw", "--max-new-tokens", values["max-new-tokens"], "--threads", values.threads]
    const asking = ["--model", model, "--adapter", adapter, "--prompts", promptFile, "--temperature", String(temperature), "--json"]
    const { status } = spawnSync(process.execPath, [main, "sample", ...asking, ...form], { stdio: ["ignore", to, "inherit"] })
    fs.closeSync(to)
    if (status !== 0) throw new Error(`drawing failed; the same command goes on`)
    fs.renameSync(`${file}.new`, file)
  }
  const known = new Map(fs.readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line) as Drawn).map((drawn) => [drawn.prompt, drawn]))
  return all.map((prompt) => known.get(prompt) ?? fail(`${file} has no drawing of "${prompt}": it is of other prompts; move it away`))
}
const fail = (message: string): never => {
  throw new Error(message)
}

const size = (JSON.parse(fs.readFileSync(path.join(evaluator, "config.json"), "utf8")) as { readonly vision_config: { readonly image_size: number } }).vision_config.image_size

const scoring = Effect.gen(function*() {
  const { score } = yield* judgeClip.scorer("evaluator", { model: evaluator })
  const scored = Effect.fnUntraced(function*(drawn: Drawn, of: ReadonlyArray<string>) {
    const rendering = yield* renderFor(promptOf(drawn.prompt), drawn.svg)
    if (rendering._tag !== "Rendered") return { ...drawn, rendered: false, logit: undefined, first: false } satisfies Scored
    const logitOf = (text: string) => Effect.map(score(promptOf(text), rendering.picture), (logit) => logit ?? -Infinity)
    const logit = yield* logitOf(drawn.prompt)
    const rivals = yield* Effect.forEach(rivalsOf(drawn.prompt, of), logitOf)
    return { ...drawn, rendered: true, logit, first: rivals.every((rival) => logit > rival) } satisfies Scored
  })
  const scoreAll = (policy: string, adapter: string) =>
    Effect.forEach(temperatures, (temperature) =>
      Effect.gen(function*() {
        const drawn = new Map(draw(policy, adapter, temperature).map((one) => [one.prompt, one]))
        const bySet = {} as Record<SetName, ReadonlyArray<Scored>>
        for (const [name, prompts] of Object.entries(sets) as ReadonlyArray<[SetName, ReadonlyArray<string>]>) {
          bySet[name] = yield* Effect.forEach(prompts, (prompt) => scored(drawn.get(prompt)!, prompts), { concurrency: 8 })
        }
        return [temperature, bySet] as const
      }))
  /** The packages' own drawings of the held-out names: what the evaluator says of what is right. */
  const icons = readIcons()
  const own = (prompt: string) => icons.find(({ name }) => asked(name) === prompt)
  const named = sets["held-out names"]
  const real = yield* Effect.forEach(named, (prompt) => scored({ prompt, svg: svgOf(own(prompt)?.parts ?? []), tokens: 0 }, named), { concurrency: 8 })
  return { real, sft: new Map(yield* scoreAll("sft", sft)), dpo: new Map(yield* scoreAll("dpo", dpo)) }
})

const { real, ...policies } = await Effect.runPromise(scoring.pipe(
  Effect.scoped,
  Effect.provide(Layer.mergeAll(rendererResvg.layer({ size }), OnnxRuntime.layer("cpu", 0, { threads: Number(values.threads), overlap: false })))
))

const bySet = (policy: keyof typeof policies, name: SetName) => new Map([...policies[policy]].map(([temperature, of]) => [temperature, of[name]]))
const best = { sft: bestTemperature(bySet("sft", "training words")), dpo: bestTemperature(bySet("dpo", "training words")) }
const at = (policy: keyof typeof policies, name: SetName, temperature: number = best[policy]) => bySet(policy, name).get(temperature)!
const names = Object.keys(sets) as ReadonlyArray<SetName>
const report = {
  prompts: Object.fromEntries(names.map((name) => [name, sets[name].length])),
  bestTemperature: best,
  packagesOwnDrawings: measured(real),
  curves: Object.fromEntries(names.map((name) => [
    name,
    Object.fromEntries((["sft", "dpo"] as const).map((policy) => [
      policy,
      [...bySet(policy, name)].map(([temperature, drawn]) => ({ temperature, ...measured(drawn) }))
    ]))
  ])),
  /** DPO at its best temperature minus SFT at its best; 95 % by paired bootstrap over the prompts. */
  difference: Object.fromEntries(names.map((name) => [name, compared(at("sft", name), at("dpo", name))]))
}
fs.writeFileSync(path.join(out, "evaluation.json"), JSON.stringify(report, null, 1) + "\n")

const shown = (name: SetName) => sets[name].slice(0, 16)
for (const name of ["held-out names", "held-out tags", "training words"] as const) {
  const prompts = shown(name)
  const row = (policy: keyof typeof policies) => ({
    title: `${policy} at ${best[policy]}`,
    svgs: prompts.map((prompt) => at(policy, name).find((drawn) => drawn.prompt === prompt && drawn.rendered)?.svg)
  })
  const packages = { title: "packages", svgs: prompts.map((prompt) => real.find((drawn) => drawn.prompt === prompt)?.svg) }
  fs.writeFileSync(
    path.join(out, `${name.replaceAll(" ", "-")}.png`),
    gridOf(prompts, [...name === "held-out names" ? [packages] : [], row("sft"), row("dpo")])
  )
}
const percent = (x: number) => `${(100 * x).toFixed(1)} %`
for (const name of names) {
  const { first, logit } = report.difference[name]!
  console.log(`${name}: right prompt first of 20 ${percent(measured(at("sft", name)).first)} -> ${percent(measured(at("dpo", name)).first)}, ` +
    `difference ${percent(first.value)} [${percent(first.lower)}, ${percent(first.upper)}]; logit ${logit.value.toFixed(2)} [${logit.lower.toFixed(2)}, ${logit.upper.toFixed(2)}]`)
}
