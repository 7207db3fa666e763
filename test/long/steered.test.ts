/** Pausing and stopping a run change nothing that it computes. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { judgeGreen } from "../../examples/03-custom-judge.ts"
import { run } from "../../src/index.ts"
import { makeSteering, Steering } from "../../src/stages/Steering.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("steered")
const own = { judge: judgeGreen, prompts: ["a leaf", "a lime"] }
const given = {
  ...own, max_steps: 4, prompts_per_step: 2, num_generations: 3, max_new_tokens: 32, trust_pairs: 0, eval_prompts: 0, lr_scheduler_type: "constant", threads: 1
} as const
const whole = (options: Parameters<typeof run>[0]) => Effect.scoped(Effect.flatMap(run(options), ({ summary }) => summary))

it.live("a run that was paused, gone on with, stopped and resumed has the adapter of an unbroken one", () =>
  Effect.gen(function*() {
    const at = (name: string) => path.join(work, name)
    const wheel = yield* makeSteering
    yield* Effect.gen(function*() {
      const { outcomes, summary } = yield* run({ ...given, output_dir: at("steered") })
      yield* Effect.ignore(Stream.runForEach(outcomes, ({ step }) =>
        step === 0
          ? Effect.gen(function*() {
            yield* wheel.pause(true)
            yield* Effect.forkChild(Effect.andThen(Effect.sleep(1000), wheel.pause(false)))
          })
          : wheel.stop))
      assert.strictEqual((yield* Effect.flip(summary))._tag, "RunStopped")
    }).pipe(Effect.scoped, Effect.provideService(Steering, wheel.service))
    assert.isFalse(fs.existsSync(path.join(at("steered"), "summary.json")))
    yield* whole({ ...own, resume: at("steered") })
    yield* whole({ ...given, output_dir: at("whole") })
    const adapter = (name: string) => fs.readFileSync(path.join(at(name), "adapter/adapter_model.safetensors"))
    assert.isTrue(adapter("steered").equals(adapter("whole")))
  }), 300_000)
