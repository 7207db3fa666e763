/**
 * The jobs of a comparison: one run of one recipe with one judge and one seed each, and one for the base. A job's folder
 * is named after all that its numbers depend on, so results of another model, recipe or code are never mixed with these.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import type { Kind } from "../../src/evaluation/measures.ts"
import { openDecoder, openWeights, weightsHash } from "../../src/model/model-folder.ts"
import { embedded, onnxVersion, version } from "../../src/system/installed.ts"
import { resolveConfig, type TrainConfig } from "../../src/wiring/settings.ts"
import { kindsOf, type MeasuredOn, type PolicyMeasured, promptsToMeasure } from "./measure.ts"
import { type OwnRecipe, type Recipe, recipes } from "./recipes.ts"

export const judges = ["perfect", "clip", "coin"] as const
export type JudgeName = (typeof judges)[number]

/** Of TRL, as ../peers/README.md installs it. */
export const trlVersion = "0.25.1"

export interface Asked {
  /** Absolute. */
  readonly model: string
  /** Names, and each one's judges. */
  readonly recipes: ReadonlyArray<readonly [name: string, judges: ReadonlyArray<JudgeName>]>
  readonly seeds: ReadonlyArray<number>
  /** Steps of the default run, and how many lie between two points of a curve; other recipes get as many drawings. */
  readonly steps: number
  readonly every: number
  /** TRL draws as much as so many of these steps. */
  readonly peerSteps: number
  /** Held-out prompts, and training prompts to choose temperatures on. */
  readonly heldOut: number
  readonly choice: number
}

/** What a job's process is told. */
export interface Job {
  /** Null: the base is measured, and nothing is trained. */
  readonly recipe: string | null
  readonly judge: JudgeName | null
  readonly seed: number
  readonly model: string
  readonly steps: number
  readonly drawingsAStep: number
  /** Steps between points. */
  readonly every: number
  readonly heldOut: number
  readonly choice: number
  /** SHA-256 of all that its numbers depend on, hex. */
  readonly key: string
}

export interface Point extends PolicyMeasured {
  /** Drawings that the training had drawn. */
  readonly drawings: number
}

/** result.json. */
export interface Result extends Job {
  /** Of training, without measuring. */
  readonly seconds: number
  /** Why the run ended before its last step: it had diverged. */
  readonly stopped?: string
  /** What each held-out prompt asks for. */
  readonly kinds: ReadonlyArray<Kind>
  readonly points: ReadonlyArray<Point>
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex")

/** The settings of a recipe's run; TRL's takes from them how prompts are written and how long drawings may be. */
export const settingsOf = (recipe: Recipe, steps: number) =>
  resolveConfig(undefined, { ...own(recipe), max_steps: steps })
const own = (recipe: Recipe): OwnRecipe["settings"] => recipe.by === "vequinox" ? recipe.settings : {}

/** Steps at which a policy is measured: every so many, and the last. */
export const pointsOf = ({ every, steps }: Pick<Job, "every" | "steps">): ReadonlyArray<number> =>
  [...Array.from({ length: Math.ceil(steps / every) - 1 }, (_, n) => (n + 1) * every), steps]

/** Sources by which drawings are judged right: a change there is another measure. */
const sourcesHash = (): string => {
  const folder = path.join(import.meta.dirname, "../../src/scenes")
  return sha256(fs.readdirSync(folder).sort().map((name) => fs.readFileSync(path.join(folder, name), "utf8")).join("\n"))
}

const modelHash = Effect.fnUntraced(function*(folder: string) {
  const beside = ["config.json", "tokenizer.json", "tokenizer_config.json"].map((name) => path.join(folder, name)).filter((file) => fs.existsSync(file))
  return sha256([weightsHash(yield* openWeights(folder)), ...beside.map((file) => fs.readFileSync(file, "utf8"))].join("\n"))
})

const drawingsAStep = (c: TrainConfig): number => c.prompts_per_step * c.num_generations

/** The default run. */
export const usualRun = Effect.map(resolveConfig(undefined, {}), (c) => ({ steps: c.max_steps, drawings: c.max_steps * drawingsAStep(c) }))

const jobOf = (job: Omit<Job, "key">, facts: object): Job => ({ ...job, key: sha256(JSON.stringify({ ...job, model: undefined, facts })) })

/** The base first, then seed by seed, so that an unfinished comparison has whole seeds. */
export const jobsOf = Effect.fn("jobsOf")(function*(asked: Asked) {
  yield* openDecoder(asked.model)
  const on = promptsToMeasure(asked.heldOut, asked.choice)
  const facts = {
    versions: { vequinox: version, onnxruntime: onnxVersion },
    model: yield* modelHash(asked.model),
    measure: sourcesHash(),
    prompts: [on.heldOut, on.choice].map((prompts) => prompts.map(({ text }) => text))
  }
  const clip = yield* modelHash(embedded("clip"))
  const { heldOut, choice, model } = asked
  const base = jobOf({ recipe: null, judge: null, seed: 0, model, steps: 0, drawingsAStep: 0, every: 0, heldOut, choice }, facts)
  const usual = yield* settingsOf(recipes["default"]!, asked.steps)
  const jobs = yield* Effect.forEach(asked.recipes, Effect.fnUntraced(function*([name, judges]) {
    const recipe = recipes[name]!
    const each = recipe.by === "trl" ? 2 * recipe.batch : drawingsAStep(yield* settingsOf(recipe, asked.steps))
    const scaled = (steps: number) => Math.max(1, Math.round(steps * drawingsAStep(usual) / each))
    const [steps, every] = [scaled(recipe.by === "trl" ? asked.peerSteps : asked.steps), scaled(asked.every)]
    const settings = recipe.by === "trl" ? { ...recipe, says: undefined, trl: trlVersion } : yield* settingsOf(recipe, steps)
    return judges.flatMap((judge) => asked.seeds.map((seed) =>
      jobOf({ recipe: name, judge, seed, model, steps, drawingsAStep: each, every, heldOut, choice }, { ...facts, settings, clip: judge === "clip" ? clip : undefined })))
  }))
  return [base, ...jobs.flat().sort((a, b) => asked.seeds.indexOf(a.seed) - asked.seeds.indexOf(b.seed))]
})

export const nameOf = ({ judge, recipe, seed }: Pick<Job, "recipe" | "judge" | "seed">): string =>
  recipe === null ? "base" : `${recipe}, judge ${judge}, seed ${seed}`

export const folderOf = (out: string, { judge, key, recipe, seed }: Pick<Job, "recipe" | "judge" | "seed" | "key">): string =>
  path.join(out, `${recipe === null ? "base" : `${recipe}-${judge}-${seed}`}-${key.slice(0, 8)}`)

export const readJson = <A>(file: string): A | undefined => {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8")) as A
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined
    throw new Error(`${file} cannot be read (${(cause as Error).message}): remove it, and it is made again.`)
  }
}

/** Whole or not at all, however the process ends. */
export const writeJson = (file: string, value: unknown): void => {
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(`${file}.part`, JSON.stringify(value) + "\n")
  fs.renameSync(`${file}.part`, file)
}

/** A finished job's result, if it is of this job: a folder's name holds only the beginning of its key. */
export const resultOf = (out: string, job: Job): Result | undefined => {
  const result = readJson<Result>(path.join(folderOf(out, job), "result.json"))
  return result?.key === job.key ? result : undefined
}

export const measuredOn = (job: Pick<Job, "heldOut" | "choice">): MeasuredOn & { readonly kinds: ReadonlyArray<Kind> } => {
  const on = promptsToMeasure(job.heldOut, job.choice)
  return { ...on, kinds: kindsOf(on) }
}
