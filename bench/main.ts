/**
 * `pnpm run bench`: figures as ratios within one run, medians, one JSON object on stdout; what is measured now on stderr.
 *
 *     pnpm run bench [sampler] [trainer] [steps] [renderer] [overlap] [judge] [faults] [decoder] [drafts] [margins] [serve] [trackers]
 *     pnpm run bench run [flags]       where the seconds of a step go: see run.ts
 *     pnpm run bench learn [flags]     hours of training: see learn.ts
 */
import { Effect } from "effect"
import { benchDecoder } from "./decoder.ts"
import { benchDrafts } from "./drafts.ts"
import { benchFaults } from "./faults.ts"
import { benchJudge } from "./judge.ts"
import { benchLearn } from "./learn.ts"
import { benchMargins } from "./margins.ts"
import { overlap } from "./overlap.ts"
import { benchRenderer } from "./renderer.ts"
import { benchRun } from "./run.ts"
import { benchSampler } from "./sampler.ts"
import { benchServe } from "./serve.ts"
import { benchTrackers } from "./trackers.ts"
import { benchSteps, benchTrainer } from "./trainer.ts"

const parts: Readonly<Record<string, () => Promise<unknown>>> = {
  sampler: benchSampler,
  trainer: () => benchTrainer(),
  steps: () => benchSteps(),
  renderer: benchRenderer,
  overlap: () => Effect.runPromise(overlap()),
  judge: benchJudge,
  faults: benchFaults,
  decoder: () => benchDecoder(),
  drafts: () => benchDrafts(),
  margins: benchMargins,
  serve: benchServe,
  trackers: benchTrackers
}

const asked = process.argv.slice(2)
if (asked[0] === "learn") process.exit(await benchLearn(asked.slice(1)))
if (asked[0] === "run") process.exit(await benchRun(asked.slice(1)))
const unknown = asked.find((name) => !Object.hasOwn(parts, name))
if (unknown !== undefined) {
  console.error(`There is no benchmark "${unknown}": choose from ${Object.keys(parts).join(", ")}, or run or learn alone.`)
  process.exit(1)
}
const results: Record<string, unknown> = {}
for (const name of asked.length > 0 ? asked : Object.keys(parts)) {
  console.error(`${name} ...`)
  results[name] = await parts[name]!()
}
console.log(JSON.stringify(results, null, 2))
