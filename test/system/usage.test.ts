/** A command line that is none: one sentence, which comes first and alone. Names of flags, and the numbers that they take. */
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import { flagOf, resolveConfig, type SettingName, settings } from "../../src/wiring/settings.ts"
import { withHyphens } from "../../src/system/flag-names.ts"
import { above, fromText, int, real } from "../../src/system/ranges.ts"
import { commandLine } from "../support/command-line.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)

describe.concurrent("a mistake is told in one sentence, without the help", () => {
  const cases: ReadonlyArray<readonly [string, ReadonlyArray<string>, RegExp]> = [
    ["an unknown flag", ["train", "--no-such-flag", "1"], /^train has no flag --no-such-flag: vequinox train --help lists its flags\.$/],
    ["a flag spelt wrong", ["train", "--num-generatons", "3"], /^train has no flag --num-generatons: did you mean --num-generations\?$/],
    ["half a flag", ["sft", "--batch", "3"], /^sft has no flag --batch: did you mean --batch-size\?$/],
    ["an unknown command", ["trian"], /^There is no command "trian": did you mean train\?$/],
    ["a missing argument", ["render"], /^render needs <files>: vequinox render --help says what it is\.$/],
    ["a missing flag", ["sft", "--out", "x"], /^sft needs --data: vequinox sft --help says what it is\.$/],
    ["an argument too many", ["doctor", "now"], /^doctor takes no argument "now"/],
    ["a flag without its value", ["sample", "a cat", "--k"], /^--k needs a value: vequinox sample --help says which\.$/],
    ["another choice", ["sample", "a cat", "--device", "gpu"], /^--device is gpu: Expected "auto" \| "cpu" \| "webgpu" \| "cuda"\.$/],
    ["a number out of range", ["sample", "a cat", "--temperature", "-1"], /^--temperature is -1: Expected a number from 0 to 100\.$/],
    ["a number at its bound", ["sample", "a cat", "--repetition-penalty", "0"], /^--repetition-penalty is 0: Expected a number over 0, at most 100\.$/],
    ["no number", ["sft", "--data", "x", "--out", "y", "--steps", "many"], /^--steps is many: Expected a whole number from 1 to 1000000000\.$/],
    ["TRL's name with a number out of range", ["train", "--num_generations=1"], /^--k is 1: Expected a whole number from 2 to 4096\.$/],
    ["a control character", ["train", "--a\u001b[2Jb"], /^train has no flag --a\?\[2Jb/]
  ]
  it.each(cases)("%s", async (_name, args, expected) => {
    const { code, stderr, stdout } = await vequinox({}, ...args)
    assert.notStrictEqual(code, 0)
    assert.strictEqual(stdout, "")
    assert.strictEqual(stderr.trimEnd().split("\n").length, 1, stderr)
    assert.match(stderr.trimEnd().replace(/^vequinox: /, ""), expected)
  }, 120_000)

  it("the help is there on --help, with TRL's names", async () => {
    const { code, stderr, stdout } = await vequinox({}, "train", "--help")
    assert.deepStrictEqual([code, stderr], [0, ""])
    for (const names of ["--k, --num-generations", "--model, --model-name-or-path", "--out, --output-dir", "--steps, --max-steps"]) assert.include(stdout, names)
    for (const name of Object.keys(settings)) assert.match(stdout, new RegExp(`--${name.replaceAll("_", "-")}\\b`), name)
  }, 120_000)
})

describe("names of flags", () => {
  it("are taken with underscores; values and what follows -- are left alone", () =>
    assert.deepStrictEqual(
      withHyphens(["train", "--num_generations", "4", "--learning_rate=1e_3", "a_b", "--k", "-x_y", "--", "--c_d"]),
      ["train", "--num-generations", "4", "--learning-rate=1e_3", "a_b", "--k", "-x_y", "--", "--c_d"]
    ))
})

const names = Object.keys(settings) as Array<SettingName>
const schemaOf = (name: SettingName) => settings[name][0] as unknown as Schema.Codec<unknown, unknown>
const accepts = (name: SettingName, value: unknown) => Option.isSome(Schema.decodeUnknownOption(schemaOf(name))(value))
const numeric = names.filter((name) => [0, 0.5, 1, 2].some((value) => accepts(name, value)))

describe("numeric settings", () => {
  it("are these", () => assert.isAtLeast(numeric.length, 35))

  it.effect.each(numeric)("%s has a range, which every refusal names", (name) =>
    Effect.gen(function*() {
      for (const value of [-1, -0.001, NaN, Infinity, -Infinity, 1e300, "many"]) {
        const { message } = yield* Effect.flip(resolveConfig(undefined, { [name]: value }))
        assert.match(message, /^--[a-z0-9-]+ is .+: Expected (a (whole )?number\b.*\d|1 \| 2)[^\n]*\.$/)
        assert.isTrue(message.startsWith(`--${flagOf(name)} is `), message)
      }
    }))

  it.effect.each([
    ["temperature: -1", /^c\.yaml: temperature is -1: Expected a number from 0 to 100\.$/],
    ["repetition_penalty: 0", /^c\.yaml: repetition_penalty is 0: Expected a number over 0, at most 100\.$/],
    ["max_steps: 1.5", /^c\.yaml: max_steps is 1\.5: Expected a whole number from 1 to 1000000000\.$/],
    ["beta: .inf", /^c\.yaml: beta is Infinity: Expected a number from 0 to 1000000\.$/],
    ["lora_r: '16'", /^c\.yaml: lora_r is "16": Expected a whole number from 0 to 65536\.$/]
  ] as const)("are held to it in a file too: %s", ([text, expected]) =>
    Effect.gen(function*() {
      const file = path.join(work, "c.yaml")
      fs.writeFileSync(file, text)
      const { message } = yield* Effect.flip(resolveConfig(file, {}))
      assert.match(message.replace(file, "c.yaml"), expected)
    }))

  it("take their bounds and nothing beyond", () => {
    const takes = (range: Schema.Codec<number, number>, text: string) => Option.isSome(Schema.decodeOption(fromText(range))(text))
    const verdicts = (range: Schema.Codec<number, number>, texts: ReadonlyArray<string>) => texts.map((text) => takes(range, text))
    assert.deepStrictEqual(verdicts(int(1, 5), ["1", "5", "0", "6", "1.5", "", " ", "1e400", "x", "NaN", "1e0"]), [true, true, false, false, false, false, false, false, false, false, true])
    assert.deepStrictEqual(verdicts(real(0, 1), ["0", "1", "-1e-9", "1.0001", "Infinity"]), [true, true, false, false, false])
    assert.deepStrictEqual(verdicts(above(0, 2), ["0", "1e-300", "2", "2.1"]), [false, true, true, false])
  })
})
