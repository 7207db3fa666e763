/**
 * The same small models in transformers, peft, TRL and torch (test/golden/make.py; versions in test/golden/README.md):
 * logits, log-probabilities, gradients, losses, updates and filters must agree.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SamplerProgram } from "../../layers/onnx/sampler-program.ts"
import { completionLength, maskFeeds, sequenceFeeds } from "../../layers/onnx/sequences.ts"
import { createSession, type Feeds, float32, int64, type Session } from "../../layers/onnx/session.ts"
import { graphs } from "../../layers/onnx/trainer-graphs.ts"
import { Trainer, type TrainerSpec } from "../../layers/onnx/trainer-program.ts"
import { openDecoder, openWeights, readParameters } from "../../src/model/model-folder.ts"
import { trainerDefaults } from "../../src/wiring/trainer-defaults.ts"
import { adamwStep, clipGradients, initialState, schedule } from "../../src/engine/training/adamw.ts"
import { Graph } from "../../src/engine/graph/graph.ts"
import { keptOf, plain } from "../../src/engine/sampling/sampling.ts"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import { prefill } from "../../src/engine/sampling/decoding.ts"
import { allLinear } from "../../src/engine/nets/transformer.ts"

const folder = path.join(import.meta.dirname, "../golden")
const read = (file: string) => JSON.parse(fs.readFileSync(path.join(folder, file), "utf8"))
const cpu = { device: "cpu", threads: 1 } as const
const lora = { r: 4, alpha: 8, targets: allLinear }
const feedsOf = (parameters: Parameters): Feeds =>
  Object.fromEntries([...parameters].map(([name, { data, shape }]) => [name, float32(shape, data)]))
const norm = (xs: ArrayLike<number>) => Math.sqrt(Array.from(xs).reduce((n, x) => n + x * x, 0))

describe.each(["qwen3", "qwen2", "llama", "gemma3_text"])("%s beside transformers", (family) => {
  const golden = read(`${family}/golden.json`)
  const rows: Array<Array<number>> = golden.input_ids.map((ids: Array<number>, n: number) =>
    ids.slice(0, golden.attention_mask[n].reduce((a: number, b: number) => a + b, 0))
  )
  const sequences = rows.map((ids, n) => ({ ids, promptLength: golden.prompt_lengths[n] as number }))
  const setUp = async (adapted: boolean, full: boolean): Promise<TrainerSpec> => {
    const checkpoint = await Effect.runPromise(openDecoder(path.join(folder, family)))
    const adapter = await Effect.runPromise(openWeights(path.join(folder, family, "adapter"), "adapter_model.safetensors"))
    return {
      checkpoint,
      lora: adapted ? lora : undefined,
      parameters: full ? readParameters(checkpoint) : adapted ? readParameters(adapter) : new Map(),
      ...trainerDefaults(64, 4096),
      ...cpu
    }
  }
  const using = async <A>(spec: TrainerSpec, kind: keyof typeof graphs, use: (session: Session) => Promise<A>) => {
    const session = await createSession(graphs[kind](spec), { ...cpu, weights: "mapped", weightsFolder: spec.checkpoint.folder })
    try {
      return await use(session)
    } finally {
      await session.release()
    }
  }

  it("logits of every position, to 1e-4 (prefill graph)", async () => {
    const { checkpoint } = await setUp(false, false)
    const { config } = checkpoint
    const g = new Graph()
    prefill(g, config, { index: checkpoint.index, trainable: "none", lora: undefined }, 64, { minP: false })
    const session = await createSession(g, { ...cpu, weights: "prepared", weightsFolder: checkpoint.folder })
    const ids = rows[0]!
    const time = ids.length
    const { logits } = await session.run({
      ids: int64([time, time], ids.flatMap(() => ids)),
      positions: int64([time, time], ids.flatMap(() => ids.map((_, t) => t))),
      ...maskFeeds(config, time),
      last: int64([time], ids.map((_, t) => t * time + t)),
      inverse_temperature: float32([time, 1], new Float32Array(time).fill(1))
    })
    await session.release()
    golden.logits.flat().forEach((x: number, i: number) => assert.approximately(Number(logits!.data[i]), x, 1e-4))
  })

  it.each([false, true])("per-token log-probabilities, to 1e-4 nats (adapter: %s)", async (adapted) => {
    const trainer = new Trainer(await setUp(adapted, false))
    const logps = await trainer.logps(rows.map((ids) => ({ ids, promptLength: 1 })), !adapted)
    await trainer.release()
    const expected = adapted ? golden.lora_logps : golden.logps
    logps.forEach((row, n) => row.forEach((x, t) => assert.approximately(x, expected[n][t], 1e-4)))
  })

  it("sums over completion tokens leave prompt and padding out", async () => {
    const trainer = new Trainer(await setUp(false, false))
    const logps = await trainer.logps(sequences, true)
    await trainer.release()
    logps.forEach((row, n) => assert.approximately(row.reduce((a, b) => a + b, 0), golden.sum_logps[n], 1e-3))
  })

  it("gradients of every parameter under cross-entropy, to 1e-3 relative", async () => {
    const spec = await setUp(false, true)
    const tokens = sequences.reduce((n, s) => n + s.ids.length - s.promptLength, 0)
    const out = await using(spec, "objective", (session) =>
      session.run({
        ...sequenceFeeds(spec.checkpoint.config, sequences),
        ...feedsOf(spec.parameters),
        lengths: float32([sequences.length], Float32Array.from(sequences, completionLength)),
        scale: float32([1], Float32Array.of(-1 / tokens))
      }))
    assert.approximately(Number(out["loss"]!.data[0]), golden.full_grads.loss, 1e-5)
    const expected = golden.full_grads.grads as ReadonlyArray<{ name: string; norm: number; first: Array<number> }>
    assert.strictEqual(expected.length, spec.parameters.size)
    for (const { first, name, norm: length } of expected) {
      const grad = out[`grad.${name}`]!.data as Float32Array
      assert.approximately(norm(grad) / length, 1, 1e-3, name)
      first.forEach((x, i) => assert.approximately(grad[i]!, x, 1e-3 * length, `${name}[${i}]`))
    }
  })

  it("gradients of every LoRA factor under DPO, to 1e-3 relative", async () => {
    const spec = await setUp(true, false)
    const out = await using({ ...spec, objective: { lossType: "sigmoid", beta: 0.1, labelSmoothing: 0, nu: 3 } }, "objective", (session) =>
      session.run({
        ...sequenceFeeds(spec.checkpoint.config, sequences),
        ...feedsOf(spec.parameters),
        lengths: float32([3], Float32Array.of(1, 1, 1)),
        chosen: int64([2], [0, 2]),
        rejected: int64([2], [1, 0]),
        right: float32([2], Float32Array.of(1, 1)),
        wrong: float32([2], Float32Array.of(0, 0)),
        weights: float32([2], Float32Array.of(0.5, 0.5))
      }))
    assert.approximately(Number(out["loss"]!.data[0]), golden.lora_grads.dpo_loss, 1e-5)
    const expected = golden.lora_grads.grads as ReadonlyArray<{ name: string; norm: number; grad: Array<number> }>
    assert.strictEqual(expected.length, spec.parameters.size)
    for (const { grad, name, norm: length } of expected) {
      const got = out[`grad.${name}`]!.data as Float32Array
      grad.forEach((x, i) => assert.approximately(got[i]!, x, 1e-3 * length, `${name}[${i}]`))
    }
  })

  it.each([false, true])("greedy decoding with the cache, token for token (prompts shared: %s)", async (sharePrompts) => {
    const { checkpoint } = await setUp(false, false)
    const maxLength = checkpoint.config.maxPositions
    const sampler = new SamplerProgram({ checkpoint, lora: undefined, maxLength, maxNumSeqs: 8, sharePrompts, tokenTexts: [], ...cpu })
    const prompt = rows[0]!.slice(0, 4)
    // Two prompts of different lengths share the run: padding must not matter.
    const out = await sampler.sample({
      prompts: [{ ids: prompt, seeds: [1, 2] }, { ids: rows[1]!, seeds: [3, 4] }],
      parameters: readParameters(checkpoint),
      options: { ...plain, temperature: 0 },
      maxNewTokens: golden.greedy.length,
      stop: "</svg>",
      eosIds: []
    })
    await sampler.release()
    assert.deepStrictEqual(out[0]![0]!.ids, golden.greedy)
    assert.deepStrictEqual(out[0]![1]!.ids, golden.greedy)
  })

  it.each([
    { sharePrompts: false, maxNumSeqs: 8, k: 2 },
    { sharePrompts: true, maxNumSeqs: 8, k: 2 },
    { sharePrompts: true, maxNumSeqs: 3, k: 2 }, // prompts come and go
    { sharePrompts: true, maxNumSeqs: 8, k: 1 }, // none is worth sharing
    { sharePrompts: false, maxNumSeqs: 8, k: 2, draftTokens: 3 },
    { sharePrompts: true, maxNumSeqs: 3, k: 2, draftTokens: 6 }
  ])("the sampler's log-probabilities are the trainer's, to 1e-4 nats (adapter on, %o)", async ({ k, ...how }) => {
    const spec = await setUp(true, false)
    const sampler = new SamplerProgram({ checkpoint: spec.checkpoint, lora, maxLength: 64, tokenTexts: [], ...how, ...cpu })
    const prompts = [
      { ids: rows[0]!.slice(0, 4), seeds: [1, 2].slice(0, k) },
      { ids: rows[1]!, seeds: [3, 4].slice(0, k) },
      { ids: rows[0]!, seeds: [7, 8].slice(0, k) }
    ]
    const call = {
      prompts,
      parameters: spec.parameters,
      options: plain,
      maxNewTokens: 40, // past the first growth of the cache
      stop: "</svg>",
      eosIds: [5] // rows that are done leave the cache
    }
    const alone = await sampler.sample(call)
    const history = { key: 0, completions: alone.flat().map(({ ids }) => ids) }
    const out = how.draftTokens === undefined ? alone : await sampler.sample({ ...call, history })
    await sampler.release()
    assert.deepStrictEqual(out.flat().map(({ ids }) => ids), history.completions)
    if (how.draftTokens !== undefined) assert.isTrue(out.flat().some(({ forwards = 0, ids }) => 2 * forwards < ids.length))
    const sampled = out.flatMap((group, n) => group.map((row) => ({ ...row, prompt: prompts[n]!.ids })))
    const trainer = new Trainer(spec)
    const logps = await trainer.logps(
      sampled.map(({ ids, prompt }) => ({ ids: [...prompt, ...ids], promptLength: prompt.length })),
      false
    )
    await trainer.release()
    assert.isAbove(Math.max(...sampled.map(({ ids }) => ids.length)), 33)
    sampled.forEach((row, n) => row.logps.forEach((x, t) => assert.approximately(logps[n]![t]!, x, 1e-4)))
  })
})

describe("updates and schedules beside torch and transformers, to 1e-6", () => {
  const golden = read("adamw.json")

  it("AdamW", () => {
    for (const c of golden.adamw) {
      const parameters = new Map([["w", { shape: [c.parameters.length], data: Float32Array.from(c.parameters) }]])
      const state = initialState()
      c.gradients.forEach((gradient: Array<number>, step: number) => {
        adamwStep(parameters, new Map([["w", Float32Array.from(gradient)]]), state, {
          learningRate: c.lr,
          beta1: c.betas[0],
          beta2: c.betas[1],
          epsilon: c.eps,
          weightDecay: c.weight_decay
        })
        c.after[step].forEach((x: number, i: number) => assert.approximately(parameters.get("w")!.data[i]!, x, 1e-6))
      })
    }
  })

  it("gradient clipping", () => {
    for (const { clipped, gradients, max_norm, total_norm } of golden.clip_grad_norm) {
      const given = new Map<string, Float32Array>(
        gradients.map((g: Array<number>, i: number) => [`${i}`, Float32Array.from(g)])
      )
      assert.approximately(clipGradients(given, max_norm), total_norm, 1e-5)
      clipped.forEach((g: Array<number>, i: number) =>
        g.forEach((x, j) => assert.approximately(given.get(`${i}`)![j]!, x, 1e-6))
      )
    }
  })

  it("cosine and constant schedules with warm-up", () => {
    const { constant, cosine, total_steps, warmup_steps } = golden.schedules
    for (let step = 0; step < total_steps; step++) {
      assert.approximately(schedule("cosine", step, warmup_steps, total_steps), cosine[step], 1e-6)
      assert.approximately(schedule("constant_with_warmup", step, warmup_steps, total_steps), constant[step], 1e-6)
    }
  })
})

it("token filters beside transformers, to 1e-6", () => {
  const { cases, input_ids: seen, logits } = read("sampling.json")
  const names = { temperature: "temperature", top_k: "topK", top_p: "topP", min_p: "minP", repetition_penalty: "repetitionPenalty" }
  for (const { options: given, probabilities: expected } of cases) {
    const chosen = Object.fromEntries(Object.entries(names).flatMap(([theirs, own]) => theirs in given ? [[own, given[theirs]]] : []))
    assert.strictEqual(Object.keys(chosen).length, Object.keys(given).length, "every option of the case is known here")
    const { ids, shares } = keptOf(Float32Array.from(logits), { ...plain, ...chosen }, seen)
    const got = new Float64Array(logits.length)
    ids.forEach((id, place) => (got[id] = shares[place]!))
    expected.forEach((x: number, i: number) => assert.approximately(got[i]!, x, 1e-6, `${JSON.stringify(given)} ${i}`))
  }
})
