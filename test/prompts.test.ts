import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { random } from "../src/engine/random.ts"
import { resolveConfig } from "../src/wiring/settings.ts"
import { asksForText, embeddedPrompts, readPromptRows, readPrompts } from "../src/prompts.ts"
import { combination, isHeldOut, parseCaption } from "../src/scenes/index.ts"
import { prompt } from "./stages/make.ts"
import { scratchFolder } from "./support/scratch-folder.ts"

const work = scratchFolder("prompts")
const written = (name: string, text: string): string => {
  const file = path.join(fs.mkdtempSync(path.join(work, "prompts-")), name)
  fs.writeFileSync(file, text)
  return file
}
const texts = (name: string, text: string) =>
  Effect.map(readPrompts(written(name, text), 100), ({ heldOut, train }) => [...train, ...heldOut].map(({ text }) => text).sort())

describe("prompts", () => {
  it("embedded ones for training and held-out ones share no combination", () => {
    const { heldOut, train } = embeddedPrompts(512)
    assert.strictEqual(heldOut.length, 512)
    assert.include(train.map(({ text }) => text), "a pelican riding a bicycle")
    const trained = new Set(train.map(({ text }) => combination(parseCaption(text)!)))
    for (const { text } of heldOut) {
      assert.isFalse(trained.has(combination(parseCaption(text)!)), text)
      assert.isTrue(isHeldOut(parseCaption(text)!), text)
    }
  })

  it("embedded ones for training practise what takes longest to learn; held-out ones are as the grammar has them", () => {
    const { heldOut, train } = embeddedPrompts(512)
    const share = (prompts: typeof train, kind: string) => prompts.filter(({ text }) => parseCaption(text)!.kind === kind).length / prompts.length
    for (const kind of ["sizes", "relation", "count"]) assert.isAbove(share(train, kind), 0.18, kind)
    assert.isAbove(share(heldOut, "rider"), share(train, "rider") + 0.05)
  })

  const golden = (name: string) => path.join(import.meta.dirname, "golden/parquet", name)

  it.live.each([
    ["mmsvgbench.parquet", [["A red heart.", "icon", undefined], ["A pelican on a bicycle, wide awake.", "illustration", undefined], ["Ein grünes Haus", "icon", undefined]]],
    ["vectorgym.parquet", [["Two owls on a branch", "animals", "a1"], ["Two owls on a branch", "animals", "a1"], ["A bowl of soup", undefined, "b2"]]],
    ["gzip.parquet", [["a sun", undefined, "7"], ["a moon", undefined, "8"]]]
  ] as const)("of %s, as pyarrow wrote it", ([name, rows]) =>
    Effect.map(readPromptRows(golden(name)), (read) => assert.deepStrictEqual(read.map(({ category, id, text }) => [text, category, id]), rows.map((row) => [...row]))))

  it.live.each([
    ["a text", "a cat\na hat\n", /is not|cannot be read as Parquet/],
    ["nothing", "", /cannot be read as Parquet/]
  ] as const)("a .parquet that is %s is refused in a sentence", ([, content, expected]) =>
    Effect.map(Effect.flip(readPromptRows(written("p.parquet", content))), ({ message }) => assert.match(message, expected)))

  it.live("a .parquet without a column of prompts is refused with those that it has", () =>
    Effect.map(Effect.flip(readPromptRows(golden("no-prompts.parquet"))), ({ message }) =>
      assert.match(message, /needs a column of texts named prompt or desc or .*, and has svg, tokens\.$/)))

  it.live("a .parquet whose bytes are wrong is read or refused in a sentence, and soon", () =>
    Effect.gen(function*() {
      const whole = fs.readFileSync(golden("vectorgym.parquet"))
      const next = random(3, 1)
      for (let n = 0; n < 24; n++) {
        const broken = Buffer.from(whole)
        for (let k = 0; k < 6; k++) broken[Math.floor(next() * broken.length)] = Math.floor(256 * next())
        // the metadata, at the end, decides most
        if (n % 2 === 0) for (let k = 0; k < 3; k++) broken[broken.length - 9 - Math.floor(400 * next())] = 255
        const file = path.join(work, `broken-${n}.parquet`)
        fs.writeFileSync(file, broken)
        const result = yield* Effect.exit(readPromptRows(file))
        if (result._tag === "Failure") assert.match(String(result.cause), /broken-\d+\.parquet (cannot be read as Parquet|has|needs|took)/)
      }
    }))

  it.effect.each([
    ["p.txt", "a cat\r\n\n  a hat \na cat\n"],
    ["p.jsonl", "{\"prompt\":\"a cat\"}\n{\"prompt\":[{\"role\":\"system\",\"content\":\"x\"},{\"role\":\"user\",\"content\":\"a hat\"}]}\n"],
    ["p.json", "[\"a cat\",{\"prompt\":\"a hat\",\"requirements\":[\"red\"]}]"],
    ["p.csv", "id,desc\n1,a cat\n2,\"a hat\"\n"],
    ["p.JSONL", "{\"prompt\":\"a cat\"}\n{\"prompt\":\"a hat\"}\n"],
    ["p.ndjson", "\uFEFF{\"prompt\":\"a cat\"}\r\n{\"prompt\":\"a hat\"}\r\n"],
    ["p.Json", "\uFEFF[\"a cat\",\"a hat\"]"],
    ["p.CSV", "\uFEFFprompt,id\r\n\"a hat\",\"1\r\n2\"\r\n\r\na cat,3"],
    ["p.TXT", "\uFEFFa cat\r\na hat"]
  ])("reads %s", ([name, text]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* texts(name!, text!), ["a cat", "a hat"])
    }))

  it.effect("reads the rows of public suites, with categories and requirements where they have them", () =>
    Effect.gen(function*() {
      const rows = [
        { prompt: " a cat ", requirements: [" It has ears ", "", "It has a tail"] },
        { id: 7, prompt: "a red cube", gen_type: "x", major_type: "binding", minor_type: "color", metadata: { a: 1 } },
        { prompt: "four hats", major_type: "numeracy", minor_type: null },
        { id: "s1", input_metadata: { row_id: "1", dataset_info: { original_prompt: "a dog", requirements: ["It barks"], total_requirements: 1 } }, messages: [] },
        { id: 3, conversations: [{ from: "human", value: "an icon of a key" }, { from: "gpt", value: "<svg/>" }] },
        { prompt: "a boat", category: "ships", requirements: "not a list" }
      ]
      const expected = [
        ["a cat", undefined, undefined, ["It has ears", "It has a tail"]],
        ["a red cube", "binding color", "7", undefined],
        ["four hats", "numeracy", undefined, undefined],
        ["a dog", undefined, "s1", ["It barks"]],
        ["an icon of a key", undefined, "3", undefined],
        ["a boat", "ships", undefined, undefined]
      ]
      const read = (name: string, text: string) =>
        Effect.map(readPromptRows(written(name, text)), (all) => all.map(({ category, id, requirements, text }) => [text, category, id, requirements]))
      assert.deepStrictEqual(yield* read("p.json", JSON.stringify(rows, null, 2)), expected)
      assert.deepStrictEqual(yield* read("p.jsonl", rows.map((row) => JSON.stringify(row)).join("\n")), expected)
    }))

  it.effect("a row without a prompt is refused with its place", () =>
    Effect.gen(function*() {
      const refused = (name: string, text: string) => Effect.map(Effect.flip(readPromptRows(written(name, text))), ({ message }) => path.basename(message))
      assert.strictEqual(yield* refused("p.json", "[{\"prompt\": \"a\"}, {\"requirements\": [\"x\"]}]"), "p.json, entry 2: there is no \"prompt\" in it.")
      assert.strictEqual(yield* refused("p.jsonl", "{\"prompt\": \"a\"}\n\n{\"input_metadata\": {\"dataset_info\": {}}}"), "p.jsonl, line 3: there is no \"prompt\" in it.")
      assert.strictEqual(yield* refused("p.json", "[{\"prompt\": \"\", \"requirements\": [\"x\"]}]"), "p.json, entry 1: its prompt is empty.")
      assert.match(yield* refused("p.json", "{\n  \"prompt\": \"a\"\n}"), /^p\.json must be an array of \{"prompt": \.\.\.\}, or one such row a line\.$/)
    }))

  it.effect("a quoted field of a CSV keeps commas, quotes and line ends", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* texts("p.csv", "prompt\n\"a \"\"big\"\" cat, red\"\n"), ["a \"big\" cat, red"])
    }))

  it.effect.each([
    ["a quote in a field", "prompt\na cat\na \"big cat\na hat\n", 3],
    ["a quote that is not closed", "prompt\na cat\n\"a hat\na dog\n", 3],
    ["two of them", "id,prompt\n1,\"a cat\n2,\"a hat\"\n3,a dog\n", 3],
    ["text after a quoted field", "prompt\n\"a\" cat\n", 2],
    ["a comma without quotes", "prompt\na cat, red\n", 2],
    ["a field too few", "id,prompt\n1,a cat\n2\n", 3]
  ] as const)("a CSV with %s is refused with its line, not read past it", ([_name, text, line]) =>
    Effect.gen(function*() {
      const { message } = yield* Effect.flip(texts("p.csv", text))
      assert.match(message, new RegExp(`p\\.csv, line ${line}: [^\n]+\\.$`))
    }))

  it.effect("a prompt's split depends on its text alone", () =>
    Effect.gen(function*() {
      const all = Array.from({ length: 60 }, (_, n) => `thing ${n}`)
      const heldOut = (lines: ReadonlyArray<string>) =>
        Effect.map(readPrompts(written("p.txt", lines.join("\n")), 100), ({ heldOut }) => new Set(heldOut.map(({ text }) => text)))
      const some = yield* heldOut(all)
      const more = yield* heldOut([...all.toReversed(), "another thing"])
      assert.isAbove(some.size, 0)
      for (const text of some) assert.isTrue(more.has(text), text)
    }))
})

describe("settings", () => {
  it.effect("flags go before the file, the file before the defaults", () =>
    Effect.gen(function*() {
      const config = yield* resolveConfig(written("c.yaml", "beta: 0.3\nmax_steps: 7\n"), { max_steps: 9 })
      assert.deepStrictEqual([config.beta, config.max_steps, config.num_generations], [0.3, 9, 4])
    }))

  it.effect("an unknown setting suggests the one that was meant", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(resolveConfig(written("c.yaml", "learning-rate: 1\n"), {}))
      assert.include(error.message, "did you mean \"learning_rate\"?")
    }))
})

describe("asksForText", () => {
  for (const text of ["the word HELLO", "a sign that reads STOP", "a card that says \"hi\"", "the letter A", "a banner 'open'"]) {
    it(`yes: ${text}`, () => assert.isTrue(asksForText(prompt(text))))
  }
  for (const text of ["a cat", "a sword", "a textile shop", "the dog's bone and the cat's hat", "a stop sign"]) {
    it(`no: ${text}`, () => assert.isFalse(asksForText(prompt(text))))
  }
})
