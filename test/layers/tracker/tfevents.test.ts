import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as tensorboard from "../../../layers/tracker/tensorboard.ts"
import { scalarsEvent, startEvent, textEvent, versionEvent } from "../../../layers/tracker/tfevents.ts"
import { Tracker } from "../../../src/stages/Tracker.ts"
import { trackedStep } from "../../stages/Tracker.contract.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"
import { readEvents } from "../../support/tfevents.ts"
import golden from "../../golden/tfevents.json" with { type: "json" }

const scratch = scratchFolder("tfevents")
const seconds = 1796036255.25
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")

describe("records of event files are TensorBoard's own, byte by byte", () => {
  it("version", () => assert.strictEqual(hex(versionEvent(seconds)), golden.records.version))
  it("start", () => assert.strictEqual(hex(startEvent(seconds, 30)), golden.records.start))
  it("scalars", () => assert.strictEqual(hex(scalarsEvent(seconds, 31, golden.scalars)), golden.records.scalars))
  it("text", () => assert.strictEqual(hex(textEvent(seconds, 0, "config", golden.text)), golden.records.text))
})

const tell = (folder: string, from: number | undefined, steps: ReadonlyArray<number>, again: ReadonlyArray<number> = []) =>
  Effect.gen(function*() {
    const tracker = yield* Tracker
    for (const step of again) yield* tracker.step(trackedStep(step, { kind: "again" }))
    for (const step of steps) yield* tracker.step(trackedStep(step))
  }).pipe(Effect.provide(tensorboard.layer({ folder, from, config: {}, note: () => Effect.void })))

describe("tensorboard", () => {
  it.live("a process that was killed in the middle of a record costs that record alone", () =>
    Effect.gen(function*() {
      const folder = path.join(scratch, "cut")
      yield* tell(folder, undefined, [0, 1, 2])
      const file = path.join(folder, fs.readdirSync(folder)[0]!)
      fs.truncateSync(file, fs.statSync(file).size - 5)
      assert.deepStrictEqual(readEvents(folder).seen, [0, 1])
      yield* tell(folder, 2, [2, 3])
      const { scalars, seen } = readEvents(folder)
      assert.deepStrictEqual(seen, [0, 1, 2, 3])
      assert.deepStrictEqual(scalars.filter(({ tag }) => tag === "loss").map(({ step }) => step), [0, 1, 2, 3])
    }))

  it.live("a resumed process cuts off the steps that it makes again, in files of its run alone", () =>
    Effect.gen(function*() {
      const folder = path.join(scratch, "again")
      yield* tell(folder, undefined, [0, 1, 2, 3, 4])
      const [first] = fs.readdirSync(folder)
      const whole = fs.readFileSync(path.join(folder, first!))
      fs.writeFileSync(path.join(folder, "events.out.tfevents.1.another-host.1.0"), whole)
      yield* tell(folder, 2, [2])
      yield* tell(folder, 3, [3, 4, 5])
      assert.deepStrictEqual(fs.readFileSync(path.join(folder, "events.out.tfevents.1.another-host.1.0")), whole)
      fs.rmSync(path.join(folder, "events.out.tfevents.1.another-host.1.0"))
      assert.deepStrictEqual(readEvents(folder).seen, [0, 1, 2, 3, 4, 5])
    }))

  it.live("tells what a killed process did not come to tell, and nothing twice", () =>
    Effect.gen(function*() {
      const folder = path.join(scratch, "untold")
      yield* tell(folder, undefined, [0, 1])
      yield* tell(folder, 4, [4, 5], [0, 1, 2, 3])
      yield* tell(folder, 5, [5, 6], [0, 1, 2, 3, 4])
      assert.deepStrictEqual(readEvents(folder).scalars.filter(({ tag }) => tag === "loss").map(({ step }) => step), [0, 1, 2, 3, 4, 5, 6])
      fs.rmSync(folder, { recursive: true })
      yield* tell(folder, undefined, []) // killed before its first step
      yield* tell(folder, 1, [1], [0])
      assert.deepStrictEqual(readEvents(folder).seen, [0, 1])
    }))

  it.live("a reader that has read the file before forgets those steps: START says so", () =>
    Effect.gen(function*() {
      const folder = path.join(scratch, "start")
      yield* tell(folder, undefined, [0, 1, 2, 3])
      const [first] = fs.readdirSync(folder)
      const before = fs.readFileSync(path.join(folder, first!))
      yield* tell(folder, 2, [2])
      fs.writeFileSync(path.join(folder, first!), before)
      const { scalars, seen } = readEvents(folder)
      assert.deepStrictEqual(seen, [0, 1, 2, 3, 2])
      assert.deepStrictEqual(scalars.filter(({ tag }) => tag === "loss").map(({ step }) => step), [0, 1, 2])
    }))

  it.live("a process's file comes after those before it, even in the same second and if the clock went back", () =>
    Effect.gen(function*() {
      const folder = path.join(scratch, "clock")
      fs.mkdirSync(folder)
      fs.writeFileSync(path.join(folder, "events.out.tfevents.4000000000.vequinox.1.0"), "")
      yield* tell(folder, 0, [0])
      yield* tell(folder, 1, [1])
      assert.deepStrictEqual(
        fs.readdirSync(folder).sort().map((name) => name.split(".")[3]),
        ["4000000000", "4000000001", "4000000002"]
      )
    }))

  it.live("keeps the step out of the scalars, and the host's name out of the file's", () =>
    Effect.gen(function*() {
      const folder = path.join(scratch, "names")
      yield* tell(folder, undefined, [7])
      assert.deepStrictEqual(readEvents(folder).scalars.map(({ tag }) => tag), ["policyVersion", "loss", "rewards/margins"])
      assert.match(fs.readdirSync(folder)[0]!, /^events\.out\.tfevents\.\d{10}\.vequinox\.\d+\.0$/)
    }))
})
