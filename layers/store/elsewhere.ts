/** Runs that are not kept in their folder. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { FileProblem } from "../../src/system/files.ts"

const isElsewhere = (run: string): boolean => {
  try {
    return JSON.parse(fs.readFileSync(path.join(run, "config.json"), "utf8"))["store"] === "postgres"
  } catch {
    return false
  }
}

/** Fails where the run has no run.db yet, because it is kept in Postgres until it ends. */
export const needHere = (run: string): Effect.Effect<void, FileProblem> =>
  Effect.suspend(() =>
    fs.existsSync(path.join(run, "run.db")) || !isElsewhere(run) ? Effect.void : Effect.fail(
      new FileProblem({ message: `${run} is kept in Postgres until it ends: then it gets a run.db that can be read here. Its steps so far are in metrics.jsonl.` })
    )
  )
