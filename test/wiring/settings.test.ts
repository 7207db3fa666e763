import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { judgedObjectives } from "../../src/objectives/objectives.ts"
import { resolveConfig, type SettingName } from "../../src/wiring/settings.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("settings")

/** A value of each setting that only some objectives read, and these. */
const read: Readonly<Partial<Record<SettingName, readonly [value: unknown, by: ReadonlyArray<string>]>>> = {
  beta: [0.2, ["sigmoid", "hinge", "ipo", "robust", "rao_kupper"]],
  label_smoothing: [0.1, ["sigmoid", "robust"]],
  rao_kupper_nu: [2, ["rao_kupper"]],
  rpo_alpha: [1, ["sigmoid", "hinge", "ipo", "robust", "rao_kupper"]],
  rejected_floor: [1, ["sigmoid", "hinge", "ipo", "robust", "rao_kupper"]],
  pair_selection: ["best-worst", ["sigmoid", "hinge", "ipo", "robust", "rao_kupper", "sft"]],
  ties: ["train", ["sigmoid", "hinge", "ipo", "robust", "rao_kupper", "sft"]],
  labels: ["soft", ["sigmoid", "hinge", "ipo", "robust", "rao_kupper", "sft"]],
  pair_weighting: ["gap", ["sigmoid", "hinge", "ipo", "robust", "rao_kupper", "sft"]],
  invalid_pair_weight: [0.5, ["sigmoid", "hinge", "ipo", "robust", "rao_kupper", "sft"]]
}

describe("a setting that the objective does not look at", () => {
  it.effect("is refused by objectives that ignore it, and taken by those that read it", () =>
    Effect.gen(function*() {
      for (const loss_type of judgedObjectives) {
        for (const [name, [value, by]] of Object.entries(read)) {
          const result = yield* Effect.result(resolveConfig(undefined, { loss_type, [name]: value }))
          assert.strictEqual(result._tag, by.includes(loss_type) ? "Success" : "Failure", `${name} with ${loss_type}`)
        }
      }
    }))

  it.effect("is named with those that read it, whether a flag or a file has it", () =>
    Effect.gen(function*() {
      const file = path.join(work, "c.yaml")
      fs.writeFileSync(file, "loss_type: hinge\nlabel_smoothing: 0.1\n")
      const inFile = yield* Effect.flip(resolveConfig(file, {}))
      assert.strictEqual(inFile.message, `${file}: label_smoothing means nothing with loss_type hinge: leave it out, or choose a loss_type that reads it (sigmoid, robust).`)
      const flag = yield* Effect.flip(resolveConfig(undefined, { loss_type: "reinforce", ties: "drop" })) // its default, but nothing drops ties there
      assert.match(flag.message, /^--ties means nothing with loss_type reinforce: /)
    }))

  it.effect("keeps its default, or a resumed run's stored value, if nobody gives it", () =>
    Effect.gen(function*() {
      assert.deepInclude(yield* resolveConfig(undefined, { loss_type: "reinforce" }), { ties: "drop", beta: 0.1 })
      const stored = yield* resolveConfig(undefined, { loss_type: "reinforce" })
      assert.deepInclude(yield* resolveConfig(undefined, {}, stored), { loss_type: "reinforce", beta: 0.1 })
    }))
})
