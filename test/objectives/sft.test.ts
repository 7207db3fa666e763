/** Training on what was preferred, with the real optimizer on a small model. */
import * as path from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as optimizerOnnx from "../../layers/optimizer/onnx.ts"
import { OnnxRuntime } from "../../layers/onnx/runtime.ts"
import { Candidate, Preference, Verdict } from "../../src/domain.ts"
import { allLinear, modulesOf } from "../../src/engine/nets/transformer.ts"
import { initialAdapter } from "../../src/engine/weights/parameters.ts"
import { openDecoder } from "../../src/model/model-folder.ts"
import type { ChosenObjective } from "../../src/objectives/objectives.ts"
import { promptOf } from "../../src/prompts.ts"
import { Optimizer } from "../../src/stages/Optimizer.ts"
import { trainerDefaults } from "../../src/wiring/trainer-defaults.ts"

const prompt = promptOf("a red circle")
const candidate = (index: number, completionIds: ReadonlyArray<number>) =>
  new Candidate({
    prompt, step: 0, index, policyVersion: 0, seed: 1, promptIds: [3, 5], completionIds, logps: completionIds.map(() => -1), svg: "", finish: "eos"
  })
const [good, bad, worse] = [candidate(0, [7, 8, 2]), candidate(1, [9, 10, 11, 2]), candidate(2, [12, 2])]
const over = (rejected: Candidate) =>
  new Preference({ prompt, chosen: good, rejected, label: 1, weight: 1, verdict: new Verdict({ outcome: "A", confidence: 1, by: "test" }) })
const lessons = [over(bad), over(worse)]

/** The metrics of some steps on the same lessons. */
const steps = Effect.fnUntraced(function*(objective: ChosenObjective, n: number) {
  const checkpoint = yield* openDecoder(path.join(import.meta.dirname, "../golden/qwen3"))
  const lora = { r: 4, alpha: 8, targets: allLinear }
  const initial = { version: 0, updates: 0, parameters: initialAdapter(modulesOf(checkpoint.config), lora, 1), moments: new Map() }
  const layer = optimizerOnnx.layer({ checkpoint, lora, initial, ...trainerDefaults(16, 256, { learningRate: 0.01 }), objective }).pipe(
    Layer.provide(OnnxRuntime.layer("cpu", 0, { threads: 1 }))
  )
  return yield* Effect.gen(function*() {
    const { step } = yield* Optimizer
    return yield* Effect.forEach(Array.from({ length: n }), () => Effect.map(step(lessons), ({ metrics }) => metrics))
  }).pipe(Effect.provide(layer))
})
const given = { beta: 0.1, labelSmoothing: 0 }

it.live("sft makes the preferred drawing likelier and computes no other", () =>
  Effect.gen(function*() {
    const metrics = yield* steps({ lossType: "sft", ...given }, 8)
    for (const { loss, nll_loss, num_tokens } of metrics) {
      assert.strictEqual(num_tokens, 5)
      assert.closeTo(nll_loss!, loss!, 1e-5)
    }
    assert.isBelow(metrics.at(-1)!["nll_loss"]!, metrics[0]!["nll_loss"]! - 0.05)
    assert.isEmpty(Object.keys(metrics[0]!).filter((name) => /^rewards|kl|rejected/.test(name)))
  }))

it.live("rpo_alpha adds its weight of the same NLL to a loss of pairs", () =>
  Effect.gen(function*() {
    const [[plain], [mixed], [alone]] = yield* Effect.all([
      steps({ lossType: "sigmoid", ...given }, 1),
      steps({ lossType: "sigmoid", ...given, rpoAlpha: 2 }, 1),
      steps({ lossType: "sft", ...given }, 1)
    ])
    assert.strictEqual(plain!["num_tokens"], 5 + 6 + 4)
    assert.closeTo(mixed!["loss"]!, plain!["loss"]! + 2 * alone!["loss"]!, 1e-5)
    assert.closeTo(mixed!["nll_loss"]!, alone!["nll_loss"]!, 1e-5)
    assert.isTrue("rewards/margins" in mixed!)
  }))
