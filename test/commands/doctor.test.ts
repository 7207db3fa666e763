/** `vequinox doctor`: what it says of this machine is what a run meets here; keys stay unsaid. */
import * as fs from "node:fs"
import * as os from "node:os"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestConsole } from "effect/testing"
import { afterAll } from "vitest"
import { tell } from "../../src/commands/doctor.ts"
import { failed, type Machine, machinePage, obstacle, passed, shownAddress } from "../../src/wiring/machine/machine.ts"
import { fits, published } from "../../src/wiring/machine/models-that-fit.ts"
import { parameterCount, samplerBytes, scorerBytes } from "../../src/engine/training/memory.ts"
import { atLeast } from "../../src/system/installed.ts"
import { commandLine } from "../support/command-line.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)

const secret = "sk-never-to-be-shown"
const env = {
  ANTHROPIC_API_KEY: secret,
  HF_TOKEN: "",
  OPENAI_BASE_URL: `http://me:${secret}@localhost:8000/v1?key=${secret}`
}

describe("on this machine", () => {
  it.live("--json holds what was found, and no key", () =>
    Effect.gen(function*() {
      const { code, stderr, stdout } = yield* Effect.promise(() => vequinox(env, "doctor", "--json"))
      assert.strictEqual(code, 0, stderr)
      assert.notInclude(stdout + stderr, secret)
      const { cores, devices, disk, fits: models, ready, ...found } = JSON.parse(stdout) as Machine & { readonly ready: boolean }
      assert.isTrue(ready)
      assert.deepStrictEqual(found.keys, { ANTHROPIC_API_KEY: true, OPENAI_API_KEY: false, HF_TOKEN: false })
      assert.deepStrictEqual(found.addresses, { OPENAI_BASE_URL: "http://localhost:8000/v1" })
      assert.strictEqual(found.node.version, process.version)
      assert.strictEqual(cores, os.availableParallelism())
      assert.strictEqual(found.memory.total, os.totalmem())
      assert.isAbove(found.memory.free, 1e8)
      const { version } = JSON.parse(fs.readFileSync("node_modules/onnxruntime-node/package.json", "utf8"))
      assert.strictEqual(found.onnxruntime, version)
      assert.deepStrictEqual(devices.cpu, { ok: true } as typeof devices.cpu)
      for (const { ok, why } of Object.values(devices)) assert.isTrue(ok || why!.length > 10)
      assert.isTrue(found.renderer.ok)
      assert.strictEqual(fs.realpathSync(disk.current.folder), fs.realpathSync(work))
      assert.isAbove(disk.cache.free!, 0)
      assert.deepStrictEqual(Object.keys(found.models), ["policy", "clip", "clip-heldout"])
      assert.isTrue(models[0]!.trains)
      for (const { maxNumSeqs, samplerBytes, samples, trainerBytes, trains } of models) {
        assert.strictEqual(samples, samplerBytes <= found.memory.free)
        assert.strictEqual(trains, trainerBytes + samplerBytes <= found.memory.free)
        assert.strictEqual(trains, maxNumSeqs > 0)
      }
    }))
})

const options = { r: 16, tokensPerRun: 1024, k: 4, lengths: [512], device: "cpu" }
const machine: Machine = {
  node: { version: "v24.1.0", wanted: ">=20", ok: true },
  platform: "linux",
  arch: "x64",
  onnxruntime: "1.30.0",
  devices: { cpu: passed, webgpu: failed("no adapter.\nmore"), cuda: failed("no library") },
  cores: 2,
  memory: { total: 16e9, limit: 8e9, free: 7e9 },
  renderer: passed,
  disk: { current: { folder: "/here", ...passed, free: 5e9 }, cache: { folder: "/cache", ...failed("permission is denied"), free: undefined } },
  keys: { ANTHROPIC_API_KEY: true, HF_TOKEN: false },
  addresses: {},
  models: { policy: passed },
  loraR: 16,
  fits: fits(published, options, 7e9)
}
const { "SmolLM2-135M": small } = published

describe("what is said", () => {
  it("a page that people can read", () => {
    const page = machinePage(machine)
    const lines = page.split("\n").map((line) => line.split(/ {2,}/).filter((cell) => cell !== ""))
    const said = (label: string) => lines.find(([first]) => first === label)?.slice(1)
    assert.deepStrictEqual(said("memory"), ["7.0 GB free of 16.0 GB, limited to 8.0 GB"])
    assert.deepStrictEqual(said("webgpu"), ["no: no adapter"])
    assert.deepStrictEqual(said("disk, cache"), ["no: permission is denied (/cache)"])
    assert.deepStrictEqual(said("ANTHROPIC_API_KEY"), ["set"])
    assert.deepStrictEqual(said("SmolLM2-135M"), ["512", "dynamic_int8", "0.43 GB", "yes", "4.7 GB", "yes", "20"])
    assert.deepStrictEqual(said("Qwen3-1.7B"), ["512", "dynamic_int8", "5.0 GB", "yes", "6.7 GB", "no", "0"])
  })

  const broken: ReadonlyArray<readonly [string, Partial<Machine>, RegExp]> = [
    ["an old Node", { node: { version: "v18.2.0", wanted: ">=20", ok: false } }, /^Node v18\.2\.0 is too old: install Node >=20\.$/],
    ["no onnxruntime", { devices: { ...machine.devices, cpu: failed("no binding") } }, /^onnxruntime does not run here \(no binding\): /],
    ["no renderer", { renderer: failed("no resvg") }, /^Nothing can be rendered \(no resvg\): /],
    ["a model that is broken", { models: { policy: passed, clip: failed("cut short") } }, /^The embedded model clip cannot be opened \(cut short\): /],
    ["too little memory", { fits: fits({ small: small! }, options, 1e9) }, /needs 1\.\d GB of memory to train and 7\.0 GB are free/],
    ["a closed folder", { fits: [], disk: { ...machine.disk, current: { folder: "/here", ...failed("permission is denied"), free: undefined } } }, /^The current folder cannot be used \(permission is denied\)/],
    ["a full disk", { fits: [], disk: { ...machine.disk, current: { folder: "/here", ...passed, free: 1e6 } } }, /disk has 0\.00 GB left/]
  ]
  it.effect.each(broken)("%s: one sentence, and a failure", ([, change, expected]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(tell({ ...machine, ...change }, true))
      assert.strictEqual(error._tag, "NotReady")
      assert.match(error.message, expected)
      assert.notInclude(error.message, "\n")
      assert.isFalse(JSON.parse(String((yield* TestConsole.logLines)[0])).ready)
    }))

  it("nothing is in the way of the embedded model", () => assert.isUndefined(obstacle({ ...machine, fits: [] })))
})

describe("pieces", () => {
  it("published models have the parameters that they are known for", () => {
    const counts = Object.fromEntries(Object.entries(published).map(([name, config]) => [name, parameterCount(config)]))
    assert.deepStrictEqual(counts, {
      "SmolLM2-135M": 134_515_008,
      "SmolLM2-360M": 361_821_120,
      "Qwen2.5-0.5B": 494_032_768,
      "Qwen3-0.6B": 596_049_920,
      "Qwen2.5-1.5B": 1_543_714_304,
      "Qwen3-1.7B": 1_720_574_976
    })
  })

  it("as many sequences as fit into half of what the trainer leaves, and not one more", () => {
    const free = 20e9
    const [row, longest] = fits({ small: small! }, { ...options, lengths: [512, 100_000] }, free)
    assert.strictEqual(longest!.maxLength, small!.maxPositions)
    const needed = (rows: number) => samplerBytes(small!, rows, 512, "dynamic_int8")
    assert.strictEqual(row!.samplerBytes, needed(1))
    assert.isAtMost(needed(row!.maxNumSeqs), (free - row!.trainerBytes) / 2)
    assert.isAbove(needed(row!.maxNumSeqs + 1), (free - row!.trainerBytes) / 2)
  })

  it("scoring asks for more than it was seen to take (4.7 GB in all)", () => {
    const model = published["Qwen3-0.6B"]!
    const scoring = scorerBytes(model, undefined, 2048, 256)
    assert.isTrue(scoring > 4.7e9 && scoring < 10e9, `${scoring}`)
  })

  it("the precision that a run takes", () => {
    const precisions = (device: string) => fits({ small: small!, tiny: { ...small!, layers: 1, vocab: 1000 } }, { ...options, device }, 20e9).map(({ precision }) => precision)
    assert.deepStrictEqual(precisions("cpu"), ["dynamic_int8", "float32"])
    assert.deepStrictEqual(precisions("cuda"), ["float32", "float32"])
  })

  it("versions by number, not by letter", () => {
    for (const version of ["v20.0.0", "v20.9.1", "v22.19.0", "v100.0.0"]) assert.isTrue(atLeast(version, ">=20"))
    assert.isFalse(atLeast("v9.11.0", ">=20"))
    assert.isTrue(atLeast("v22.19.0", ">=22.19"))
    assert.isFalse(atLeast("v22.9.0", ">=22.19"))
  })

  it("addresses without what may be secret", () => {
    assert.strictEqual(shownAddress("https://a:b@host/v1?c=d#e"), "https://host/v1")
    assert.strictEqual(shownAddress(secret), "not an address")
  })
})
