/** `vequinox export`: what it says, and what it refuses before any work. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { TestConsole } from "effect/testing"
import { exportTo } from "../../src/commands/export.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { withTokenizer } from "../support/small-tokenizer.ts"

const work = scratchFolder("export-command")
const model = withTokenizer(path.join(import.meta.dirname, "../golden/qwen3"), path.join(work, "model"))
const run = (...args: ReadonlyArray<string>) =>
  Command.runWith(exportTo, { version: "test" })([...args]).pipe(
    Effect.andThen(TestConsole.logLines),
    Effect.map((lines) => lines.join("\n")),
    Effect.provide(NodeServices.layer)
  )
const at = (name: string) => path.join(work, name)

it.effect("says what it wrote, with an adapter and without", () =>
  Effect.gen(function*() {
    const said = JSON.parse(yield* run("--to", "gguf", "--model", model, "--adapter", path.join(model, "adapter"), "--out", at("a.gguf"), "--json"))
    assert.deepStrictEqual(said, {
      out: at("a.gguf"), base: model, modules: 14, bytes: fs.statSync(at("a.gguf")).size, tokenizer: { pre: "gpt-2", differing: 0, of: 12 }
    })
    assert.match(yield* run("--to", "onnx", "--model", model, "--precision", "f32", "--out", at("b")), /Wrote .*\/b: onnx\/model\.onnx with [\d.]+ kB of weights\.$/)
    assert.deepStrictEqual(fs.readdirSync(at("b")).sort(), ["config.json", "onnx", "tokenizer.json", "tokenizer_config.json"])
  }))

it.effect("tells of a tokenizer that llama.cpp cuts otherwise in places", () =>
  Effect.gen(function*() {
    assert.match(yield* run("--to", "gguf", "--out", at("embedded.gguf")), /MB in q8_0\. llama\.cpp has no name for the way this tokenizer splits text, .* but 4 of 12 other texts did not\.$/)
  }))

it.effect.each([
  [["--to", "gguf", "--out", at("c.bin")], /should end in \.gguf/],
  [["--to", "onnx", "--precision", "f16", "--out", at("c")], /--to onnx writes f32 and q8_0, not f16: leave --precision out for both/],
  [["--to", "onnx", "--out", model], /is the folder of --model itself/]
] as const)("%j", ([args, expected]) =>
  Effect.gen(function*() {
    const said = yield* run("--model", model, ...args).pipe(Effect.match({ onFailure: ({ message }) => message, onSuccess: () => "worked" }))
    assert.match(said, expected)
    assert.isFalse(fs.existsSync(at("c")) || fs.existsSync(at("c.bin")))
  }))

it.effect("refuses a family that it does not know", () =>
  Effect.gen(function*() {
    const other = at("mamba")
    fs.cpSync(model, other, { recursive: true })
    fs.writeFileSync(path.join(other, "config.json"), JSON.stringify({ model_type: "mamba" }))
    for (const to of ["gguf", "onnx"]) {
      const { message } = yield* Effect.flip(run("--to", to, "--model", other, "--out", at("d.gguf")))
      assert.match(message, /is of the family "mamba": known are qwen3, qwen2, llama and gemma3_text\.$/)
    }
  }))
