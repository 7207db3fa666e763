import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Option } from "effect"
import { Command } from "effect/cli"
import { judgedObjectives } from "../../src/objectives/objectives.ts"
import { optimizerOf } from "../../src/wiring/run/optimizer-settings.ts"
import { samplerUrls } from "../../src/wiring/sampler-server-settings.ts"
import { givenSettings, settingFlags } from "../../src/wiring/setting-flags.ts"
import { resolveConfig, type SettingName } from "../../src/wiring/settings.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("settings")

const margins = ["sigmoid", "hinge", "ipo", "robust", "rao_kupper", "sigmoid_norm", "discopop", "exo_pair"]
const weighable = [...margins, "nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down"]
const pairs = [...weighable, "aot", "aot_unpaired"]
const clipping = ["grpo", "dapo", "bnpo", "dr_grpo"]
const ratios = [...clipping, "cispo", "sapo"]

/** A value of each setting that only some objectives read, and these. */
const read: Readonly<Partial<Record<SettingName, readonly [value: unknown, by: ReadonlyArray<string>]>>> = {
  beta: [0.2, [...pairs, ...ratios]],
  label_smoothing: [0.1, ["sigmoid", "robust", "exo_pair", "aot", "aot_unpaired"]],
  f_divergence_type: ["js_divergence", margins],
  f_alpha_divergence_coef: [0.3, margins],
  discopop_tau: [0.1, ["discopop"]],
  rao_kupper_nu: [2, ["rao_kupper"]],
  rpo_alpha: [1, pairs],
  rejected_floor: [1, pairs],
  ld_alpha: [0.5, pairs],
  use_weighting: [true, weighable],
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
      assert.strictEqual(inFile.message, `${file}: label_smoothing means nothing with loss_type hinge: leave it out, or choose a loss_type that reads it (sigmoid, robust, exo_pair, aot, aot_unpaired).`)
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

/** The sentence with which settings are refused. */
const refused = (given: Partial<Record<SettingName, unknown>>) => Effect.map(Effect.flip(resolveConfig(undefined, given)), ({ message }) => message)

describe("a list of losses", () => {
  it.effect("is taken from a flag or a file, with its weights; a list of one is that one", () =>
    Effect.gen(function*() {
      const flags = Object.fromEntries((["loss_type", "loss_weights"] as const).map((name, n) => [name, Option.some(["sigmoid,bco_pair, sft", "0.8,0.2,1"][n]!)]))
      const mixed = yield* resolveConfig(undefined, givenSettings(flags))
      assert.deepStrictEqual([mixed.loss_type, mixed.loss_weights], [["sigmoid", "bco_pair", "sft"], [0.8, 0.2, 1]])
      assert.deepStrictEqual((yield* resolveConfig(undefined, {}, mixed)).loss_type, mixed.loss_type)
      const file = path.join(work, "list.yaml")
      fs.writeFileSync(file, "loss_type: [sigmoid]\n")
      assert.strictEqual((yield* resolveConfig(file, {})).loss_type, "sigmoid")
      assert.deepStrictEqual(yield* resolveConfig(file, {}), yield* resolveConfig(undefined, { loss_type: "sigmoid" }))
    }))

  it.effect("takes the settings that any of its losses reads, a divergence or weights that all do, and rpo_alpha without sft", () =>
    Effect.gen(function*() {
      const of = (loss_type: ReadonlyArray<string>, more: object) => Effect.map(Effect.result(resolveConfig(undefined, { loss_type, ...more })), ({ _tag }) => _tag === "Success")
      assert.isTrue(yield* of(["hinge", "discopop"], { discopop_tau: 0.1, f_divergence_type: "forward_kl" }))
      assert.isTrue(yield* of(["hinge", "bco_pair"], { use_weighting: true, rpo_alpha: 2 }))
      assert.isTrue(yield* of(["hinge", "sft"], { f_divergence_type: "forward_kl", pair_selection: "all" }))
      assert.isFalse(yield* of(["hinge", "bco_pair"], { discopop_tau: 0.1 }))
      assert.isFalse(yield* of(["hinge", "bco_pair"], { f_divergence_type: "forward_kl" }))
      assert.isFalse(yield* of(["hinge", "aot"], { use_weighting: true }))
      assert.isFalse(yield* of(["hinge", "sft"], { rpo_alpha: 2 }))
      assert.isFalse(yield* of(["hinge", "exo_pair"], {}))
    }))

  it.effect("that cannot be added up is refused in a sentence", () =>
    Effect.gen(function*() {
      for (const [given, said] of [
        [{ loss_type: ["sigmoid", "dapo"] }, "loss_type adds up losses of pairs and sft only, and dapo is none: give it alone."],
        [{ loss_type: ["sigmoid", "sigmoid"] }, "loss_type names sigmoid twice: name it once, with the sum of both loss_weights."],
        [{ loss_type: ["sigmoid", "sft"], loss_weights: [1] }, "loss_weights has 1 weight for 2 losses of loss_type: give one for each."],
        [{ loss_weights: [1, 2] }, "loss_weights weighs the losses of a list, and loss_type names sigmoid alone: leave it out, or name several."],
        [{ loss_type: ["sigmoid", "sft"], loss_weights: [1, 0] }, /^--loss-weights is \[1,0\]: .*over 0/],
        [{ loss_type: "dop" }, /^--loss-type is "dop": .*sigmoid.*cross|^--loss-type is "dop": .*sigmoid/],
        [{ loss_type: ["sigmoid", "dop"] }, /^--loss-type is \["sigmoid","dop"\]: .*sigmoid/]
      ] as const) {
        const message = yield* refused(given)
        if (typeof said === "string") assert.strictEqual(message, said)
        else assert.match(message, said)
      }
    }))
})

describe("--optimizer job", () => {
  it.effect("refuses in a sentence what trl dpo cannot be told, and what means nothing without it", () =>
    Effect.gen(function*() {
      for (const [given, said] of [
        [{ job_steps: 5 }, "job_steps says how jobs are run, and none are: give --optimizer job, or leave it out."],
        [{ optimizer: "job", labels: "soft" }, "labels is \"soft\", which trl dpo cannot be told: with --optimizer job it is \"hard\"."],
        [{ optimizer: "job", lora_r: 0 }, "trl dpo hands back an adapter: with --optimizer job, give --lora-r over 0."],
        [{ optimizer: "job", loss_type: "dapo" }, /^loss_type dapo is none of trl dpo's/],
        [{ optimizer: "job", label_smoothing: 0.1 }, /^label_smoothing means something to trl dpo with loss_type robust and exo_pair alone/],
        [{ optimizer: "job", job_on: "hf", job_repo: "rounds" }, /owner\/name, with --job-repo\.$/],
        [{ optimizer: "job", job_on: "kubernetes" }, /^Pods see no folder of this machine/]
      ] as const) {
        const message = yield* refused(given)
        if (typeof said === "string") assert.strictEqual(message, said)
        else assert.match(message, said)
      }
      assert.strictEqual((yield* resolveConfig(undefined, { optimizer: "job", job_on: "hf", job_repo: "ada/rounds" })).job_steps, 10)
    }))
})

describe("a reference that moves", () => {
  it.effect("is copied for an adapter, and mixed by any share where every parameter is trained", () =>
    Effect.gen(function*() {
      const copied = yield* resolveConfig(undefined, { sync_ref_model: true, ref_model_mixup_alpha: 1, ref_model_sync_steps: 8 })
      assert.deepStrictEqual(optimizerOf(copied).options.syncReference, { alpha: 1, steps: 8 })
      const mixed = yield* resolveConfig(undefined, { sync_ref_model: true, lora_r: 0 })
      assert.deepStrictEqual(optimizerOf(mixed).options.syncReference, { alpha: 0.6, steps: 512 })
      assert.isUndefined(optimizerOf(yield* resolveConfig(undefined, {})).options.syncReference)
      yield* resolveConfig(undefined, { sync_ref_model: true, ref_model_mixup_alpha: 1, loss_type: "grpo", beta: 0.04 })
    }))

  it.effect("is refused where it cannot be exact, or where nothing reads it", () =>
    Effect.gen(function*() {
      const mixture = "and a mixture of two adapters is no adapter of their rank: give 1, which copies the policy's, or train every parameter with --lora-r 0."
      for (const [given, said] of [
        [{ sync_ref_model: true }, `ref_model_mixup_alpha is 0.6, ${mixture}`],
        [{ sync_ref_model: true, adapter: "a", ref_model_mixup_alpha: 0.9 }, `ref_model_mixup_alpha is 0.9, ${mixture}`],
        [{ ref_model_sync_steps: 8 }, "ref_model_sync_steps says how the reference moves, and it does not: give --sync-ref-model, or leave it out."],
        [{ loss_type: "grpo", sync_ref_model: true, ref_model_mixup_alpha: 1 }, "sync_ref_model moves a reference that grpo reads with --beta over 0 only: give one, or leave it out."],
        [{ loss_type: "sft", sync_ref_model: true }, /^--sync-ref-model means nothing with loss_type sft: /],
        [{ sync_ref_model: true, ref_model_mixup_alpha: 0 }, /^--ref-model-mixup-alpha is 0: .*over 0, at most 1/]
      ] as const) {
        const message = yield* refused(given)
        if (typeof said === "string") assert.strictEqual(message, said)
        else assert.match(message, said)
      }
    }))
})

describe("servers that draw", () => {
  const server = "http://127.0.0.1:800"

  it.effect("are one address, or a list with commas or of a flag that is given several times", () =>
    Effect.gen(function*() {
      const given = (text: string) => Effect.map(resolveConfig(undefined, givenSettings({ sampler: Option.some("openai"), sampler_url: Option.some(text) })), samplerUrls)
      assert.deepStrictEqual(yield* given(server), [server])
      assert.deepStrictEqual(yield* given(`${server},${server}1/v1`), [server, `${server}1/v1`])
      const file = path.join(work, "servers.yaml")
      fs.writeFileSync(file, `sampler: openai\nsampler_url: ${server}\n`)
      assert.deepStrictEqual(samplerUrls(yield* resolveConfig(file, {})), [server])
      let flags: Parameters<typeof givenSettings>[0] = {}
      const command = Command.make("train", settingFlags(["sampler_url", "loss_type"]), (given) => Effect.sync(() => void (flags = given)))
      yield* Command.runWith(command, { version: "" })(["--sampler-url", server, "--sampler-url", `${server}1`, "--loss-type", "sigmoid,sft"]).pipe(Effect.provide(NodeServices.layer))
      assert.deepStrictEqual(givenSettings(flags), { sampler_url: [server, `${server}1`], loss_type: ["sigmoid", "sft"] })
    }))

  it.effect("are refused in a sentence where they cannot be asked, or cannot do what is asked", () =>
    Effect.gen(function*() {
      for (const [given, said] of [
        [{ sampler: "openai" }, "sampler openai draws on servers, and none is named: give --sampler-url, for example http://127.0.0.1:8000."],
        [{ sampler_url: [server] }, "sampler_url is about servers that draw, and there are none: give --sampler openai, or leave it out."],
        [{ sampler_tolerance: 0.1 }, "sampler_tolerance is about servers that draw, and there are none: give --sampler openai, or leave it out."],
        [{ sampler: "openai", sampler_url: ["localhost:8000"] }, "sampler_url has \"localhost:8000\", which is not an address of a server, such as http://127.0.0.1:8000."],
        [{ sampler: "openai", sampler_url: ["http://a:b@localhost"] }, "sampler_url is stored in config.json, so it may hold no key: give that in VEQUINOX_SAMPLER_API_KEY."],
        [{ sampler: "openai", sampler_url: [`${server}?key=a`] }, "sampler_url is stored in config.json, so it may hold no key: give that in VEQUINOX_SAMPLER_API_KEY."],
        [{ sampler: "openai", sampler_url: [server], lora_r: 0 }, "sampler openai gives servers each version as an adapter, and lora_r 0 trains every parameter: give --lora-r over 0."],
        [{ sampler: "openai", sampler_url: [server], stop_malformed: true }, "stop_malformed is about drawing in this process, and servers draw: leave it out, or give --sampler onnx."],
        [{ sampler: "openai", sampler_url: [server], draft_tokens: 4 }, "draft_tokens is about drawing in this process, and sampler openai draws on servers: leave it out, or give --sampler onnx."]
      ] as const) assert.strictEqual(yield* refused(given), said)
    }))
})

describe("a Tinker server", () => {
  it.effect("has defaults that its protocol can keep, where nobody gives others", () =>
    Effect.gen(function*() {
      const usual = yield* resolveConfig(undefined, {})
      assert.deepStrictEqual([usual.max_grad_norm, usual.min_p], [1, 0.05])
      const trained = yield* resolveConfig(undefined, { optimizer: "tinker" })
      assert.deepStrictEqual([trained.max_grad_norm, trained.min_p], [0, 0.05])
      const drawn = yield* resolveConfig(undefined, { optimizer: "tinker", sampler: "tinker" })
      assert.deepStrictEqual([drawn.max_grad_norm, drawn.min_p], [0, 0])
      const given = yield* resolveConfig(undefined, { optimizer: "tinker", max_grad_norm: 0.5 })
      assert.strictEqual(given.max_grad_norm, 0.5) // refused before anything is made, by wiring/run/tinker.ts
    }))

  it.effect("is refused what it cannot do", () =>
    Effect.gen(function*() {
      for (const [given, said] of [
        [{ sampler: "tinker" }, "sampler tinker draws from what its server trained, and weights cannot be sent there: give --optimizer tinker too."],
        [{ tinker_url: "http://127.0.0.1:8000" }, "tinker_url means nothing without a Tinker server: give --optimizer tinker, or leave it out."],
        [{ optimizer: "tinker", lora_r: 0 }, "A Tinker server trains a fresh adapter of its own: leave --lora-r 0 out."],
        [{ optimizer: "tinker", adapter: "some" }, "A Tinker server trains a fresh adapter of its own: leave --adapter out."]
      ] as const) assert.strictEqual(yield* refused(given), said)
    }))
})
