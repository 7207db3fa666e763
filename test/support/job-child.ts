/** A process that asks for one round and waits: `node test/support/job-child.ts RAY FOLDER`. What it asks for is what jobs.test.ts asks for. */
import { Effect } from "effect"
import { rayJobs } from "../../layers/job/ray.ts"
import { sharedFolder } from "../../layers/job/shared-folder.ts"
import * as OptimizerJob from "../../layers/optimizer/job.ts"
import { Optimizer } from "../../src/stages/Optimizer.ts"
import { jobOptions, pairs } from "./job-options.ts"
import { checkpoint } from "./embedded-policy.ts"

const [url, folder] = process.argv.slice(2) as [string, string]
await Optimizer.use(({ step }) => step(pairs)).pipe(
  Effect.provide(OptimizerJob.layer({
    ...jobOptions,
    cluster: rayJobs({ url, token: undefined, gpus: 0 }),
    files: sharedFolder({ folder, mount: folder, model: { name: checkpoint.folder, revision: undefined } })
  })),
  Effect.runPromise
)
