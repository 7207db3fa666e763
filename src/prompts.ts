/**
 * Prompts of a run: from the embedded grammar or from a file. Held-out prompts are never trained on. The grammar holds
 * out whole object-relation combinations; a file's prompts are split by a hash of their text.
 */
import { createHash } from "node:crypto"
import { Effect } from "effect"
import { csvRows } from "./system/csv.ts"
import { parquetRows } from "./system/parquet.ts"
import { Prompt } from "./domain.ts"
import { extensionOf, FileProblem, readText } from "./system/files.ts"
import { random } from "./engine/random.ts"
import { jsonRows, promptRowOf, type PromptRow } from "./prompts/json-rows.ts"
import { caption, sampleScene, type Scene, type Split } from "./scenes/index.ts"

export type { PromptRow } from "./prompts/json-rows.ts"

export interface PromptSet {
  readonly train: ReadonlyArray<Prompt>
  readonly heldOut: ReadonlyArray<Prompt>
}

export const promptOf = (text: string): Prompt =>
  new Prompt({ id: createHash("sha256").update(text).digest("hex").slice(0, 16), text })

/** The first embedded prompts: what this project is named for. */
const first = ["a pelican", "a bicycle", "a pelican riding a bicycle"]

/** What takes longest to learn is half of the training prompts, besides what chance gives. */
const practised: ReadonlyArray<Scene["kind"] | undefined> = [undefined, "sizes", undefined, "relation", undefined, "count"]

/**
 * Distinct prompts of the scene grammar: pelicans, pelicans riding bicycles, then everything else the grammar can say.
 * The held-out ones show its kinds as often as `sampleScene` does.
 */
export const embeddedPrompts = (heldOut: number): PromptSet => {
  const distinct = (split: Split, count: number, start: ReadonlyArray<string>) => {
    const texts = new Set(start)
    for (let n = 0; texts.size < count && n < 50 * count; n++) {
      const draw = random(split === "train" ? 0x7a : 0x40, n)
      texts.add(caption(sampleScene(draw, split, split === "train" ? practised[n % practised.length] : undefined), draw))
    }
    return [...texts].slice(0, count).map(promptOf)
  }
  return { train: distinct("train", 1024, first), heldOut: distinct("heldout", heldOut, []) }
}

/**
 * The rows of a file of prompts, in their order: lines of .txt, `desc` or `prompt` of .csv, rows of .json, .jsonl or
 * .ndjson (prompts/json-rows.ts), and columns of .parquet. Columns or keys `category` and `id` go with them, and a row's requirements.
 */
export const readPromptRows = Effect.fn("readPromptRows")(function*(file: string) {
  const rows = (yield* (readers[extensionOf(file)] ?? ofText(lines))(file))
    .map(({ category, id, requirements, text }): PromptRow => ({
      text: text.trim(),
      category: category?.trim() || undefined,
      id: id?.trim() || undefined,
      requirements
    }))
    .filter(({ text }) => text !== "")
  if (rows.length === 0) return yield* new FileProblem({ message: `${file} has no prompts: write one a line.` })
  return rows
})

export const readPrompts = Effect.fn("readPrompts")(function*(file: string, heldOut: number) {
  return promptSet((yield* readPromptRows(file)).map(({ text }) => text), heldOut)
})

/** By the hash in its id, so adding prompts changes none of the others. */
export const isOneInFive = ({ id }: Prompt): boolean => Number.parseInt(id.slice(0, 4), 16) % 5 === 0

/**
 * Keeps each text once and holds some out. The choice depends on the text alone, so the same texts are always held out.
 * @param heldOut at most
 */
export const promptSet = (texts: ReadonlyArray<string>, heldOut: number): PromptSet => {
  const prompts = [...new Set(clean(texts))].map(promptOf)
  const train = prompts.filter((prompt) => !isOneInFive(prompt))
  return {
    train: train.length === 0 ? prompts : train,
    heldOut: (train.length === 0 ? [] : prompts.filter(isOneInFive)).slice(0, heldOut)
  }
}

type Parser = (file: string, text: string) => Effect.Effect<ReadonlyArray<PromptRow>, FileProblem>

const clean = (texts: ReadonlyArray<string>): ReadonlyArray<string> => texts.map((t) => t.trim()).filter((t) => t !== "")
/** A prompt of which nothing else is said. */
export const plainRow = (text: string): PromptRow => ({ text, category: undefined, id: undefined, requirements: undefined })
const lines: Parser = (_file, text) => Effect.succeed(text.split(/\r?\n/).map(plainRow))

const json: Parser = (file, text) =>
  Effect.gen(function*() {
    const array = text.trimStart().startsWith("[")
    const rows = yield* jsonRows(file, text).pipe(
      Effect.mapError((problem) =>
        array || extensionOf(file) !== ".json" ? problem : new FileProblem({ message: `${file} must be an array of {"prompt": ...}, or one such row a line.` }))
    )
    return yield* Effect.forEach(rows, Effect.fnUntraced(function*({ value, where }) {
      if (array && typeof value === "string") return plainRow(value)
      const row = promptRowOf(value)
      if (row === undefined) return yield* new FileProblem({ message: `${file}, ${where}: there is no "prompt" in it.` })
      return row.text === "" && row.requirements !== undefined
        ? yield* new FileProblem({ message: `${file}, ${where}: its prompt is empty.` })
        : row
    }))
  })

const csv: Parser = (file, text) =>
  Effect.gen(function*() {
    const [header, ...rows] = yield* csvRows(file, text)
    const named = (...names: ReadonlyArray<string>) => header?.findIndex((name) => names.includes(name.trim().toLowerCase())) ?? -1
    const [column, category, id] = [named("desc", "description", "prompt"), named("category"), named("id")]
    if (column < 0) return yield* new FileProblem({ message: `${file} needs a column named "prompt" or "desc".` })
    return rows.map((row) => ({ ...plainRow(row[column] ?? ""), category: row[category], id: row[id] }))
  })

type Reader = (file: string) => Effect.Effect<ReadonlyArray<PromptRow>, FileProblem>

/** Those of MMSVGBench (`text`, `type`) and VectorGym (`text_caption`, `svg_id`, `sketch_category`) among them. */
const columns = {
  text: ["prompt", "desc", "description", "text", "text_caption"],
  category: ["category", "type", "sketch_category"],
  id: ["id", "svg_id"]
}

const parquet: Reader = (file) =>
  Effect.map(parquetRows(file, columns, "text"), (rows) => rows.map(({ category, id, text = "" }): PromptRow => ({ ...plainRow(text), category, id })))

const ofText = (parse: Parser): Reader => (file) => Effect.flatMap(readText(file), (text) => parse(file, text))
const readers: Readonly<Record<string, Reader>> = {
  ".txt": ofText(lines), ".jsonl": ofText(json), ".ndjson": ofText(json), ".json": ofText(json), ".csv": ofText(csv), ".parquet": parquet
}

/** Whether the prompt asks for letters in the drawing; the gate then lets them through. */
export const asksForText = ({ text }: Prompt): boolean =>
  /\b(text|words?|letters?|lettering|says|saying|labell?ed|caption(ed)?|sign that reads|that reads|spell(s|ing)?)\b|"[^"]+"|“[^“”]+”|(^|\s)'[^']+'(?=$|[\s.,;!?])/i
    .test(text)
