/** Exported folders in transformers.js: our greedy tokens by `generate`, our log-probabilities, our tokens of texts. */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import { promisify } from "node:util"
import { Effect } from "effect"
import { assert, beforeAll, describe, it } from "vitest"
import { askedTexts, otherTexts } from "../../src/export/check-texts.ts"
import { writeOnnx } from "../../src/export/onnx.ts"
import { openDecoder } from "../../src/model/model-folder.ts"
import { openTokenizer } from "../../src/model/tokenizer/tokenizer.ts"
import { blocksOf, documents } from "../support/documents.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { gapOf, greedy, type Greedy, policies, tell } from "./own.ts"

interface Tensor {
  readonly dims: ReadonlyArray<number>
  readonly data: ArrayLike<number> & ArrayLike<bigint>
  readonly tolist: () => Array<Array<bigint>>
}
interface Model {
  (inputs: Readonly<Record<string, unknown>>): Promise<{ readonly logits: Tensor }>
  readonly generate: (options: Readonly<Record<string, unknown>>) => Promise<Tensor>
  readonly dispose: () => Promise<unknown>
}
interface Transformers {
  readonly env: { version: string; localModelPath: string; allowRemoteModels: boolean }
  readonly Tensor: new(type: "int64", data: BigInt64Array, dims: ReadonlyArray<number>) => Tensor
  readonly AutoModelForCausalLM: { readonly from_pretrained: (name: string, options: { readonly dtype: string }) => Promise<Model> }
  readonly AutoTokenizer: { readonly from_pretrained: (name: string) => Promise<{ readonly encode: (text: string, options: { readonly add_special_tokens: boolean }) => Array<number> }> }
}

const work = scratchFolder("outside-transformers")
let library: Transformers
beforeAll(async () => {
  const entry = path.join(import.meta.dirname, "node_modules/@huggingface/transformers/dist/transformers.node.mjs")
  library = await import(pathToFileURL(entry).href) as Transformers
  library.env.localModelPath = work
  library.env.allowRemoteModels = false
  tell(`transformers.js ${library.env.version}`)
})

const int64 = (rows: ReadonlyArray<ReadonlyArray<number>>) =>
  new library.Tensor("int64", BigInt64Array.from(rows.flat().map(BigInt)), [rows.length, rows[0]!.length])

const logpOf = (logits: ArrayLike<number>, from: number, vocab: number, id: number): number => {
  let most = -Infinity
  for (let i = 0; i < vocab; i++) most = Math.max(most, logits[from + i]!)
  let sum = 0
  for (let i = 0; i < vocab; i++) sum += Math.exp(logits[from + i]! - most)
  return logits[from + id]! - most - Math.log(sum)
}

describe.each(policies)("%s", (name, folderOf) => {
  const label = name.replaceAll(" ", "-")
  let folder: string
  let own: Greedy
  beforeAll(async () => {
    folder = await folderOf()
    own = await greedy(folder)
    await Effect.runPromise(Effect.gen(function*() {
      const out = path.join(work, label)
      return yield* writeOnnx(yield* openDecoder(folder), undefined, { out, precisions: ["f32", "q8_0"], progress: () => Effect.succeed(() => Effect.void) })
    }))
  })

  it.each([["fp32", 2e-5, 1e-3], ["q8", 0.03, 0.3]] as const)("in %s: our 100 greedy tokens, and our log-probabilities", async (dtype, mean, most) => {
    const model = await library.AutoModelForCausalLM.from_pretrained(label, { dtype })
    const { ids, prompt } = own
    const mask = (n: number) => int64([Array.from({ length: n }, () => 1)])
    const made = await model.generate({
      input_ids: int64([prompt]), attention_mask: mask(prompt.length), max_new_tokens: 100, min_new_tokens: 100, do_sample: false, eos_token_id: null
    })
    const tokens = made.tolist()[0]!.map(Number).slice(prompt.length)
    const all = [...prompt, ...ids]
    const { logits } = await model({ input_ids: int64([all]), attention_mask: mask(all.length) })
    const vocab = logits.dims[2]!
    const logps = ids.map((id, i) => logpOf(logits.data, (prompt.length - 1 + i) * vocab, vocab, id))
    const gap = gapOf(own.logps, logps)
    tell(`${name} ${dtype}: ${tokens.filter((id, i) => id === ids[i]).length} of 100 tokens, gap ${gap.mean.toExponential(2)} nats, at most ${gap.most.toExponential(2)}`)
    await model.dispose()
    assert.deepStrictEqual(tokens, ids)
    assert.isBelow(gap.mean, mean)
    assert.isBelow(gap.most, most)
  })

  it("transformers.js has our tokens of texts", async () => {
    const [theirs, ours] = [await library.AutoTokenizer.from_pretrained(label), await Effect.runPromise(openTokenizer(folder))]
    for (const text of [...askedTexts, ...otherTexts]) {
      assert.deepStrictEqual(theirs.encode(text, { add_special_tokens: false }), ours.encode(text), text)
    }
  })
})

it("the program of docs/export.md draws", async () => {
  const [block] = blocksOf(documents().find(({ file }) => file === "docs/export.md")!).filter(({ language }) => language === "js")
  const program = path.join(work, "program.mjs")
  fs.writeFileSync(program, `${block!.code}\nconsole.log(drawing)\n`)
  fs.symlinkSync(path.join(import.meta.dirname, "node_modules"), path.join(work, "node_modules"))
  fs.symlinkSync(path.join(work, "the-embedded-policy"), path.join(work, "first-onnx"))
  const { stdout } = await promisify(execFile)(process.execPath, [program], { cwd: work })
  assert.match(stdout, /<svg xmlns.*<circle .*<\/svg>/)
})
