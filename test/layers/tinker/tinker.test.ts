/** Optimizer and sampler on a Tinker server that computes (test/support/tinker-server.ts): contracts, agreement with our own, loss and return of the server. */
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { afterAll } from "vitest"
import { OnnxRuntime } from "../../../layers/onnx/runtime.ts"
import * as OptimizerOnnx from "../../../layers/optimizer/onnx.ts"
import * as OptimizerTinker from "../../../layers/optimizer/tinker.ts"
import * as SamplerTinker from "../../../layers/sampler/tinker.ts"
import { type ConnectOptions, connectTinker, type Tinker } from "../../../layers/tinker/connect.ts"
import { openSaved, type SavedWeights } from "../../../layers/tinker/saved.ts"
import { Advantage, type Lesson, Preference } from "../../../src/domain.ts"
import { allLinear, modulesOf } from "../../../src/engine/nets/transformer.ts"
import { plain } from "../../../src/engine/sampling/sampling.ts"
import { initialAdapter } from "../../../src/engine/weights/parameters.ts"
import { defaultFormat, promptIds } from "../../../src/model/tokenizer/tokenizer.ts"
import type { ChosenObjective } from "../../../src/objectives/objectives.ts"
import { Optimizer, type OptimizerState } from "../../../src/stages/Optimizer.ts"
import { trainerDefaults } from "../../../src/wiring/trainer-defaults.ts"
import { optimizerContract } from "../../stages/Optimizer.contract.ts"
import { samplerContract } from "../../stages/Sampler.contract.ts"
import { candidate, verdict } from "../../stages/make.ts"
import { checkpoint, tokenizer } from "../../support/embedded-policy.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"
import { tinkerServer } from "../../support/tinker-server.ts"

const rank = 4
const lora = { r: rank, alpha: 32, targets: allLinear }
const parameters = initialAdapter(modulesOf(checkpoint.config), lora, 5)
const initial: OptimizerState = { version: 0, updates: 0, parameters, moments: new Map() }
const folder = scratchFolder("tinker")
const server = await tinkerServer({ maxLength: 160 })
afterAll(() => server.close())

const { options } = trainerDefaults(160, 1024, { learningRate: 1e-3 })
const sigmoid: ChosenObjective = { lossType: "sigmoid", beta: 0.5, labelSmoothing: 0 }
const connecting = (more: Partial<ConnectOptions> = {}) =>
  connectTinker({ url: server.url, apiKey: undefined, checkpoint, baseModel: undefined, rank, seed: 5, patience: 5, deadline: 20, ...more })

const onServer = <A, E>(make: (tinker: Tinker, saved: SavedWeights) => Layer.Layer<A, E>, file?: string, more?: Partial<ConnectOptions>) =>
  Layer.unwrap(Effect.gen(function*() {
    const tinker = yield* connecting(more)
    return make(tinker, yield* openSaved(file))
  }))
const optimizer = (state: OptimizerState = initial, more: Partial<OptimizerTinker.OptimizerTinkerOptions> = {}, connect?: Partial<ConnectOptions>) =>
  onServer((tinker, saved) => OptimizerTinker.layer({ tinker, saved, initial: state, objective: sigmoid, options, ...more }), path.join(folder, "tinker.jsonl"), connect)
const drawing = { tokenizer, format: defaultFormat, sampling: plain, maxNewTokens: 40, maxLength: 160, stop: "</svg>", versions: 2 }

samplerContract("tinker", onServer((tinker, saved) => SamplerTinker.layer({ tinker, saved, ...drawing })), { version: 2, parameters })

const promptTokens = promptIds(tokenizer, defaultFormat, "a red circle")
const drawn = (index: number, svg: string) =>
  candidate({ index, promptIds: promptTokens, completionIds: tokenizer.encode(svg), logps: tokenizer.encode(svg).map(() => -1) })
const texts = [
  "<circle cx=\"32\" cy=\"32\" r=\"14\" fill=\"red\"/></svg>",
  "<rect x=\"4\" y=\"4\" width=\"9\" height=\"9\" fill=\"blue\"/></svg>",
  "<circle cx=\"20\" cy=\"40\" r=\"12\" fill=\"red\"/></svg>",
  "<circle cx=\"20\" cy=\"40\" r=\"12\" fill=\"green\"/></svg>"
].map((svg, index) => drawn(index, svg))
const preference = (chosen: number, rejected: number, label = 1, weight = 1) =>
  new Preference({ prompt: texts[0]!.prompt, chosen: texts[chosen]!, rejected: texts[rejected]!, label, weight, verdict: verdict() })
const pairs = [preference(0, 1), preference(2, 3, 1, 0.5), preference(0, 3)]
const advantages = texts.map((of, n) => new Advantage({ prompt: of.prompt, candidate: of, advantage: [1.2, -0.9, 0.4, -0.7][n]!, weight: 1 }))

optimizerContract("tinker", (state) => optimizer(state), initial, pairs)

const cpu = OnnxRuntime.layer("cpu", 0, { threads: 1 })
type Steps = ReadonlyArray<{ readonly metrics: Record<string, number>; readonly parameters: OptimizerState["parameters"] }>
const steps = <E>(layer: Layer.Layer<Optimizer, E>, lessons: ReadonlyArray<Lesson>, count: number): Effect.Effect<Steps, unknown> =>
  Optimizer.use((optimizer) => Effect.gen(function*() {
    const made: Array<Steps[number]> = []
    for (let n = 0; n < count; n++) {
      const { metrics, snapshot } = yield* optimizer.step(lessons)
      made.push({ metrics, parameters: snapshot.parameters })
    }
    return made
  })).pipe(Effect.provide(layer))

const gap = (a: OptimizerState["parameters"], b: OptimizerState["parameters"]) =>
  Math.max(...[...a].map(([name, { data }]) => data.reduce((most, x, i) => Math.max(most, Math.abs(x - b.get(name)!.data[i]!)), 0)))

describe("the same lessons here and on the server", () => {
  const kinds: ReadonlyArray<readonly [string, ChosenObjective, ReadonlyArray<Lesson>, Partial<typeof options>?]> = [
    ["sigmoid", { ...sigmoid, rpoAlpha: 4 }, pairs],
    ["bco_pair and sft", { ...sigmoid, lossType: ["bco_pair", "sft"], lossWeights: [1, 0.3] }, pairs],
    ["aot, which sees the whole batch", { ...sigmoid, lossType: "aot" }, pairs],
    ["grpo with a divergence, two updates a step", { ...sigmoid, lossType: "grpo", beta: 0.1, epsilon: 0.2 }, advantages, { iterations: 2 }],
    ["dapo in two parts", { ...sigmoid, lossType: "dapo", beta: 0 }, advantages, { stepsPerGeneration: 2 }],
    ["reinforce", { ...sigmoid, lossType: "reinforce", beta: 0 }, advantages]
  ]
  for (const [name, objective, lessons, more] of kinds) {
    it.live(`${name}: equal losses, log-probabilities and weights after 2 steps`, () =>
      Effect.gen(function*() {
        const own = { objective, options: { ...options, schedulerType: "linear" as const, warmupSteps: 1, totalSteps: 8, weightDecay: 0.1, ...more } }
        const remote = yield* steps(optimizer(initial, own), lessons, 2)
        const local = yield* steps(OptimizerOnnx.layer({ checkpoint, lora, initial, ...own }).pipe(Layer.provide(cpu)), lessons, 2)
        for (const [n, { metrics }] of local.entries()) {
          for (const tag of Object.keys(metrics).filter((tag) => tag !== "grad_norm" && tag !== "padding")) {
            assert.closeTo(remote[n]!.metrics[tag]!, metrics[tag]!, 1e-4 * Math.max(1, Math.abs(metrics[tag]!)), `${tag} of step ${n}`)
          }
        }
        assert.isBelow(gap(remote[1]!.parameters, local[1]!.parameters), 1e-4)
        assert.isAbove(gap(remote[1]!.parameters, parameters), 5e-4)
      }))
  }

  it.live("a server that sums, as Tinker's own does", () =>
    Effect.gen(function*() {
      const summing = yield* Effect.acquireRelease(Effect.promise(() => tinkerServer({ maxLength: 160, reduction: "sum" })), ({ close }) => Effect.promise(close))
      const remote = yield* steps(optimizer(initial, {}, { url: summing.url }), pairs, 2)
      const local = yield* steps(OptimizerOnnx.layer({ checkpoint, lora, initial, objective: sigmoid, options }).pipe(Layer.provide(cpu)), pairs, 2)
      assert.isBelow(gap(remote[1]!.parameters, local[1]!.parameters), 1e-4)
    }))
})
