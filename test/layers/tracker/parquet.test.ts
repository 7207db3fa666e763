import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet"
import * as parquet from "../../../layers/tracker/parquet.ts"
import { completionRows } from "../../../src/steps/completions.ts"
import { Advantage } from "../../../src/domain.ts"
import { Tracker } from "../../../src/stages/Tracker.ts"
import { rollout } from "../../stages/make.ts"
import { trackedStep } from "../../stages/Tracker.contract.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"

const scratch = scratchFolder("parquet")

describe("tables of drawings", () => {
  it("a row for each drawing, with its reward, its advantage and what became of it", () => {
    const { lessons, ...rest } = rollout(4)
    const own = rest.drawings[1]!.candidate
    const rows = completionRows({ k: 3, reward: "win_rate" }, "clip", {
      ...rest,
      lessons: [...lessons, new Advantage({ prompt: own.prompt, candidate: own, advantage: -1.5, weight: 1 })]
    })
    // 0 beats 1, 0 and 2 tie, 2 beats 1.
    assert.deepStrictEqual(rows.map(({ rewards }) => rewards), [{ clip: 0.75 }, { clip: 0 }, { clip: 0.75 }])
    assert.deepStrictEqual(rows.map(({ advantage }) => advantage), [undefined, -1.5, undefined])
    assert.deepStrictEqual(rows.map(({ outcome }) => outcome), ["rendered", "deadline", "rendered"])
    assert.deepStrictEqual(rows[0], {
      prompt: "a cat", completion: rest.drawings[0]!.candidate.svg, rewards: { clip: 0.75 }, advantage: undefined, outcome: "rendered", tokens: 3, policyVersion: 4
    })
  })

  it.live("TRL's file names and columns, every value as it was", () =>
    Effect.gen(function*() {
      const folder = path.join(scratch, "columns")
      yield* Effect.gen(function*() {
        yield* (yield* Tracker).step(trackedStep(42))
      }).pipe(Effect.provide(parquet.layer({ folder, from: undefined, note: () => Effect.void })))
      assert.deepStrictEqual(fs.readdirSync(folder), ["completions_00042.parquet"])
      const rows = yield* Effect.promise(async () => parquetReadObjects({ file: await asyncBufferFromFile(path.join(folder, "completions_00042.parquet")) }))
      assert.deepStrictEqual(Object.keys(rows[0]!), ["step", "prompt", "completion", "clip", "outcome", "tokens", "policy_version", "advantage"])
      assert.deepStrictEqual(rows, [
        { step: 42n, prompt: "a cat", completion: "<svg id=\"42\"/>", clip: 0.75, outcome: "rendered", tokens: 9n, policy_version: 42n, advantage: null },
        { step: 42n, prompt: "a \"dog\"\n", completion: "<svg", clip: null, outcome: "no-svg", tokens: 1n, policy_version: 42n, advantage: -0.5 }
      ])
    }))

  it.live("a resumed run removes later tables of the stopped one, and nothing else", () =>
    Effect.gen(function*() {
      const folder = path.join(scratch, "resumed")
      const tell = (from: number | undefined, steps: ReadonlyArray<number>) =>
        Effect.gen(function*() {
          const tracker = yield* Tracker
          for (const step of steps) yield* tracker.step(trackedStep(step))
        }).pipe(Effect.provide(parquet.layer({ folder, from, note: () => Effect.void })))
      yield* tell(undefined, [0, 1, 2, 3])
      for (const name of ["completions_00009.parquet.part", "notes.txt", "my_completions_00009.parquet"]) fs.writeFileSync(path.join(folder, name), "")
      yield* tell(2, [2])
      assert.deepStrictEqual(fs.readdirSync(folder).sort(), [
        "completions_00000.parquet", "completions_00001.parquet", "completions_00002.parquet", "my_completions_00009.parquet", "notes.txt"
      ])
    }))
})
