/** `run`: a whole run in code, with a layer of one's own. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import { judgeGreen } from "../../examples/03-custom-judge.ts"
import { Judge, run, type RunOptions, Sampler } from "../../src/index.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("run")
const tiny = { prompts_per_step: 2, num_generations: 3, max_new_tokens: 32, trust_pairs: 0, lr_scheduler_type: "constant" } as const
const prompts = ["a leaf", "a lime"]
const read = (folder: string, name: string) => JSON.parse(fs.readFileSync(path.join(folder, name), "utf8"))

class NoGreen extends Schema.TaggedError<NoGreen>()("NoGreen", { message: Schema.String }) {}

describe("run", () => {
  it.live("stops when nobody pulls, continues from there, and leaves the command's files", () =>
    Effect.gen(function*() {
      const output_dir = path.join(work, "stopped")
      const steps: Array<number> = []
      let sampled = 0
      /** Around the usual sampler, which is told no more than that. */
      const counted: RunOptions["sampler"] = (usual) =>
        Layer.effect(Sampler, Effect.map(Sampler, (own) =>
          Sampler.of({ ...own, sample: (request) => Effect.tap(own.sample(request), () => Effect.sync(() => void sampled++)) }))).pipe(Layer.provide(usual))
      const given = { judge: judgeGreen, sampler: counted, prompts }

      const stopped = yield* Effect.gen(function*() {
        const { folder, outcomes, summary } = yield* run({ ...given, ...tiny, max_steps: 3, output_dir })
        assert.strictEqual(folder, output_dir)
        yield* outcomes.pipe(Stream.take(1), Stream.runForEach(({ step }) => Effect.sync(() => void steps.push(step))))
        return yield* Effect.flip(summary)
      }).pipe(Effect.scoped)
      assert.strictEqual(stopped._tag, "RunStopped")
      assert.include(stopped.message, output_dir)
      assert.isFalse(fs.existsSync(path.join(output_dir, "report.html")))
      assert.deepInclude(read(output_dir, "config.json"), { judge: "green", prompts: "given in code", own: ["judge", "prompts", "sampler"], render_size: 224 })

      const refused = yield* Effect.flip(Effect.scoped(run({ resume: output_dir, sampler: counted })))
      assert.strictEqual(refused._tag, "BadInput")
      assert.include(refused.message, "what its program gave in code was judge, prompts, sampler and is sampler")

      const { finished, summary } = yield* Effect.gen(function*() {
        const again = yield* run({ ...given, resume: output_dir })
        yield* Stream.runForEach(again.outcomes, ({ step }) => Effect.sync(() => void steps.push(step)))
        return { finished: again.finished, summary: yield* again.summary }
      }).pipe(Effect.scoped)
      assert.isFalse(finished)
      assert.strictEqual(summary.steps, 3)
      assert.strictEqual(steps[0], 0)
      assert.strictEqual(steps.at(-1), 2)
      assert.isAtLeast(sampled, 3)
      for (const name of ["adapter/adapter_model.safetensors", "report.html", "summary.json", "checkpoints/step-3/state.json"]) {
        assert.isTrue(fs.existsSync(path.join(output_dir, name)), name)
      }

      const over = yield* Effect.gen(function*() {
        const { finished, outcomes, summary } = yield* run({ ...given, resume: output_dir })
        return { finished, left: yield* Stream.runCount(outcomes), summary: yield* summary }
      }).pipe(Effect.scoped)
      assert.deepStrictEqual(over, { finished: true, left: 0, summary: read(output_dir, "summary.json") })
    }), 300_000)

  it.live("prints nothing, and leaves nothing where a layer cannot be built; the layer's error is its own", () =>
    Effect.gen(function*() {
      const output_dir = path.join(work, "unbuilt")
      const write = process.stderr.write
      let printed = ""
      process.stderr.write = (text) => (printed += String(text), true)
      const judge = Layer.effect(Judge, Effect.fail(new NoGreen({ message: "There is no green." })))
      const error = yield* Effect.flip(run({ judge, prompts, ...tiny, output_dir })).pipe(
        Effect.ensuring(Effect.sync(() => void (process.stderr.write = write)))
      )
      assert.instanceOf(error, NoGreen)
      assert.strictEqual(printed, "")
      assert.isFalse(fs.existsSync(output_dir)) // though the scope goes on
    }).pipe(Effect.scoped), 120_000)

  it.effect("refuses an unknown setting, an unknown judge and an empty list of prompts, each with a typed error", () =>
    Effect.gen(function*() {
      const failed = (options: RunOptions) => Effect.map(Effect.flip(Effect.scoped(run(options))), ({ _tag, message }) => `${_tag}: ${message}`)
      assert.include(yield* failed({ max_step: 2 } as RunOptions), "BadInput: There is no setting \"max_step\"")
      assert.include(yield* failed({ max_steps: 0 }), "ConfigInvalid: ")
      assert.include(yield* failed({ judge: "oracle" }), "BadInput: There is no judge \"oracle\"")
      assert.include(yield* failed({ prompts: [" "] }), "BadInput: There is nothing to draw")
      // @ts-expect-error a misspelt setting is refused where it is written
      void run({ max_step: 2 })
    }))
})
