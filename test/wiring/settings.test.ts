import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { judgedObjectives } from "../../src/objectives/objectives.ts"
import { resolveConfig, type SettingName } from "../../src/wiring/settings.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("settings")

const margins = ["sigmoid", "hinge", "ipo", "robust", "rao_kupper", "sigmoid_norm", "discopop", "exo_pair"]
const pairs = [...margins, "nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down"]
const clipping = ["grpo", "dapo", "bnpo", "dr_grpo"]
const ratios = [...clipping, "cispo", "sapo"]

/** A value of each setting that only some objectives read, and these. */
const read: Readonly<Partial<Record<SettingName, readonly [value: unknown, by: ReadonlyArray<string>]>>> = {
  beta: [0.2, [...pairs, ...ratios]],
  label_smoothing: [0.1, ["sigmoid", "robust", "exo_pair"]],
  f_divergence_type: ["js_divergence", margins],
  f_alpha_divergence_coef: [0.3, margins],
  discopop_tau: [0.1, ["discopop"]],
  rao_kupper_nu: [2, ["rao_kupper"]],
  rpo_alpha: [1, pairs],
  rejected_floor: [1, pairs],
  ld_alpha: [0.5, pairs],
  pair_selection: ["best-worst", [...pairs, "sft"]],
  ties: ["train", [...pairs, "sft"]],
  labels: ["soft", [...pairs, "sft"]],
  pair_weighting: ["gap", [...pairs, "sft"]],
  invalid_pair_weight: [0.5, [...pairs, "sft"]],
  reward: ["score", ["reinforce", ...ratios]],
  scale_rewards: ["batch", ["reinforce", ...ratios]],
  mask_truncated_completions: [true, ["reinforce", ...ratios]],
  epsilon: [0.1, [...clipping, "cispo"]],
  epsilon_high: [0.3, [...clipping, "cispo"]],
  delta: [2, clipping],
  importance_sampling_level: ["sequence", ratios],
  importance_sampling_mode: ["sequence_mask", ratios],
  importance_sampling_clip_max: [2, ratios],
  sapo_temperature_pos: [2, ["sapo"]],
  sapo_temperature_neg: [2, ["sapo"]]
}

describe("a setting that the objective does not look at", () => {
  it.effect("is refused by objectives that ignore it, and taken by those that read it", () =>
    Effect.gen(function*() {
      for (const loss_type of judgedObjectives) {
        for (const [name, [value, by]] of Object.entries(read)) {
          const needed = loss_type === "exo_pair" ? { label_smoothing: 0.1 } : {}
          const result = yield* Effect.result(resolveConfig(undefined, { loss_type, ...needed, [name]: value }))
          assert.strictEqual(result._tag, by.includes(loss_type) ? "Success" : "Failure", `${name} with ${loss_type}`)
        }
      }
    }))

  it.effect("is named with those that read it, whether a flag or a file has it", () =>
    Effect.gen(function*() {
      const file = path.join(work, "c.yaml")
      fs.writeFileSync(file, "loss_type: hinge\nlabel_smoothing: 0.1\n")
      const inFile = yield* Effect.flip(resolveConfig(file, {}))
      assert.strictEqual(inFile.message, `${file}: label_smoothing means nothing with loss_type hinge: leave it out, or choose a loss_type that reads it (sigmoid, robust, exo_pair).`)
      const missing = yield* Effect.flip(resolveConfig(undefined, { loss_type: "exo_pair" }))
      assert.strictEqual(missing.message, "loss_type exo_pair compares the policy with a label that may be wrong: give --label-smoothing over 0, for example 0.001.")
      const flag = yield* Effect.flip(resolveConfig(undefined, { loss_type: "reinforce", ties: "drop" })) // its default, but nothing drops ties there
      assert.match(flag.message, /^--ties means nothing with loss_type reinforce: /)
    }))

  it.effect("keeps its default, or a resumed run's stored value, if nobody gives it", () =>
    Effect.gen(function*() {
      assert.deepInclude(yield* resolveConfig(undefined, { loss_type: "reinforce" }), { ties: "drop", beta: 0.1 })
      const stored = yield* resolveConfig(undefined, { loss_type: "reinforce" })
      assert.deepInclude(yield* resolveConfig(undefined, {}, stored), { loss_type: "reinforce", beta: 0.1 })
      const [free, held] = [yield* resolveConfig(undefined, { loss_type: "dapo" }), yield* resolveConfig(undefined, { loss_type: "dapo", beta: 0.04 })]
      assert.deepStrictEqual([free.beta, held.beta, (yield* resolveConfig(undefined, {}, held)).beta], [0, 0.04, 0.04])
    }))
})
