/**
 * Which files of a folder are pushed, by name; and the cards of those that have none. Whatever else lies in the folder
 * stays: it may be anybody's.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Schema } from "effect"
import { readNumberedRows, readText } from "../../system/files.ts"
import { frontMatter } from "../adapter.ts"
import { companionFiles, readDecoderConfig, readJson } from "../model-folder.ts"
import { type CardOptions, datasetCard, type ModelForms, pushedModelCard } from "./cards.ts"
import { PushRefused } from "./errors.ts"
import { parseModelId } from "./model-id.ts"
import type { PushedFile } from "./push.ts"

export const pushKinds = ["adapter", "model", "dataset"] as const
export type PushKind = (typeof pushKinds)[number]

export interface Collected {
  readonly kind: PushKind
  readonly files: ReadonlyArray<PushedFile>
  /** Names in the folder that stay. */
  readonly left: ReadonlyArray<string>
}

const refuse = (message: string) => new PushRefused({ message })

const has = (folder: string, name: string): boolean => fs.existsSync(path.join(folder, name))

/** What it is by what is in it, and where; undefined if that may be two things, or none. */
const kindOf = (given: string): { readonly kind: PushKind; readonly at: string } | undefined => {
  if (fs.statSync(given).isFile()) {
    return given.endsWith(".jsonl") ? { kind: "dataset", at: given } : given.endsWith(".gguf") ? { kind: "model", at: given } : undefined
  }
  if (has(given, "adapter_config.json")) return { kind: "adapter", at: given }
  return has(given, "config.json") && !has(given, "metrics.jsonl") ? { kind: "model", at: given } : undefined
}

/** A run folder's part of that kind, or the folder itself. */
const partOf = (given: string, kind: PushKind): string => {
  if (!fs.statSync(given).isDirectory()) return given
  if (kind === "adapter" && has(given, "adapter/adapter_config.json")) return path.join(given, "adapter")
  return kind === "dataset" ? path.join(given, "preferences.jsonl") : given
}

/**
 * The files of an adapter, of a model in any form (safetensors, GGUF, ONNX), or of a dataset of preferences, ready to be
 * pushed. Fails with `PushRefused` if it is none, with `FileProblem` or `CheckpointInvalid` if a file is not what its name
 * says.
 *
 * @param asked undefined looks at what is there
 */
export const collectFiles = Effect.fn("collectFiles")(function*(given: string, asked: PushKind | undefined, card: CardOptions) {
  if (!fs.existsSync(given)) return yield* refuse(`There is no ${given}: give an adapter's or a model's folder, a run's folder, or a file of preferences.`)
  const found = asked === undefined ? kindOf(given) : { kind: asked, at: partOf(given, asked) }
  if (found === undefined) {
    return yield* refuse(
      has(given, "metrics.jsonl")
        ? `${given} is a run, which has several things to push: say which with --kind adapter or --kind dataset.`
        : `${given} holds neither adapter_config.json nor config.json, nor is it a .jsonl or .gguf file: say what it is with --kind.`
    )
  }
  const { at, kind } = found
  const files = yield* kind === "dataset" ? datasetFiles(at, card) : kind === "adapter" ? adapterFolder(at, card) : modelFiles(at, card)
  const pushed = new Set(files.map((file) => file.path.split("/")[0]!))
  const left = fs.statSync(at).isDirectory() ? fs.readdirSync(at).filter((name) => !pushed.has(name)).sort() : []
  return { kind, files, left } satisfies Collected as Collected
})

/** A file of the folder as it is. */
const asIs = (folder: string, name: string): PushedFile => {
  const file = fs.realpathSync(path.join(folder, name))
  return { path: name, content: { file, size: fs.statSync(file).size } }
}

const AdapterBase = Schema.Record(Schema.String, Schema.Unknown)

/** The adapter with a base that others can find: a name on the Hub, in its config and its card. */
const adapterFolder = Effect.fnUntraced(function*(folder: string, { base: given }: CardOptions) {
  const json = yield* readJson(folder, "adapter_config.json", AdapterBase)
  if (!has(folder, "adapter_model.safetensors")) return yield* refuse(`${folder} has no adapter_model.safetensors: it is no PEFT adapter.`)
  const own = String(json["base_model_name_or_path"] ?? "")
  if (given === undefined && (parseModelId(own) === undefined || fs.existsSync(own))) {
    return yield* refuse(
      `${path.join(folder, "adapter_config.json")} names ${own === "" ? "no base" : `a folder of this machine as its base, ${own}`}: say with --base-model which model of the Hub that is, or push a merged model.`
    )
  }
  const named = (text: string) => given === undefined || own === "" ? text : text.replaceAll(own, given)
  const config = given === undefined ? asIs(folder, "adapter_config.json") : {
    path: "adapter_config.json",
    content: { text: JSON.stringify({ ...json, base_model_name_or_path: given, ...(own === given ? {} : { revision: null }) }, null, 2) + "\n" }
  }
  const readme = has(folder, "README.md")
    ? named(yield* readText(path.join(folder, "README.md")))
    : `${frontMatter(given ?? own)}\n# SVG adapter for ${given ?? own}\n`
  return [config, asIs(folder, "adapter_model.safetensors"), { path: "README.md", content: { text: readme } }] satisfies ReadonlyArray<PushedFile>
})

const isModelFile = (name: string): boolean =>
  ["config.json", "README.md", "model.safetensors.index.json", ...companionFiles].includes(name) || /^model(-\d+-of-\d+)?\.safetensors$/.test(name) || name.endsWith(".gguf")

const modelFiles = Effect.fnUntraced(function*(at: string, card: CardOptions) {
  const folder = fs.statSync(at).isFile() ? path.dirname(at) : at
  const names = folder === at ? fs.readdirSync(at).filter(isModelFile).sort() : [path.basename(at)]
  const onnx = folder === at && fs.existsSync(path.join(at, "onnx"))
    ? fs.readdirSync(path.join(at, "onnx")).filter((name) => /^model\w*\.onnx(_data(_\d+)?)?$/.test(name)).sort()
    : []
  const forms: ModelForms = {
    safetensors: names.some((name) => name.endsWith(".safetensors")),
    gguf: names.filter((name) => name.endsWith(".gguf")),
    onnx: onnx.length > 0
  }
  if (!forms.safetensors && !forms.onnx && forms.gguf.length === 0) return yield* refuse(`${at} has no weights: neither safetensors, nor GGUF, nor onnx/model.onnx.`)
  const config = names.includes("config.json") ? yield* readDecoderConfig(folder) : undefined
  const readme: ReadonlyArray<PushedFile> = names.includes("README.md") ? [] : [{ path: "README.md", content: { text: pushedModelCard(card, config, forms) } }]
  return [...names.map((name) => asIs(folder, name)), ...onnx.map((name) => asIs(folder, `onnx/${name}`)), ...readme]
})

const Preference = Schema.Struct({ prompt: Schema.Unknown, chosen: Schema.Unknown, rejected: Schema.Unknown, judge: Schema.optionalKey(Schema.String) })

const datasetFiles = Effect.fnUntraced(function*(file: string, card: CardOptions) {
  const rows = yield* readNumberedRows(file, Schema.Record(Schema.String, Schema.Unknown))
  const pairs = yield* Effect.forEach(rows, ({ number, row }) =>
    Schema.decodeUnknownEffect(Preference)(row).pipe(
      Effect.filterOrFail(({ chosen, prompt, rejected }) => ![chosen, prompt, rejected].includes(undefined)),
      Effect.mapError(() => refuse(`${file}, line ${number}, has no prompt, chosen and rejected: it is no file of preferences.`))
    ))
  const name = path.basename(file)
  const facts = {
    rows: rows.length,
    prompts: new Set(pairs.map(({ prompt }) => JSON.stringify(prompt))).size,
    columns: [...new Set(rows.flatMap(({ row }) => Object.keys(row)))],
    judges: [...new Set(pairs.flatMap(({ judge }) => judge ?? []))].sort()
  }
  return [asIs(path.dirname(file), name), { path: "README.md", content: { text: datasetCard(card, name, facts) } }] satisfies ReadonlyArray<PushedFile>
})
