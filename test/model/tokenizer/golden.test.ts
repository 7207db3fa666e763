/** Small tokenizers of each family's kind beside transformers (test/golden/make_tokenizers.py): ids and texts are equal. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { openTokenizer, promptIds } from "../../../src/model/tokenizer/tokenizer.ts"

interface Golden {
  readonly texts: ReadonlyArray<string>
  readonly chats: ReadonlyArray<ReadonlyArray<{ readonly role: string; readonly content: string }>>
  readonly prefill: string
  readonly kinds: Readonly<Record<string, {
    readonly ids: ReadonlyArray<Array<number>>
    /** By the text's place, where it is not the text again. */
    readonly decoded: Readonly<Record<number, string>>
    readonly tokens: ReadonlyArray<string>
    /** Ids in no order, some of them unknown. */
    readonly sampled: { readonly ids: ReadonlyArray<Array<number>>; readonly texts: ReadonlyArray<string> }
    readonly chats: ReadonlyArray<string>
    readonly prompts: ReadonlyArray<Array<number>>
  }>>
}

const folder = path.join(import.meta.dirname, "../../golden/tokenizers")
const golden: Golden = JSON.parse(fs.readFileSync(path.join(folder, "golden.json"), "utf8"))

describe.each(Object.keys(golden.kinds))("%s's tokenizer beside transformers", async (name) => {
  const expected = golden.kinds[name]!
  const tokenizer = await Effect.runPromise(openTokenizer(path.join(folder, name)))

  it("tokens of SVG and of text in many scripts", () =>
    golden.texts.forEach((text, n) => assert.deepStrictEqual(tokenizer.encode(text), expected.ids[n], JSON.stringify(text))))

  it("text of tokens", () =>
    golden.texts.forEach((text, n) => assert.strictEqual(tokenizer.decode(expected.ids[n]!), expected.decoded[n] ?? text)))

  it("text of tokens that make none", () =>
    expected.sampled.ids.forEach((ids, n) => assert.strictEqual(tokenizer.decode(ids), expected.sampled.texts[n])))

  it("text of each token", () => assert.deepStrictEqual([...tokenizer.tokenTexts], expected.tokens))

  it("chats as text", () =>
    golden.chats.forEach((chat, n) => assert.strictEqual(tokenizer.chat(chat), expected.chats[n])))

  it("chats as tokens, the answer begun", () =>
    golden.chats.forEach((chat, n) =>
      assert.deepStrictEqual(tokenizer.encode(tokenizer.chat(chat) + golden.prefill), expected.prompts[n])))

  it("a prompt with and without a system message", () =>
    [[1, "{prompt}", golden.chats[1]![0]!.content], [0, "{prompt}", ""]].forEach(([n, promptTemplate, systemPrompt]) =>
      assert.deepStrictEqual(
        promptIds(
          tokenizer,
          { systemPrompt: String(systemPrompt), promptTemplate: String(promptTemplate), prefill: golden.prefill },
          golden.chats[0]![0]!.content
        ),
        expected.prompts[Number(n)]
      )))
})
