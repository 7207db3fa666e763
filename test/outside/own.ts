/** What this project's own engine draws greedily, in float32: the numbers that other programs are held to. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { SamplerProgram } from "../../layers/onnx/sampler-program.ts"
import { plain } from "../../src/engine/sampling/sampling.ts"
import { noAdapter } from "../../src/engine/weights/parameters.ts"
import { policyKind } from "../../src/model/hub/model-kind.ts"
import { resolveModel } from "../../src/model/hub/resolve-model.ts"
import { openDecoder } from "../../src/model/model-folder.ts"
import { defaultFormat, openTokenizer, promptIds } from "../../src/model/tokenizer/tokenizer.ts"

export const embedded = path.join(import.meta.dirname, "../../models/policy")

const hubAnswers = () => fetch(process.env["HF_ENDPOINT"] ?? "https://huggingface.co", { signal: AbortSignal.timeout(5000) }).then(({ ok }) => ok, () => false)

/** Whether there is a SmolLM2: SMOLLM2 names a folder, or the Hub answers. */
const hasSmollm2 = process.env["SMOLLM2"] !== undefined || await hubAnswers()
if (!hasSmollm2) console.log("Left out: SmolLM2-135M, because the Hub does not answer. SMOLLM2 may name its folder.")

const smollm2 = async (): Promise<string> =>
  process.env["SMOLLM2"] ??
    (await Effect.runPromise(resolveModel("HuggingFaceTB/SmolLM2-135M-Instruct", policyKind, { style: "plain" }))).folder

/** The policies that exports are tried with. */
export const policies: ReadonlyArray<readonly [name: string, folder: () => Promise<string>]> = [
  ["the embedded policy", async () => embedded],
  ...(hasSmollm2 ? [["SmolLM2-135M", smollm2] as const] : [])
]

export interface Greedy {
  readonly prompt: ReadonlyArray<number>
  /** 100 tokens, whatever ends an answer included. */
  readonly ids: ReadonlyArray<number>
  /** Of each, nats. */
  readonly logps: ReadonlyArray<number>
}

export const greedy = async (folder: string, prompt?: ReadonlyArray<number>): Promise<Greedy> => {
  const checkpoint = await Effect.runPromise(openDecoder(folder))
  const asked = prompt ?? promptIds(await Effect.runPromise(openTokenizer(folder)), defaultFormat, "a red circle above a blue square")
  const sampler = new SamplerProgram({
    checkpoint,
    lora: noAdapter,
    maxLength: asked.length + 100,
    maxNumSeqs: 1,
    tokenTexts: [],
    device: "cpu",
    threads: 2
  })
  const out = await sampler.sample({
    prompts: [{ ids: asked, seeds: [1] }],
    parameters: new Map(),
    options: { ...plain, temperature: 0 },
    maxNewTokens: 100,
    stop: "</svg>",
    eosIds: []
  })
  await sampler.release()
  const drawn = out[0]![0]!
  return { prompt: asked, ids: drawn.ids, logps: drawn.logps }
}

/** Keeps a file of figures, if FIGURES names one. */
export const tell = (line: string): void => {
  console.log(line)
  if (process.env["FIGURES"] !== undefined) fs.appendFileSync(process.env["FIGURES"], line + "\n")
}

/** How far log-probabilities are apart, nats. */
export const gapOf = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) => {
  const gaps = a.map((x, i) => Math.abs(x - b[i]!))
  return { mean: gaps.reduce((n, x) => n + x, 0) / gaps.length, most: Math.max(...gaps) }
}
