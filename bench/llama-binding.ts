/**
 * llama.cpp by way of node-llama-cpp, which is no dependency of vequinox: the benchmark installs it beside, once, and
 * goes without where that fails. Prebuilt binaries from npm; no install script runs, nothing is compiled.
 *
 * `_ctx` is private to node-llama-cpp, hence the exact version. It is the only way to say what one `llama_decode` does:
 * the public sequences are batched by a scheduler of their own.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { pathToFileURL } from "node:url"

const version = "3.22.1"

/** What llama.cpp would say after a token. */
export interface LlamaNext {
  readonly next: { readonly probabilities: ReadonlyMap<number, number> }
}

/** A token to read; with options also what llama.cpp would say next, as probabilities from the likeliest down. */
type LlamaInput = number | readonly [number, {
  readonly generateNext: { readonly probabilities: true; readonly options: { readonly temperature: number; readonly topK: number; readonly topP: number; readonly minP: number } }
}]

/** One llama.cpp context: sequences with caches of their own. */
export interface LlamaContext {
  readonly getSequence: () => { readonly controlledEvaluate: (input: ReadonlyArray<LlamaInput>) => Promise<ReadonlyArray<LlamaNext | undefined>> }
  readonly _ctx: {
    /** Starts a new batch of at most this many tokens. */
    readonly initBatch: (tokens: number) => void
    /** Puts tokens at positions `first`, ... of a sequence; `logits` says which of them want some. */
    readonly addToBatch: (sequence: number, first: number, tokens: Uint32Array, logits: Uint32Array) => Uint32Array
    readonly decodeBatch: () => Promise<void>
    /** Forgets positions `from` up to, not including, `to`. */
    readonly removeTokenCellsFromSequence: (sequence: number, from: number, to: number) => boolean
    readonly copySequenceStateFromOtherSequence: (target: number, source: number) => Promise<number>
  }
  readonly dispose: () => Promise<void>
}

export interface LlamaContextOptions {
  readonly sequences: number
  /** Positions a sequence. */
  readonly contextSize: number
  /** Most tokens of one `llama_decode`. */
  readonly batchSize: number
  readonly threads: number
  readonly flashAttention: boolean
  readonly ignoreMemorySafetyChecks: true
  /** Of the cache. Default F16. */
  readonly experimentalKvCacheKeyType?: "F16" | "F32"
  readonly experimentalKvCacheValueType?: "F16" | "F32"
}

export interface LlamaModel {
  readonly createContext: (options: LlamaContextOptions) => Promise<LlamaContext>
  /** @param special whether texts of special tokens are those tokens */
  readonly tokenize: (text: string, special: boolean) => ReadonlyArray<number>
  readonly detokenize: (tokens: ReadonlyArray<number>, special: boolean) => string
  readonly dispose: () => Promise<void>
}

export interface Llama {
  readonly llamaCppRelease: { readonly repo: string; readonly release: string }
  /** The instructions that the chosen build uses. */
  readonly systemInfo: string
  readonly loadModel: (options: { readonly modelPath: string; readonly vocabOnly?: boolean }) => Promise<LlamaModel>
  readonly dispose: () => Promise<void>
}

interface NodeLlamaCpp {
  readonly getLlama: (options: {
    readonly gpu: false
    readonly build: "never"
    readonly skipDownload: true
    readonly logLevel: "error"
    readonly maxThreads: number
  }) => Promise<Llama>
}

const folder = path.resolve(import.meta.dirname, `../node_modules/.cache/vequinox-bench/node-llama-cpp-${version}`)

/** Without the optional packages, which would bring every graphics card's build of this platform. */
const binaries = (): string => {
  const system: Readonly<Record<string, string>> = { darwin: "mac", linux: "linux", win32: "win" }
  const build = `${system[process.platform] ?? process.platform}-${process.arch}`
  return `@node-llama-cpp/${build === "mac-arm64" ? "mac-arm64-metal" : build}`
}

const install = (): void => {
  if (fs.existsSync(folder)) return
  console.error(`installing node-llama-cpp ${version} into ${path.relative(process.cwd(), folder)} ...`)
  const partial = `${folder}.${process.pid}`
  fs.mkdirSync(partial, { recursive: true })
  try {
    const flags = ["--no-save", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error"]
    const { error, status, stderr } = spawnSync(
      "npm",
      ["install", "--prefix", partial, ...flags, `node-llama-cpp@${version}`, `${binaries()}@${version}`],
      { encoding: "utf8", shell: process.platform === "win32", timeout: 300_000 }
    )
    if (error !== undefined) throw error
    if (status !== 0) throw new Error(stderr.trim().split("\n")[0])
    fs.renameSync(partial, folder)
  } finally {
    fs.rmSync(partial, { recursive: true, force: true })
  }
}

export class LlamaMissing extends Error {}

/** Version of the binding, and the binding. Fails with `LlamaMissing`, one sentence, where there is none to be had. */
export const loadLlama = async (threads: number): Promise<{ readonly version: string; readonly llama: Llama }> => {
  try {
    install()
    const entry = pathToFileURL(path.join(folder, "node_modules/node-llama-cpp/dist/index.js")).href
    const { getLlama } = await import(entry) as NodeLlamaCpp
    const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: "error", maxThreads: threads })
    return { version, llama }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new LlamaMissing(`llama.cpp is left out: node-llama-cpp ${version} could not be installed or loaded (${reason}).`, { cause })
  }
}
