/** One short default run, told to every tracker or to none. Prints its wall clock and CPU seconds, from opening it to its summary. */
import { Effect } from "effect"
import { run } from "../src/index.ts"

const [folder, steps, trackio] = process.argv.slice(2)
const everywhere = { report_to: ["tensorboard", "trackio", "otlp"], log_completions: true, trackio_url: trackio! } as const
const [started, before] = [performance.now(), process.cpuUsage()]
const summary = await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
  const { summary } = yield* run({ output_dir: folder!, max_steps: Number(steps), eval_prompts: 0, ...(trackio === undefined ? {} : everywhere) })
  return yield* summary
})))
const { system, user } = process.cpuUsage(before)
console.log(JSON.stringify({ seconds: (performance.now() - started) / 1000, cpuSeconds: (system + user) / 1e6, faults: summary.faults }))
