import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Tokenizer } from "@huggingface/tokenizers"
import { Effect } from "effect"
import { random } from "../../../src/engine/random.ts"
import { caption, drawFlawed, drawScene, sampleScene, svgOpen } from "../../../src/scenes/index.ts"
import { trainBpe } from "../../../src/model/tokenizer/bpe.ts"
import { defaultFormat, defaultPrefill, openTokenizer, promptIds } from "../../../src/model/tokenizer/tokenizer.ts"

const embedded = await Effect.runPromise(openTokenizer(path.join(import.meta.dirname, "../../../models/policy")))

describe("the embedded tokenizer", () => {
  it("gives every drawing and caption back, flawed ones too", () => {
    for (let n = 0; n < 200; n++) {
      const draw = random(21, n)
      const scene = sampleScene(draw, n % 2 === 0 ? "train" : "heldout")
      for (const text of [caption(scene, draw), drawScene(scene, draw), drawFlawed(scene, draw).svg]) {
        assert.strictEqual(embedded.decode(embedded.encode(text)), text)
      }
    }
  })

  it("gives any text back, whatever its script", () => {
    for (const text of ["Пеликан на велосипеде", "自転車に乗るペリカン", "🚲 ≠ 🛴", "a\tb\r\n c", "<text>\"x\"</text>"]) {
      assert.strictEqual(embedded.decode(embedded.encode(text)), text)
    }
  })

  it("puts the prefill at the end of the prompt, as one token", () => {
    assert.strictEqual(defaultPrefill, svgOpen)
    const ids = promptIds(embedded, defaultFormat, "a pelican")
    assert.strictEqual(embedded.decode(ids.slice(-1)), defaultPrefill)
    assert.include(embedded.chat([{ role: "user", content: "a pelican" }]), "<|im_start|>assistant\n")
  })

  it("a prompt with $ signs is taken as it is", () => {
    assert.include(embedded.decode(promptIds(embedded, defaultFormat, "a $& sign")), "a $& sign")
  })
})

describe("trainBpe", () => {
  const json = trainBpe(["low low low lower", "lowest new newer"], { vocabSize: 266, specialTokens: ["<s>"], split: " ?[a-z]+" })

  it("merges the most frequent pair first, equal ones by text", () => {
    // l+o and o+w are seen five times each; l+o comes first by text.
    assert.deepStrictEqual(json.model.merges.slice(0, 2), ["l o", "lo w"])
  })

  it("is a function of its texts", () => {
    assert.deepStrictEqual(trainBpe(["low low low lower", "lowest new newer"], { vocabSize: 266, specialTokens: ["<s>"], split: " ?[a-z]+" }), json)
  })

  it("what it writes, Hugging Face's tokenizer reads", () => {
    const tokenizer = new Tokenizer(json, {})
    assert.strictEqual(tokenizer.decode(tokenizer.encode("lower news").ids), "lower news")
  })
})
