/** Adapters from elsewhere: peft's own folders, with the numbers peft gets; and ours, as others read them. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { afterAll } from "vitest"
import { SamplerProgram } from "../../layers/onnx/sampler-program.ts"
import { Trainer } from "../../layers/onnx/trainer-program.ts"
import { type Adapter, adapterFiles, openAdapter } from "../../src/model/adapter.ts"
import { type DecoderCheckpoint, openDecoder, openWeights } from "../../src/model/model-folder.ts"
import { train } from "../../src/commands/train.ts"
import type { Example } from "../../src/objectives/objective.ts"
import { trainerDefaults } from "../../src/wiring/trainer-defaults.ts"
import { openFactors } from "../../src/model/lora-factors.ts"
import { writeMerged } from "../../src/model/merge.ts"
import { factorsOf, initialAdapter } from "../../src/engine/weights/parameters.ts"
import { plain } from "../../src/engine/sampling/sampling.ts"
import { modulesOf } from "../../src/engine/nets/transformer.ts"
import { bareRun, commandLine } from "../support/command-line.ts"

const golden = path.join(import.meta.dirname, "../golden")
const folderOf = (name: string) => path.join(golden, "adapters", name)
const work = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-adapter-"))
const cli = commandLine()
afterAll(() => {
  fs.rmSync(work, { recursive: true, force: true })
  cli.remove()
})

const read = (file: string) => JSON.parse(fs.readFileSync(file, "utf8"))
const goldenOf = (name: string) => {
  const { base, logps, modules } = read(path.join(folderOf(name), "golden.json"))
  const { attention_mask, input_ids } = read(path.join(golden, base, "golden.json"))
  const rows: Array<Array<number>> = input_ids.map((ids: Array<number>, n: number) => ids.filter((_, t) => attention_mask[n][t] === 1))
  return { base: path.join(golden, base), logps, modules, rows }
}
const cpu = { device: "cpu", threads: 1 } as const
const trainerOf = (checkpoint: DecoderCheckpoint, adapter: Adapter | undefined, more: { readonly reference?: Adapter["parameters"] } = {}) =>
  new Trainer({
    checkpoint,
    lora: adapter?.lora,
    parameters: adapter?.parameters ?? new Map(),
    ...trainerDefaults(64, 4096),
    objective: { lossType: "sigmoid", beta: 0.1, labelSmoothing: 0, nu: 3 },
    ...cpu,
    ...more
  })
const assertLogps = async (trainer: Trainer, reference: boolean, name: string) => {
  const { logps, rows } = goldenOf(name)
  const got = await trainer.logps(rows.map((ids) => ({ ids, promptLength: 1 })), reference)
  await trainer.release()
  got.forEach((row, n) => row.forEach((x, t) => assert.approximately(x, logps[n][t], 1e-4)))
}
/** What a program wrote to a folder of its own. */
const written = (files: ReadonlyArray<readonly [string, string | Uint8Array]>) => {
  const folder = fs.mkdtempSync(path.join(work, "adapter-"))
  for (const [name, bytes] of files) fs.writeFileSync(path.join(folder, name), bytes)
  return folder
}

describe.each(["patterns", "all-linear", "one-layer"])("peft's adapter %s", (name) => {
  it("has peft's log-probabilities, to 1e-4 nats", async () => {
    const { base, modules } = goldenOf(name)
    const checkpoint = await Effect.runPromise(openDecoder(base))
    const adapter = await Effect.runPromise(openAdapter(folderOf(name), checkpoint))
    assert.strictEqual(adapter.parameters.size, 2 * modules)
    await assertLogps(trainerOf(checkpoint, adapter), false, name)
  })

  it("is written again as it was read", async () => {
    const checkpoint = await Effect.runPromise(openDecoder(goldenOf(name).base))
    const { lora, parameters } = await Effect.runPromise(openAdapter(folderOf(name), checkpoint))
    const again = await Effect.runPromise(openAdapter(written(adapterFiles(parameters, lora, { name: "base", revision: null })), checkpoint))
    assert.deepStrictEqual(again.lora, lora)
    assert.deepStrictEqual(again.parameters, parameters)
  })

  it("is drawn from with the log-probabilities that are trained", async () => {
    const checkpoint = await Effect.runPromise(openDecoder(goldenOf(name).base))
    const adapter = await Effect.runPromise(openAdapter(folderOf(name), checkpoint))
    const sampler = new SamplerProgram({ checkpoint, lora: adapter.lora, maxLength: 32, maxNumSeqs: 8, tokenTexts: [], ...cpu })
    const prompt = [3, 5, 7]
    const groups = await sampler.sample({
      prompts: [{ ids: prompt, seeds: [1] }],
      parameters: adapter.parameters,
      options: plain,
      maxNewTokens: 8,
      stop: "</svg>",
      eosIds: []
    })
    await sampler.release()
    const drawn = groups[0]![0]!
    const trainer = trainerOf(checkpoint, adapter)
    const [logps] = await trainer.logps([{ ids: [...prompt, ...drawn.ids], promptLength: prompt.length }], false)
    await trainer.release()
    drawn.logps.forEach((x, t) => assert.approximately(x, logps![t]!, 1e-4))
  })
})

describe("what is read of adapter_config.json", () => {
  const loraOf = async (name: string) => {
    const checkpoint = await Effect.runPromise(openDecoder(goldenOf(name).base))
    return (await Effect.runPromise(openFactors(folderOf(name), checkpoint))).lora
  }

  it("ranks, scales and targets by module", async () => {
    const patterns = await loraOf("patterns")
    assert.deepStrictEqual(patterns.targets, ["down_proj", "q_proj", "v_proj"])
    const at = (module: string) => factorsOf(patterns, `model.layers.${module}`)
    assert.deepStrictEqual(at("0.mlp.down_proj"), { r: 2, scale: 5 / Math.sqrt(2) })
    assert.deepStrictEqual(at("1.self_attn.q_proj"), { r: 4, scale: 8 / 2 })
    assert.deepStrictEqual(at("1.self_attn.v_proj"), { r: 6, scale: 3 / Math.sqrt(6) })
    assert.isUndefined(at("1.self_attn.k_proj"))
    assert.deepStrictEqual((await loraOf("one-layer")).targets, ["model.layers.1.mlp.up_proj", "model.layers.1.self_attn.q_proj"])
    assert.deepStrictEqual((await loraOf("all-linear")).targets, ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"])
  })

  it("a matrix outside the blocks is merged, with peft's numbers, but not trained", async () => {
    const { base } = goldenOf("lm-head")
    const checkpoint = await Effect.runPromise(openDecoder(base))
    const { message } = await Effect.runPromise(Effect.flip(openAdapter(folderOf("lm-head"), checkpoint)))
    assert.match(message, /adapts lm_head, but vequinox adapts only the matrices of attention and feed-forward blocks: fold it into its base with vequinox merge\.$/)
    const out = path.join(work, "merged")
    const factors = await Effect.runPromise(openFactors(folderOf("lm-head"), checkpoint))
    await Effect.runPromise(writeMerged(checkpoint, factors, { out, dtype: undefined, maxShardBytes: 5e9 }))
    await assertLogps(trainerOf(await Effect.runPromise(openDecoder(out)), undefined), true, "lm-head")
  })

  it("another base: the first tensor that has no place there, and what the adapter was made for", async () => {
    const checkpoint = await Effect.runPromise(openDecoder(path.join(golden, "qwen3")))
    const { message } = await Effect.runPromise(Effect.flip(openAdapter(folderOf("all-linear"), checkpoint)))
    assert.match(message, /all-linear is not an adapter of .*qwen3, it was made for golden\/llama: \S+ is \[\d+,\d+\], but the base asks for \[\d+,\d+\]\.$/)
  })
})

describe("what is written", () => {
  it("is what vLLM and llama.cpp's converter ask for", async () => {
    const checkpoint = await Effect.runPromise(openDecoder(path.join(golden, "llama")))
    const lora = { r: 4, alpha: 8, targets: ["q_proj", "down_proj"] }
    const folder = written(adapterFiles(initialAdapter(modulesOf(checkpoint.config), lora, 0), lora, { name: "some/base", revision: null }))
    const config = read(path.join(folder, "adapter_config.json"))
    const { base_model_name_or_path, bias, lora_alpha, modules_to_save, peft_type, r, target_modules, task_type, use_dora, use_rslora } = config
    assert.deepStrictEqual(
      { base_model_name_or_path, bias, lora_alpha, modules_to_save, peft_type, r, target_modules, task_type, use_dora, use_rslora },
      {
        base_model_name_or_path: "some/base",
        bias: "none",
        lora_alpha: 8,
        modules_to_save: null,
        peft_type: "LORA",
        r: 4,
        target_modules: ["q_proj", "down_proj"],
        task_type: "CAUSAL_LM",
        use_dora: false,
        use_rslora: false
      }
    )
    const { index } = await Effect.runPromise(openWeights(folder, "adapter_model.safetensors"))
    assert.strictEqual(index.size, 8)
    for (const name of index.keys()) {
      assert.match(name, /^base_model\.model\.model\.layers\.\d+\.(self_attn\.q_proj|mlp\.down_proj)\.lora_[AB]\.weight$/)
    }
  })
})

describe("training from an adapter", () => {
  it("begins at the reference, whatever the adapter", async () => {
    const checkpoint = await Effect.runPromise(openDecoder(path.join(golden, "qwen3")))
    const adapter = await Effect.runPromise(openAdapter(folderOf("patterns"), checkpoint))
    const { rows } = goldenOf("patterns")
    const batch = {
      sequences: rows.map((ids) => ({ ids, promptLength: 3 })),
      examples: [{ members: [0, 1], signal: 1, weight: 1 }, { members: [2, 0], signal: 1, weight: 1 }] satisfies Array<Example>
    }
    const firstLoss = async (reference: Adapter["parameters"] | undefined) => {
      const trainer = trainerOf(checkpoint, adapter, reference === undefined ? {} : { reference })
      const metrics = await trainer.update(batch)
      await trainer.release()
      return metrics
    }
    const [from, without] = [await firstLoss(adapter.parameters), await firstLoss(undefined)]
    assert.approximately(from["loss"]!, Math.LN2, 1e-6)
    assert.approximately(from["objective/kl"]!, 0, 1e-5)
    assert.isAbove(Math.abs(without["loss"]! - Math.LN2), 1e-2, "the adapter differs from its base")
    assert.approximately(from["logps/chosen"]!, without["logps/chosen"]!, 1e-5)
  })

  const lora = { r: 3, alpha: 5, targets: ["q_proj", "up_proj"], rankStabilized: true }
  const checkpoint = Effect.runPromise(openDecoder(path.resolve(golden, "../../models/policy")))
  const made = checkpoint.then(({ config }) => {
    const parameters = initialAdapter(modulesOf(config), lora, 7)
    parameters.forEach(({ data }) => data.forEach((x, i) => (data[i] = x + 0.02 * Math.sin(i))))
    return { parameters, folder: written(adapterFiles(parameters, lora, { name: "base", revision: null })) }
  })

  it("vequinox train --adapter keeps its rank, modules and numbers", async () => {
    const { folder, parameters } = await made
    const out = path.join(cli.work, "run")
    const small = "--steps 1 --prompts-per-step 2 --rpo-alpha 0 --learning-rate 1e-3 --warmup-steps 0 --judge coin --trust-pairs 0 --json".split(" ")
    const { code, stderr, stdout } = await cli.vequinox({}, "train", "--adapter", folder, "--out", out, ...small, ...bareRun)
    assert.strictEqual(code, 0, stderr)
    assert.approximately(JSON.parse(stdout.split("\n")[0]!).loss, Math.LN2, 1e-5)
    const { adapter, adapter_sha256, lora_alpha, lora_r, lora_target_modules } = read(path.join(out, "config.json"))
    assert.deepStrictEqual([adapter, lora_r, lora_alpha, lora_target_modules], [folder, 3, 5, ["q_proj", "up_proj"]])
    assert.match(adapter_sha256, /^[0-9a-f]{64}$/)
    const result = await Effect.runPromise(openAdapter(path.join(out, "adapter"), await checkpoint))
    assert.deepStrictEqual(result.lora, { ...lora, ranks: {}, alphas: {} })
    for (const [name, { data }] of result.parameters) {
      const moved = Math.max(...data.map((x, i) => Math.abs(x - parameters.get(name)!.data[i]!)))
      assert.isTrue(moved > 0 && moved < 0.002, `${name} moved by ${moved}: one step of AdamW from where it was`)
    }
  })

  it("a rank that is not the adapter's is refused, and nothing is written", async () => {
    const { folder } = await made
    const out = path.join(work, "refused")
    const running = Command.runWith(train, { version: "test" })(["--adapter", folder, "--lora-r", "8", "--out", out])
    const error = await Effect.runPromise(Effect.flip(Effect.provide(running, NodeServices.layer)))
    assert.match((error as Error).message, /^lora_r is 8, but the adapter \S+ has 3: leave one of the two out\.$/)
    assert.isFalse(fs.existsSync(out))
  })
})
