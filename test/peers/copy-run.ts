/** `node copy-run.ts FOLDER PREFIX`: copies a run folder to `s3://runs/PREFIX` as a run does, in a process that can be killed. */
import { Effect } from "effect"
import { claim, copyRun } from "../../layers/storage/copy-run.ts"
import * as s3 from "../../layers/storage/s3.ts"
import { runFolder } from "../../src/run/folder.ts"

const [folder = "", prefix = ""] = process.argv.slice(2)
await Effect.runPromise(
  Effect.flatMap(claim(runFolder(folder), "one"), (place) => copyRun(place, true)).pipe(Effect.provide(s3.layer({ bucket: "runs", prefix })))
)
