/**
 * A whole run with the real sampler, renderer and optimizer, where only the judge is mine: the drawing with less ink wins. What
 * it leaves is what `vequinox train` leaves: an adapter, checkpoints, a report.
 *
 *     node examples/05-whole-run-with-my-judge.ts
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Console, Effect, Layer, Stream } from "effect"
import { Judge, run, Verdict } from "vequinox"

const ink = (rgba: Uint8Array) => rgba.reduce((sum, byte) => sum + (255 - byte), 0)
const judge = Layer.succeed(Judge, {
  name: "less ink",
  identity: "less-ink-1",
  concurrency: 8,
  compare: (_prompt, a, b) => {
    const more = ink(a.rgba) - ink(b.rgba)
    return Effect.succeed(new Verdict({ outcome: more < 0 ? "A" : more > 0 ? "B" : "tie", confidence: more === 0 ? 0 : 1, by: "less ink" }))
  }
})

const work = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-"))
/** So few, so small: an example is over in seconds. Without `output_dir` a run's folder is a new one under runs/. */
const small = { prompts_per_step: 2, num_generations: 3, max_new_tokens: 48, output_dir: path.join(work, "run") }

export const main = Effect.gen(function*() {
  const { folder, outcomes, summary } = yield* run({ judge, prompts: ["a leaf", "a lime"], max_steps: 2, ...small })
  yield* Stream.runForEach(outcomes, ({ metrics, step }) => Console.log(`step ${step}: ${metrics["pairs/trained"]} pairs, loss ${metrics["loss"]}`))
  const { pairs } = yield* summary
  yield* Console.log(`${pairs} pairs; the adapter is there: ${fs.existsSync(path.join(folder, "adapter", "adapter_model.safetensors"))}`)
}).pipe(Effect.scoped, Effect.ensuring(Effect.sync(() => fs.rmSync(work, { recursive: true }))))

if (import.meta.main) await Effect.runPromise(main)
