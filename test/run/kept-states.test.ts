import * as fs from "node:fs"
import * as path from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { newestGood, writeCheckpoint } from "../../src/run/checkpoints.ts"
import { runFolder } from "../../src/run/folder.ts"
import type { OptimizerState } from "../../src/stages/Optimizer.ts"
import type { Kept } from "../../src/steps/step-back.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("kept-states")
let made = 0
const base = { name: "b", revision: null }

const state = (version: number, rate?: number, moves = false): OptimizerState => ({
  version,
  updates: version - 1,
  parameters: new Map([["b", { shape: [2], data: Float32Array.of(version, 1 / 3) }], ["a", { shape: [1], data: Float32Array.of(-version) }]]),
  moments: new Map([["exp_avg.a", { shape: [1], data: Float32Array.of(version / 7) }]]),
  ...(rate === undefined ? {} : { rate }),
  ...(moves ? { reference: new Map([["b", { shape: [2], data: Float32Array.of(version / 3, 1) }], ["a", { shape: [1], data: Float32Array.of(version / 9) }]]) } : {})
})
const plain = (of: OptimizerState | undefined) =>
  of && [of.version, of.updates, ...[of.parameters, of.moments, of.reference ?? []].map((each) => [...each].map(([name, { data }]) => [name, ...data]))]

/** Writes a checkpoint and reads it again. */
const round = Effect.fnUntraced(function*(now: OptimizerState, kept: Kept) {
  const run = runFolder(fs.mkdtempSync(path.join(work, `${made++}-`)))
  const { folder, sha256 } = yield* writeCheckpoint(run, { state: now, earlier: [], kept }, undefined, base)
  const { found } = yield* newestGood(run, [{ step: now.version, sha256, seconds: 1 }], undefined, ["b", "a"])
  return { found: found!, files: fs.readdirSync(folder).sort() }
})

it.live("a checkpoint has the states that the run may go back to, and its learning rate", () =>
  Effect.gen(function*() {
    for (const kept of [{ good: state(10), next: state(15) }, { good: state(10) }, { next: state(15) }]) {
      const { found } = yield* round(state(17, 0.0625), kept)
      assert.deepStrictEqual(plain(found.state), plain(state(17)))
      assert.strictEqual(found.state.rate, 0.0625)
      assert.deepStrictEqual([plain(found.kept?.good), plain(found.kept?.next)], [plain(kept.good), plain(kept.next)])
    }
  }))

it.live("a state that is the checkpoint's own is not written twice", () =>
  Effect.gen(function*() {
    const { files, found } = yield* round(state(15), { good: state(10), next: state(15) })
    assert.deepStrictEqual(files.filter((name) => name.startsWith("kept-")), ["kept-10.optimizer.safetensors", "kept-10.safetensors"])
    assert.deepStrictEqual([plain(found.kept?.good), plain(found.kept?.next)], [plain(state(10)), plain(state(15))])
  }))

it.live("a checkpoint has the reference of each of its states, where it moves", () =>
  Effect.gen(function*() {
    const moving = (version: number) => state(version, undefined, true)
    const { files, found } = yield* round(moving(15), { good: moving(10), next: moving(15) })
    assert.includeMembers(files, ["reference.safetensors", "kept-10.reference.safetensors"])
    assert.deepStrictEqual([found.state, found.kept?.good, found.kept?.next].map(plain), [moving(15), moving(10), moving(15)].map(plain))
    const { files: others } = yield* round(state(15), { good: state(10) })
    assert.isEmpty(others.filter((name) => name.includes("reference")))
  }))

it.live("a run that never stepped back and keeps nothing writes what it always did", () =>
  Effect.gen(function*() {
    const { files, found } = yield* round(state(3), {})
    assert.isEmpty(files.filter((name) => name.startsWith("kept-")))
    assert.strictEqual(found.state.rate ?? 1, 1)
    assert.deepStrictEqual([found.kept?.good, found.kept?.next], [undefined, undefined])
  }))
