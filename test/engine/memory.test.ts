/** Memory found without allocating it: hand-worked graphs, and what trainers really took. */
import { assert, describe, it } from "@effect/vitest"
import { Graph } from "../../src/engine/graph/graph.ts"
import { peakBytes } from "../../src/engine/graph/liveness.ts"
import { planTrainer, trainerBytes } from "../../src/engine/training/memory.ts"
import { runOrder } from "../../src/engine/graph/run-order.ts"
import { allLinear } from "../../src/engine/nets/transformer.ts"
import { qwenShape } from "../../bench/trainer.ts"

const lora = { r: 16, alpha: 32, targets: allLinear }
const external = { _tag: "External", file: "", offset: 0, length: 0 } as const

describe("the fullest moment of a run", () => {
  it("counts what is alive together, not what was ever made", () => {
    const g = new Graph()
    const x = g.input("x", "float32", ["row", 10])
    const doubled = g.transpose(x, [1, 0]) // 40 bytes a row
    const turned = g.transpose(doubled, [1, 0]) // 40 more, then the first is gone
    const again = g.transpose(turned, [1, 0])
    g.output("y", again)
    assert.strictEqual(peakBytes(g)({ row: 3 }), 2 * 3 * 40)
    assert.throws(() => peakBytes(g)({}), /the length of axis row/)
  })

  it("lets views share and elementwise results replace what nothing else reads", () => {
    const g = new Graph()
    const x = g.transpose(g.input("x", "float32", [4, 5]), [1, 0])
    g.output("y", g.neg(g.reshape(x, [20])))
    assert.strictEqual(peakBytes(g)({}), 80)
    const h = new Graph()
    const z = h.transpose(h.input("x", "float32", [4, 5]), [1, 0])
    h.output("y", h.neg(z))
    h.output("z", z) // read later: not replaced
    assert.strictEqual(peakBytes(h)({}), 160)
  })

  it("widens one weight at a time", () => {
    const g = new Graph()
    let x = g.input("x", "float32", [1, 100])
    for (const name of ["a", "b", "c"]) {
      x = g.emit("Gemm", [x, g.emit("Cast", [g.weight(name, "bfloat16", [100, 100], external)], { to: 1 })], { transB: 1 })
    }
    g.output("y", x)
    assert.deepStrictEqual(runOrder(g).map(({ op }) => op), ["Cast", "Gemm", "Cast", "Gemm", "Cast", "Gemm"])
    assert.strictEqual(peakBytes(g)({}), 40_000 + 2 * 400)
  })
})

describe("a trainer's memory", () => {
  // Peak resident gigabytes of a process that trains random weights of the Qwen3-0.6B shape on a pair a step (bench trainer).
  const taken = [
    [28, 256, false, 3.64],
    [28, 256, true, 2.33],
    [28, 512, false, 6.4],
    [14, 256, false, 2.31],
    [14, 256, true, 1.67]
  ] as const
  it.each(taken)("%i layers, 2 x %i tokens, checkpointing %s: %f GB", (layers, length, checkpointing, gigabytes) => {
    const estimate = trainerBytes(qwenShape(layers), lora, 2 * length, length, checkpointing) / 1e9
    assert.isTrue(estimate > gigabytes && estimate < 1.16 * gigabytes, `${estimate}`)
  })

  it("takes smaller runs first, then checkpointing, and says when nothing fits", () => {
    const c = qwenShape(28)
    const wanted = { tokens: 2048, length: 256, group: 4, checkpointing: false }
    const bytes = (tokens: number, checkpointing: boolean) => trainerBytes(c, lora, tokens, 256, checkpointing)
    const plan = (budget: number) => {
      const { checkpointing, tokens } = planTrainer(c, lora, wanted, budget)
      return [tokens, checkpointing]
    }
    assert.deepStrictEqual(plan(bytes(2048, false)), [2048, false])
    assert.deepStrictEqual(plan(bytes(2048, false) - 1), [1024, false])
    assert.deepStrictEqual(plan(bytes(1024, false) - 1), [2048, true])
    assert.deepStrictEqual(plan(bytes(2048, true) - 1), [1024, true])
    assert.strictEqual(planTrainer(c, lora, wanted, 1).bytes, bytes(1024, true))
  })
})
