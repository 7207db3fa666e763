import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { resolveConfig } from "../src/wiring/settings.ts"
import { asksForText, embeddedPrompts, readPrompts } from "../src/prompts.ts"
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
