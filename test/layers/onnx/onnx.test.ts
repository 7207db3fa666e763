/** The onnxruntime layers on the embedded policy: contracts, agreement of sampler and trainer, the run's invariants. */
import * as fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Stream } from "effect"
import * as BufferMemory from "../../../layers/buffer/memory.ts"
import * as JudgeCoin from "../../../layers/judge/coin.ts"
import { freeMemory, OnnxRuntime, probeDevice, startProgram } from "../../../layers/onnx/runtime.ts"
import * as OptimizerOnnx from "../../../layers/optimizer/onnx.ts"
import * as RendererResvg from "../../../layers/renderer/resvg.ts"
import * as SamplerOnnx from "../../../layers/sampler/onnx.ts"
import { trainerDefaults } from "../../../src/wiring/trainer-defaults.ts"
import { Preference } from "../../../src/domain.ts"
import { type SamplerPrecision, samplerPrecisions } from "../../../src/engine/weights/quantization.ts"
import { defaultPipeline, train } from "../../../src/pipeline.ts"
import { promptOf } from "../../../src/prompts.ts"
import { sequential } from "../../sequential.ts"
import { Optimizer, type OptimizerState } from "../../../src/stages/Optimizer.ts"
import { Policy } from "../../../src/stages/Policy.ts"
import { Sampler } from "../../../src/stages/Sampler.ts"
import { defaultFormat, promptIds } from "../../../src/model/tokenizer/tokenizer.ts"
import { optimizerContract } from "../../stages/Optimizer.contract.ts"
import { samplerContract } from "../../stages/Sampler.contract.ts"
import { candidate, verdict } from "../../stages/make.ts"
import { checkpoint, lora, parameters, sampling, tokenizer } from "../../support/embedded-policy.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"

const initial: OptimizerState = { version: 0, updates: 0, parameters, moments: new Map() }
const runtime = OnnxRuntime.layer("cpu", 0, { threads: 1 })

const cache = scratchFolder("test")

const sampler = (precision: SamplerPrecision, maxNumSeqs = 16) =>
  SamplerOnnx.layer({
    ...sampling,
    maxNumSeqs,
    precision,
    cache
  }).pipe(Layer.provide(runtime))

const optimizer = (state: OptimizerState = initial, more: Partial<OptimizerOnnx.OptimizerOnnxOptions> = {}) =>
  OptimizerOnnx.layer({
    checkpoint,
    lora,
    initial: state,
    ...trainerDefaults(160, 1024, { learningRate: 1e-3 }),
    ...more
  }).pipe(Layer.provide(runtime))

for (const precision of samplerPrecisions) samplerContract(`onnx, ${precision}`, sampler(precision), { version: 2, parameters })

const tokens = (svg: string) => tokenizer.encode(svg)
const pair = (index: number, good: string, bad: string) => {
  const promptTokens = promptIds(tokenizer, defaultFormat, "a red circle")
  const of = (index: number, svg: string) =>
    candidate({ index, promptIds: promptTokens, completionIds: tokens(svg), logps: tokens(svg).map(() => -1) })
  const chosen = of(2 * index, good)
  return new Preference({ prompt: chosen.prompt, chosen, rejected: of(2 * index + 1, bad), label: 1, weight: 1, verdict: verdict() })
}
const pairs = [
  pair(0, "<circle cx=\"32\" cy=\"32\" r=\"14\" fill=\"red\"/></svg>", "<rect x=\"4\" y=\"4\" width=\"9\" height=\"9\" fill=\"blue\"/></svg>"),
  pair(1, "<circle cx=\"20\" cy=\"40\" r=\"12\" fill=\"red\"/></svg>", "<circle cx=\"20\" cy=\"40\" r=\"12\" fill=\"green\"/></svg>")
]
optimizerContract("onnx", (state) => optimizer(state), initial, pairs)
optimizerContract("onnx, its reference moves", (state) =>
  optimizer(state, {
    reference: parameters,
    objective: { lossType: "sigmoid", beta: 0.5, labelSmoothing: 0 },
    options: trainerDefaults(160, 1024, { learningRate: 1e-3, syncReference: { alpha: 1, steps: 2 } }).options
  }), initial, pairs)

describe("an interrupted call", () => {
  it.live("leaves weights and version of one step, whenever it comes", () =>
    Effect.gen(function*() {
      const { state, step } = yield* Optimizer
      for (const ms of [0, 5, 20, 60, 120, 250]) {
        const fiber = yield* Effect.forkChild(step(pairs), { startImmediately: true })
        yield* Effect.sleep(ms)
        yield* Fiber.interrupt(fiber)
        const { updates, version } = yield* state
        assert.strictEqual(version, updates, `after ${ms} ms`)
      }
    }).pipe(Effect.provide(optimizer())))

  it.live("is the last run of its thread: long work ends with the run under way", () =>
    Effect.gen(function*() {
      const prompts = Array.from({ length: 40 }, (_, n) => promptOf(`${n} pelicans`))
      const work = Sampler.use((sampler) => sampler.sample({ step: 0, prompts, k: 8, seed: 3, policy: { version: 0, parameters } }))
      const fiber = yield* Effect.forkChild(Effect.provide(work, sampler("float32")), { startImmediately: true })
      yield* Effect.sleep(1500)
      const [took] = yield* Effect.timed(Fiber.interrupt(fiber)) // its thread included
      assert.isBelow(Duration.toMillis(took), 5000)
    }))
})

describe("sampler and trainer", () => {
  it.live("agree on the log-probability of every sampled token to 1e-4 nats, adapter on", () =>
    Effect.gen(function*() {
      // An adapter that changes something: both factors random.
      const moved = new Map([...parameters].map(([name, { data, shape }], i) => [
        name,
        { shape, data: data.map((x, j) => x + 0.05 * Math.sin(i + j)) }
      ]))
      const groups = yield* Sampler.use((sampler) =>
        sampler.sample({
          step: 0,
          prompts: ["a pelican", "a red cat riding a blue bicycle", "three green stars"].map(promptOf),
          k: 4,
          seed: 3,
          policy: { version: 0, parameters: moved }
        })
      ).pipe(Effect.provide(sampler("float32")))
      const candidates = groups.flat()
      const trainer = yield* startProgram("trainer", {
        checkpoint,
        lora,
        parameters: moved,
        ...trainerDefaults(160, 1024),
        device: "cpu",
        threads: 1
      })
      const logps = yield* trainer.logps(
        candidates.map(({ completionIds, promptIds }) => ({
          ids: [...promptIds, ...completionIds],
          promptLength: promptIds.length
        })),
        false
      )
      let tokens = 0
      candidates.forEach((candidate, n) =>
        candidate.logps.forEach((logp, t) => {
          tokens++
          assert.approximately(logps[n]![t]!, logp, 1e-4)
        })
      )
      assert.isAbove(tokens, 100)
    }).pipe(Effect.scoped))

  it.live("the prefill is part of the prompt and of the drawing, never of the completion", () =>
    Effect.gen(function*() {
      const [[first]] = (yield* Sampler.use((sampler) =>
        sampler.sample({ step: 0, prompts: [promptOf("a fish")], k: 1, seed: 1, policy: { version: 0, parameters } })
      ).pipe(Effect.provide(sampler("float32")))) as [[ReturnType<typeof candidate>]]
      assert.isTrue(first.svg.startsWith(defaultFormat.prefill))
      assert.isTrue(tokenizer.decode(first.promptIds).endsWith(defaultFormat.prefill))
      assert.strictEqual(defaultFormat.prefill + tokenizer.decode(first.completionIds), first.svg)
    }))
})

describe("a run on real layers", () => {
  const config = { ...defaultPipeline, steps: 3, promptsPerStep: 3, promptsPerBatch: 2, k: 3, maxStaleness: 0 }
  const prompts = ["a pelican", "a bicycle", "a red circle above a blue square", "two pink hearts"].map(promptOf)
  const stages = () =>
    Layer.mergeAll(
      sampler("float32"),
      optimizer(),
      RendererResvg.layer({ size: 64 }),
      JudgeCoin.layer(5),
      BufferMemory.layer({ maxStaleness: 0, staleWeight: 1 }),
      Policy.layer({ version: 0, parameters }, 1)
    )
  const numbers = (metrics: Readonly<Record<string, number>>) =>
    Object.fromEntries(Object.entries(metrics).filter(([name]) => !name.startsWith("seconds/")))

  it.live("at staleness 0 equals the sequential run bit for bit", () =>
    Effect.gen(function*() {
      const final = Effect.map(Policy.use(({ latest }) => latest), ({ parameters }) => parameters)
      const run = <A, E, R>(work: Effect.Effect<A, E, R>) =>
        Effect.all([work, final]).pipe(Effect.provide(stages(), { local: true }))
      const [streamed, streamedParameters] = yield* run(Stream.runCollect(train(config, prompts)))
      const [plainly, plainParameters] = yield* run(sequential(config, prompts))
      assert.isAbove(streamed.reduce((n, { metrics }) => n + metrics["pairs/trained"]!, 0), 5)
      assert.deepStrictEqual(streamed.map(({ metrics }) => numbers(metrics)), plainly.map(({ metrics }) => numbers(metrics)))
      for (const [name, { data }] of streamedParameters) assert.deepStrictEqual(data, plainParameters.get(name)!.data, name)
    }))
})

describe("devices", () => {
  it.live("a device that is not there is refused in one sentence, or runs", () =>
    Effect.gen(function*() {
      const result = yield* Effect.result(
        Effect.scoped(Layer.build(OnnxRuntime.layer("cuda", 1e9)))
      )
      if (result._tag === "Success") return // a machine with CUDA installed
      assert.strictEqual(result.failure._tag, "DeviceUnavailable")
      assert.match(result.failure.message, /^--device cuda does not run on this machine .*use --device auto or cpu\.$/)
    }))

  it.live.skipIf(!fs.existsSync("/proc"))("is tried by a process that has no secret of this one", () =>
    Effect.gen(function*() {
      process.env["ANTHROPIC_API_KEY"] = "sk-of-the-parent"
      const trying = yield* Effect.forkChild(probeDevice("cpu"))
      let seen: string | undefined
      while (seen === undefined || !seen.includes("PATH=")) { // empty until the process has its program
        yield* Effect.sleep(2)
        seen = environments("device-probe")[0] ?? seen
      }
      delete process.env["ANTHROPIC_API_KEY"]
      assert.notInclude(seen, "ANTHROPIC")
      assert.isUndefined(yield* Fiber.join(trying))
    }))

  it.effect("more memory than there is, is refused before anything is allocated", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(OnnxRuntime.use(({ reserve }) => reserve("trainer", 1e15)).pipe(Effect.provide(runtime)))
      assert.strictEqual(error._tag, "NotEnoughMemory")
      assert.match(error.message, /^The trainer needs about 1000000\.0 GB and .* GB are free/)
    }))

  it.effect("memory that fits alone is refused beside an earlier reservation", () =>
    Effect.gen(function*() {
      const { reserve } = yield* OnnxRuntime
      const most = 0.6 * freeMemory()
      yield* reserve("sampler", most)
      const error = yield* Effect.flip(reserve("trainer", most))
      assert.match(error.message, /^The trainer needs about [\d.]+ GB, besides [\d.]+ GB for the rest of the run, and [\d.]+ GB are free: take/)
    }).pipe(Effect.provide(OnnxRuntime.layer("cpu", 1, { threads: 1 }))))
})

/** Of the processes that this one started with such a program, from Linux. */
const environments = (program: string): ReadonlyArray<string> =>
  fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const read = (name: string) => fs.readFileSync(`/proc/${pid}/${name}`, "utf8")
      const parent = Number(read("stat").split(") ").at(-1)!.split(" ")[1])
      return parent === process.pid && read("cmdline").includes(program) ? [read("environ")] : []
    } catch {
      return []
    }
  })
