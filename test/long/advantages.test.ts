/** A run that learns from advantages, as a person starts it: real processes with the embedded policy and judge. */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import * as bufferMemory from "../../layers/buffer/memory.ts"
import * as judgeFake from "../../layers/judge/fake.ts"
import { OnnxRuntime } from "../../layers/onnx/runtime.ts"
import * as optimizerOnnx from "../../layers/optimizer/onnx.ts"
import * as rendererResvg from "../../layers/renderer/resvg.ts"
import * as samplerOnnx from "../../layers/sampler/onnx.ts"
import type { Drawing } from "../../src/domain.ts"
import { plain } from "../../src/engine/sampling/sampling.ts"
import { initialAdapter } from "../../src/engine/weights/parameters.ts"
import { allLinear, modulesOf } from "../../src/engine/nets/transformer.ts"
import { openDecoder } from "../../src/model/model-folder.ts"
import { defaultFormat, openTokenizer } from "../../src/model/tokenizer/tokenizer.ts"
import { defaultPipeline, train } from "../../src/pipeline.ts"
import { promptOf } from "../../src/prompts.ts"
import { Policy } from "../../src/stages/Policy.ts"
import { trainerDefaults } from "../../src/wiring/trainer-defaults.ts"
import { bareRun, briefRun, killableIn } from "../support/command-line.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("advantages")

const vequinox = killableIn(work)

const settings = "--loss-type reinforce --steps 3 --prompts-per-step 4 --k 3 --save-steps 1 --max-new-tokens 100 --seed 5 --json".split(" ")
const text = (run: string, name: string) => fs.readFileSync(path.join(run, name), "utf8")
const adapterOf = (run: string) => fs.readFileSync(path.join(run, "adapter/adapter_model.safetensors"))
const metricsOf = (run: string): ReadonlyArray<Record<string, number>> => text(run, "metrics.jsonl").trim().split("\n").map((line) => JSON.parse(line))
const timeless = (rows: ReadonlyArray<Record<string, number>>) =>
  rows.map((row) => Object.entries(row).filter(([name]) => !name.startsWith("seconds/")))

describe("train --loss-type reinforce", () => {
  it("leaves a run folder that speaks of advantages, and killed and resumed the same adapter, bit for bit", async () => {
    const [alone, struck] = [path.join(work, "alone"), path.join(work, "struck")]
    const ended = await vequinox(["train", ...settings, ...briefRun, "--out", alone])
    assert.strictEqual(ended.code, 0, ended.stderr)

    const metrics = metricsOf(alone)
    assert.lengthOf(metrics, 3)
    for (const name of ["loss", "grad_norm", "advantages/mean", "advantages/abs", "advantages/made", "advantages/trained", "logps/better", "logps/worse", "svg/valid"]) {
      assert.isNumber(metrics[0]![name], name)
    }
    assert.isEmpty(metrics.flatMap(Object.keys).filter((name) => /^rewards\/|^objective\/kl$|^beta$|^pairs\/(preferences|trained|stale)$/.test(name)))
    const db = new DatabaseSync(path.join(alone, "run.db"), { readOnly: true })
    const counts = db.prepare("SELECT count(*) AS all_, count(rejected) AS pairs, count(consumed_by_step) AS trained FROM lessons").get()!
    db.close()
    const summary = JSON.parse(text(alone, "summary.json"))
    assert.deepStrictEqual(summary, JSON.parse(ended.stdout.trim().split("\n").at(-1)!))
    assert.deepInclude(summary, { objective: "reinforce", steps: 3, pairs: 0, advantages: counts["trained"] })
    assert.deepStrictEqual([counts["pairs"], counts["all_"]], [0, counts["trained"]])
    assert.isAbove(summary.advantages, 0)
    assert.strictEqual(text(alone, "preferences.jsonl"), "")
    assert.include(text(alone, "adapter/README.md"), "trained by policy gradient with vequinox")
    assert.include(text(alone, "report.html"), "Policy gradient</span>: 3 steps")
    for (const file of ["adapter/README.md", "report.html"]) assert.notMatch(text(alone, file), /online DPO|preference pair/i)

    const killed = await vequinox(["train", ...settings, ...bareRun, "--out", struck], { said: "\"step\":", times: 2 })
    assert.strictEqual(killed.signal, "SIGKILL", killed.stderr)
    assert.isFalse(fs.existsSync(path.join(struck, "adapter")))
    const resumed = await vequinox(["train", "--resume", struck])
    assert.strictEqual(resumed.code, 0, resumed.stderr)
    assert.match(resumed.stdout, /^Policy gradient: 3 steps, \d+ judged drawings\./)
    assert.isTrue(adapterOf(struck).equals(adapterOf(alone)))
    assert.deepStrictEqual(timeless(metricsOf(struck)), timeless(metrics))
  }, 240_000)
})

describe("train --loss-type dapo", () => {
  const own = "--loss-type dapo --reward score --beta 0.04 --num-iterations 2 --steps-per-generation 2 --steps 3 --prompts-per-step 4 --k 3 --save-steps 1 --max-new-tokens 100 --seed 5 --json".split(" ")

  it("makes four clipped updates a step, and killed and resumed the same adapter, bit for bit", async () => {
    const [alone, struck] = [path.join(work, "dapo"), path.join(work, "dapo-struck")]
    const ended = await vequinox(["train", ...own, ...bareRun, "--out", alone])
    assert.strictEqual(ended.code, 0, ended.stderr)
    const metrics = metricsOf(alone)
    for (const name of ["kl", "clip_ratio/region_mean", "reward", "reward_std", "frac_reward_zero_std", "completions/mean_length", "completions/clipped_ratio"]) {
      assert.isNumber(metrics[0]![name], name)
    }
    assert.isAbove(metrics[0]!["reward"]!, 1) // logits of CLIP, not shares
    // The first step's drawings are of the policy that it trains; a later one's are an update behind.
    assert.closeTo(metrics[0]!["sampling/importance_sampling_ratio/max"]!, 1, 1e-3)
    assert.isAbove(metrics[2]!["sampling/importance_sampling_ratio/max"]!, 1.001)

    const killed = await vequinox(["train", ...own, ...bareRun, "--out", struck], { said: "\"step\":", times: 2 })
    assert.strictEqual(killed.signal, "SIGKILL", killed.stderr)
    const resumed = await vequinox(["train", "--resume", struck])
    assert.strictEqual(resumed.code, 0, resumed.stderr)
    assert.isTrue(adapterOf(struck).equals(adapterOf(alone)))
    assert.deepStrictEqual(timeless(metricsOf(struck)), timeless(metrics))
  }, 240_000)

  it("refuses what it does not read, and a loss of pairs a beta of nothing", async () => {
    for (const [args, sentence] of [
      [["--loss-type", "dapo", "--rpo-alpha", "1"], /^vequinox: --rpo-alpha means nothing with loss_type dapo/],
      [["--epsilon", "0.1"], /^vequinox: --epsilon means nothing with loss_type sigmoid: leave it out, or choose .*\(grpo, dapo, bnpo, dr_grpo, cispo\)/],
      [["--scale-rewards", "none"], /^vequinox: --scale-rewards means nothing with loss_type sigmoid/],
      [["--reward", "score"], /^vequinox: --reward means nothing with loss_type sigmoid/],
      [["--loss-type", "dapo", "--reward", "score", "--judge", "coin"], /^vequinox: reward score learns from the judge's own scores, and coin gives none: take a judge that does \(clip, .*\), or reward win_rate\.$/],
      [["--beta", "0"], /^vequinox: --beta is 0: sigmoid compares log-ratios times beta, so give a number over 0\.$/]
    ] as const) {
      const { code, stderr } = await vequinox(["train", ...args, "--out", path.join(work, "refused")])
      assert.strictEqual(code, 1)
      assert.match(stderr.trim(), sentence)
    }
    assert.isFalse(fs.existsSync(path.join(work, "refused")))
  }, 180_000)
})

describe.each(["reinforce", "dapo"] as const)("policy gradients: %s", (lossType) => {
  it.live("raises the mean reward of a judge that prefers less ink", () =>
    Effect.gen(function*() {
      const folder = path.join(import.meta.dirname, "../../models/policy")
      const [checkpoint, tokenizer] = [yield* openDecoder(folder), yield* openTokenizer(folder)]
      const lora = { r: 8, alpha: 16, targets: allLinear }
      const initial = { version: 0, updates: 0, parameters: initialAdapter(modulesOf(checkpoint.config), lora, 1), moments: new Map() }
      const [maxNewTokens, maxLength] = [100, 160]
      const stages = Layer.mergeAll(
        samplerOnnx.layer({
          checkpoint, tokenizer, format: defaultFormat, lora, sampling: plain, maxNewTokens, maxLength, stop: "</svg>", stopMalformed: false,
          maxNumSeqs: 32, precision: "float32", cache: work, quantizing: () => Effect.succeed(() => Effect.void)
        }),
        optimizerOnnx.layer({
          checkpoint, lora, initial, ...trainerDefaults(maxLength, 1024, { learningRate: 3e-3, maxGradNorm: 1 }),
          objective: { lossType, beta: 0, labelSmoothing: 0, nu: 3 }
        }),
        rendererResvg.layer({ size: 32 }),
        judgeFake.layer({ target: 0 }),
        bufferMemory.layer({ maxStaleness: 0, staleWeight: 1 }),
        Policy.layer(initial, 1)
      ).pipe(Layer.provide(OnnxRuntime.layer("cpu", 0, { threads: 1 })))
      const steps = 12
      const config = { ...defaultPipeline, steps, k: 4, promptsPerStep: 8, promptsPerBatch: 8, maxStaleness: 0, lessons: "advantages" } as const
      const prompts = ["a red circle", "a blue square", "a green tree", "a yellow star", "a cat", "a house", "a boat", "a flower"].map(promptOf)
      const outcomes = yield* Stream.runCollect(train(config, prompts)).pipe(Effect.provide(stages))
      /** Less the share of ink; a drawing that does not render, which loses to any that does, has as little as can be. */
      const reward = ({ rendering }: Drawing) => rendering._tag === "Rendered" ? -judgeFake.ink(rendering.picture) : -1
      const mean = (from: number, to: number) => {
        const rewards = outcomes.slice(from, to).flatMap(({ rollout }) => rollout.drawings.map(reward))
        return rewards.reduce((a, b) => a + b, 0) / rewards.length
      }
      const [before, after] = [mean(0, 2), mean(steps - 2, steps)]
      assert.isAbove(after, before + 0.04, `${before} before, ${after} after`)
    }), 240_000)
})
