import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { Effect } from "effect"
import { random } from "../../../src/engine/random.ts"
import { openTokenizer } from "../../../src/model/tokenizer/tokenizer.ts"
import { GrowingText } from "../../../src/model/tokenizer/growing-text.ts"
import { tokenizer as embedded } from "../../support/embedded-policy.ts"

const golden = (name: string) => Effect.runPromise(openTokenizer(path.join(import.meta.dirname, "../../golden/tokenizers", name)))
const tokenizers = { embedded, qwen3: await golden("qwen3"), gemma3: await golden("gemma3_text"), smollm2: await golden("smollm2") }
const samples = [
  "<svg xmlns=\"http://www.w3.org/2000/svg\"><path d=\"M3 4l10 2-5 3\"/></svg>",
  "ein Pelikan fährt Fahrrad 🚲 — ペリカン — \u{1F469}‍\u{1F680}",
  "  two  spaces\n\tand a tab, then 123 456.",
  ""
]

/** Its parts, and all of it; in steps of 1 to 3 tokens. */
const grown = (text: GrowingText, ids: ReadonlyArray<number>, draw: () => number) => {
  const parts: Array<string> = []
  for (let at = 0; at < ids.length || at === 0;) {
    const to = at + 1 + Math.floor(draw() * 3)
    parts.push(text.add(ids.slice(at, to), to >= ids.length))
    at = to
  }
  return parts
}

for (const [name, tokenizer] of Object.entries(tokenizers)) {
  describe(`text that grows by tokens of ${name}`, () => {
    it("is the decoded text, whatever the steps", () => {
      samples.forEach((sample, n) => {
        const ids = tokenizer.encode(sample)
        for (let seed = 0; seed < 20; seed++) {
          const parts = tokenizer.limited(() => grown(new GrowingText(tokenizer.decode, []), ids, random(seed, n)))
          assert.strictEqual(parts.join(""), tokenizer.decode(ids))
        }
      })
    })

    it("never shows half a character", () => {
      const ids = tokenizer.encode(samples[1]!)
      const whole = tokenizer.decode(ids)
      const text = new GrowingText(tokenizer.decode, [])
      let told = ""
      ids.forEach((id, i) => {
        told += text.add([id], i === ids.length - 1)
        assert.isTrue(whole.startsWith(told), JSON.stringify(told))
      })
    })

    it("ends before a stop text, wherever tokens are cut, and shows nothing that it takes back", () => {
      const ids = tokenizer.encode("one two three two four")
      const whole = tokenizer.decode(ids)
      for (const stops of [["three"], ["e t"], ["four", "two"], ["three two four!"], ["o", "never"], ["absent"]]) {
        const at = Math.min(...stops.map((stop) => whole.indexOf(stop)).filter((at) => at >= 0))
        const wanted = at === Infinity ? whole : whole.slice(0, at)
        for (let seed = 0; seed < 20; seed++) {
          const parts = tokenizer.limited(() => grown(new GrowingText(tokenizer.decode, stops), ids, random(seed)))
          assert.strictEqual(parts.join(""), wanted, stops.join())
        }
      }
    })
  })
}

it("a token costs the same at the end of a long text as at its beginning", () => {
  let decoded = 0
  const text = new GrowingText((ids) => {
    decoded += ids.length
    return ids.map((id) => String.fromCharCode(id)).join("")
  }, ["never"])
  for (let i = 0; i < 1000; i++) text.add([97 + i % 26], false)
  assert.isBelow(decoded, 4 * 1000)
})
