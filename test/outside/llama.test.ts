/** Exported GGUF files in llama.cpp: our greedy tokens, our log-probabilities, our tokens of texts. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type Llama, loadLlama } from "../../bench/llama-binding.ts"
import { initialParameters } from "../../src/engine/weights/parameters.ts"
import { parameterShapes } from "../../src/engine/nets/transformer.ts"
import { encodeSafetensors } from "../../src/engine/weights/safetensors.ts"
import { askedTexts, otherTexts } from "../../src/export/check-texts.ts"
import { type GgufPrecision, writeGguf } from "../../src/export/gguf.ts"
import { openDecoder, readDecoderConfig } from "../../src/model/model-folder.ts"
import { openTokenizer } from "../../src/model/tokenizer/tokenizer.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { withTokenizer } from "../support/small-tokenizer.ts"
import { embedded, gapOf, greedy, type Greedy, policies, tell } from "./own.ts"

const golden = path.join(import.meta.dirname, "../golden")
const work = scratchFolder("outside-llama")
let made = 0
const fresh = (ending = "") => path.join(work, `${made++}${ending}`)
let llama: Llama
beforeAll(async () => {
  const loaded = await loadLlama(2)
  llama = loaded.llama
  tell(`node-llama-cpp ${loaded.version}, llama.cpp ${llama.llamaCppRelease.release}`)
})
afterAll(() => llama.dispose())

const exported = async (folder: string, precision: GgufPrecision) => {
  const out = fresh(".gguf")
  await Effect.runPromise(Effect.gen(function*() {
    return yield* writeGguf(yield* openDecoder(folder), undefined, { out, precision, name: "test", progress: () => Effect.succeed(() => Effect.void) })
  }))
  return out
}

/** llama.cpp's likeliest token, and its log-probability of ours, after each of our tokens. */
const heard = async (file: string, { ids, prompt }: Pick<Greedy, "ids" | "prompt">, cache: "F16" | "F32") => {
  const model = await llama.loadModel({ modelPath: file })
  const context = await model.createContext({
    contextSize: 512, batchSize: 512, sequences: 1, threads: 2, flashAttention: false, ignoreMemorySafetyChecks: true,
    experimentalKvCacheKeyType: cache, experimentalKvCacheValueType: cache
  })
  const all = [...prompt, ...ids]
  const whole = { generateNext: { probabilities: true, options: { temperature: 1, topK: 0, topP: 1, minP: 0 } } } as const
  const out = await context.getSequence().controlledEvaluate(all.map((id, i) => i < prompt.length - 1 || i === all.length - 1 ? id : [id, whole]))
  const said = out.filter((next) => next !== undefined).map(({ next }) => next.probabilities)
  await context.dispose()
  await model.dispose()
  return {
    best: said.map((probabilities) => [...probabilities].reduce((a, b) => (b[1] > a[1] ? b : a))[0]),
    logps: said.map((probabilities, i) => Math.log(probabilities.get(ids[i]!)!))
  }
}

describe.each(policies)("%s", (name, folderOf) => {
  let folder: string
  let own: Greedy
  beforeAll(async () => {
    folder = await folderOf()
    own = await greedy(folder)
  })
  // With its cache in float32, llama.cpp computes in float32 what is float32; the cache that it takes by default is float16.
  it.each([
    ["f32", "F32", 5e-4, 2e-3], ["f16", "F16", 2e-3, 0.02], ["q8_0", "F16", 0.03, 0.3]
  ] as const)("in %s: our 100 greedy tokens, and our log-probabilities (cache in %s)", async (precision, cache, mean, most) => {
    const { best, logps } = await heard(await exported(folder, precision), own, cache)
    const gap = gapOf(own.logps, logps)
    tell(`${name} ${precision}: ${best.filter((id, i) => id === own.ids[i]).length} of 100 tokens, gap ${gap.mean.toExponential(2)} nats, at most ${gap.most.toExponential(2)}`)
    assert.deepStrictEqual(best, own.ids)
    assert.isBelow(gap.mean, mean)
    assert.isBelow(gap.most, most)
  })
  it("llama.cpp's tokens of what a policy is asked are ours, and its text of them", async () => {
    const tokenizer = await Effect.runPromise(openTokenizer(folder))
    const model = await llama.loadModel({ modelPath: await exported(folder, "q8_0"), vocabOnly: true })
    for (const text of askedTexts) {
      const ids = tokenizer.encode(text)
      assert.deepStrictEqual([...model.tokenize(text, true)], ids, text)
      assert.strictEqual(model.detokenize(ids, true), text)
    }
    const other = otherTexts.filter((text) => model.tokenize(text, true).join() !== tokenizer.encode(text).join()).length
    tell(`${name}: ${other} of ${otherTexts.length} other texts have other tokens`)
    assert.strictEqual(other, folder === embedded ? 4 : 0)
    await model.dispose()
  })
})

describe("each family: transformers' greedy tokens, by its golden model", () => {
  it.each(["qwen3", "qwen2", "llama", "gemma3_text"])("%s", async (family) => {
    const { greedy: tokens, input_ids } = JSON.parse(fs.readFileSync(path.join(golden, family, "golden.json"), "utf8"))
    const folder = withTokenizer(path.join(golden, family), fresh())
    const { best } = await heard(await exported(folder, "f32"), { prompt: input_ids[0].slice(0, 4), ids: tokens.slice(0, 100) }, "F32")
    assert.deepStrictEqual(best, tokens.slice(0, 100))
  })
})

describe("each kind of tokenizer: Hugging Face's tokens", () => {
  const { kinds, texts } = JSON.parse(fs.readFileSync(path.join(golden, "tokenizers/golden.json"), "utf8"))
  it.each(Object.keys(kinds))("%s", async (kind) => {
    const folder = fresh()
    fs.cpSync(path.join(golden, "tokenizers", kind), folder, { recursive: true })
    if (!fs.existsSync(path.join(folder, "chat_template.jinja"))) fs.writeFileSync(path.join(folder, "chat_template.jinja"), "{{ messages }}")
    const json = JSON.parse(fs.readFileSync(path.join(golden, "qwen3/config.json"), "utf8"))
    fs.writeFileSync(path.join(folder, "config.json"), JSON.stringify({ ...json, vocab_size: 600 }))
    const shapes = parameterShapes(await Effect.runPromise(readDecoderConfig(folder)))
    fs.writeFileSync(path.join(folder, "model.safetensors"), encodeSafetensors(initialParameters(shapes, 1)))
    const model = await llama.loadModel({ modelPath: await exported(folder, "f32"), vocabOnly: true })
    const different = (texts as ReadonlyArray<string>).flatMap((text, i) => {
      const [own, theirs] = [kinds[kind].ids[i], model.tokenize(text, true)]
      return own.join() === theirs.join() ? [] : [text]
    })
    tell(`${kind}: ${different.length} of ${texts.length} texts differ: ${different.map((text) => JSON.stringify(text)).join(" ")}`)
    await model.dispose()
    // llama.cpp does not compose letters, as Qwen's normalizer does, and takes ▁ for a space.
    const known = kind.startsWith("qwen") ? (text: string) => text !== text.normalize("NFC") : (text: string) => text.includes("▁")
    assert.deepStrictEqual(different.filter((text) => !known(text)), [])
  })
})
