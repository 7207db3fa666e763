/**
 * The same lessons here and on a real Tinker server (skyrl-tx on the CPU), which is killed and started again in between.
 * TINKER_PYTHON names a Python that has it (bench/peers/README.md); without one the tests are skipped.
 */
import { execFileSync, spawn } from "node:child_process"
import * as http from "node:http"
import * as path from "node:path"
import { Context, Effect, Layer, Stream } from "effect"
import { afterAll, assert, describe, it } from "vitest"
import * as BufferMemory from "../../layers/buffer/memory.ts"
import * as JudgeClip from "../../layers/judge/clip.ts"
import { OnnxRuntime } from "../../layers/onnx/runtime.ts"
import * as OptimizerOnnx from "../../layers/optimizer/onnx.ts"
import * as OptimizerTinker from "../../layers/optimizer/tinker.ts"
import * as RendererResvg from "../../layers/renderer/resvg.ts"
import * as SamplerOnnx from "../../layers/sampler/onnx.ts"
import * as SamplerTinker from "../../layers/sampler/tinker.ts"
import { connectTinker } from "../../layers/tinker/connect.ts"
import { openSaved } from "../../layers/tinker/saved.ts"
import { drawAndMeasure } from "../../src/evaluation/drawings.ts"
import { sceneScorer } from "../../src/evaluation/scene-check.ts"
import { defaultPipeline, type PipelineConfig, train } from "../../src/pipeline.ts"
import { embeddedPrompts } from "../../src/prompts.ts"
import type { ChosenObjective } from "../../src/objectives/objectives.ts"
import { Optimizer } from "../../src/stages/Optimizer.ts"
import { Policy, type PolicySnapshot } from "../../src/stages/Policy.ts"
import { Sampler } from "../../src/stages/Sampler.ts"
import { embedded } from "../../src/system/installed.ts"
import { trainerDefaults } from "../../src/wiring/trainer-defaults.ts"
import { checkpoint, sampling, tokenizer } from "../support/embedded-policy.ts"
import { listening } from "../support/loopback.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const python = process.env["TINKER_PYTHON"] ?? "python3"
const script = path.resolve(import.meta.dirname, "../../bench/peers/tinker_server.py")
const versions = (() => {
  try {
    return execFileSync(python, ["-c", "import importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in ('skyrl-tx', 'jax', 'flax', 'optax')))"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim()
  } catch {
    return undefined
  }
})()
console.error(versions === undefined ? `${python} has no skyrl-tx: nothing is compared (bench/peers/README.md says what to install, and TINKER_PYTHON names its Python).` : versions)

const folder = scratchFolder("tinker-peer")
const { heldOut, train: prompts } = embeddedPrompts(64)
const maxLength = 256
const steps = 10

describe.skipIf(versions === undefined)("10 steps here and on skyrl-tx", () => {
  let server: ReturnType<typeof spawn>
  const start = (port: string) => void (server = spawn(python, [script, "--base-model", embedded("policy"), "--port", port, "--state", folder, "--with-parent"], { stdio: ["pipe", "ignore", "ignore"] }))
  /** kill -9 of API and engine, and the same command again. */
  const killAndStart = async (port: string) => {
    const ended = new Promise((resolve) => server.once("close", resolve))
    server.kill("SIGTERM")
    await ended
    start(port)
  }
  afterAll(() => void server?.kill("SIGTERM"))

  const objectives: ReadonlyArray<readonly [string, ChosenObjective, Partial<PipelineConfig>]> = [
    ["DPO", { lossType: "sigmoid", beta: 0.1, labelSmoothing: 0, rpoAlpha: 4 }, { lessons: "preferences", pairs: "best-worst" }],
    ["GRPO", { lossType: "grpo", beta: 0.02, labelSmoothing: 0, epsilon: 0.2 }, { lessons: "advantages", reward: "win_rate", scaleRewards: "group" }]
  ]
  it("losses and log-probabilities to 1e-3, and the same rise on held-out prompts; killed in step 6", async () => {
    const free = await listening(http.createServer())
    const port = new URL(free.url).port
    await free.close()
    start(port)
    await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
      const tinker = yield* connectTinker({ url: `http://127.0.0.1:${port}`, apiKey: undefined, checkpoint, baseModel: undefined, rank: 16, seed: 3 })
      const saved = yield* openSaved(undefined)
      console.error(`gradients: ${tinker.reduction}`)
      const initial = { version: 0, updates: 0, parameters: tinker.initial, moments: new Map() }
      const runtime = OnnxRuntime.layer("cpu", 0, { threads: 1 })
      const { options } = trainerDefaults(maxLength, 2048, { learningRate: 1e-3 })
      for (const [name, objective, lessons] of objectives) {
        const compared: Array<readonly [here: Record<string, number>, there: Record<string, number>]> = []
        let remote: PolicySnapshot = initial
        const both = Layer.effect(Optimizer, Effect.gen(function*() {
          const here = Context.get(yield* Layer.build(OptimizerOnnx.layer({ checkpoint, lora: tinker.lora, initial, objective, options })), Optimizer)
          const there = Context.get(yield* Layer.build(OptimizerTinker.layer({ tinker, saved, initial, objective, options })), Optimizer)
          return Optimizer.of({
            ...here,
            step: (lessons) => Effect.gen(function*() {
              const own = yield* here.step(lessons)
              if (compared.length === steps / 2) setTimeout(() => void killAndStart(port), 1000)
              const other = yield* there.step(lessons)
              compared.push([own.metrics, other.metrics])
              remote = other.snapshot
              console.error(`${name} step ${compared.length}: loss ${own.metrics["loss"]} here, ${other.metrics["loss"]} there`)
              return own
            })
          })
        }))
        const stages = Layer.mergeAll(
          both,
          SamplerOnnx.layer({ ...sampling, lora: tinker.lora, maxNewTokens: 160, maxLength, maxNumSeqs: 64, precision: "float32", cache: "" }),
          RendererResvg.layer({ size: 112 }),
          JudgeClip.layer({ model: embedded("clip") }),
          BufferMemory.layer({ maxStaleness: 0, staleWeight: 1 }),
          Policy.layer(initial, 1)
        ).pipe(Layer.provide(runtime))
        yield* Effect.gen(function*() {
          yield* Stream.runDrain(train({ ...defaultPipeline, steps, promptsPerStep: 8, k: 4, maxStaleness: 0, ...lessons }, prompts))
          const score = (policy: PolicySnapshot) =>
            drawAndMeasure({ prompts: heldOut, policy, temperature: 1, k: 2, seed: 1, step: -1, scorers: [sceneScorer], atOnce: 64, onDrawn: () => Effect.void }).pipe(
              Effect.map((all) => {
                const scores = all.flatMap(({ drawings }) => drawings.map((drawn) => drawn.scores.get(sceneScorer.name) ?? 0))
                return scores.reduce((sum, x) => sum + x, 0) / scores.length
              })
            )
          const local = yield* (yield* Policy).latest
          const scores = { before: yield* score(initial), here: yield* score(local), there: yield* score(remote) }
          const gap = Math.max(...[...local.parameters].map(([name, { data }]) => data.reduce((most, x, i) => Math.max(most, Math.abs(x - remote.parameters.get(name)!.data[i]!)), 0)))
          const tags = Object.keys(compared[0]![0]).filter((tag) => /^(loss|nll_loss|logps|rewards|objective|advantages)/.test(tag))
          const gaps = Object.fromEntries(tags.map((tag) => [tag, Math.max(...compared.map(([here, there]) => Math.abs(here[tag]! - there[tag]!)))]))
          console.error(`${name}: held out ${JSON.stringify(scores)}; largest gaps ${JSON.stringify({ ...gaps, parameters: gap })}`)
          for (const [n, [here, there]] of compared.entries()) {
            for (const tag of tags) assert.closeTo(there[tag]!, here[tag]!, 1e-3 * Math.max(1, Math.abs(here[tag]!)), `${tag} of step ${n}`)
          }
          assert.isAbove(scores.here, scores.before)
          assert.isAbove(scores.there, scores.before)
          assert.closeTo(scores.there, scores.here, 0.03)
        }).pipe(Effect.provide(stages))
      }

      // What the server draws from its newest version is as likely here as it says.
      yield* Effect.gen(function*() {
        const { sample } = yield* Sampler
        const [candidates] = yield* sample({ step: 0, prompts: heldOut.slice(0, 1), k: 4, seed: 1, policy: initial })
        assert.isTrue(candidates!.every(({ completionIds, logps }) => completionIds.length === logps.length && logps.length > 0))
      }).pipe(Effect.provide(SamplerTinker.layer({ ...sampling, tinker, saved, tokenizer, maxLength, versions: 1 })))
    })))
  }, 3_000_000)
})
