/** The runs that a studio shows: the folder it was given, or the run folders in it. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { holdsRun } from "../run/folder.ts"
import { refuse, type Refusal } from "../serve/refusals.ts"
import { explain, FileProblem } from "../system/files.ts"

export interface FoundRun {
  /** Its folder's name. */
  readonly name: string
  /** Whole path. */
  readonly folder: string
  /** When its settings were first written, milliseconds since 1970. */
  readonly startedAt: number
}

export interface FoundRuns {
  /** Newest first. */
  readonly list: Effect.Effect<ReadonlyArray<FoundRun>, FileProblem>
  readonly named: (name: string) => Effect.Effect<FoundRun, Refusal | FileProblem>
}

const startedAt = (folder: string): number => {
  try {
    const { birthtimeMs, mtimeMs } = fs.statSync(path.join(folder, "config.json"))
    return birthtimeMs > 0 ? Math.min(birthtimeMs, mtimeMs) : mtimeMs
  } catch {
    return 0
  }
}

const found = (folder: string): FoundRun => ({ name: path.basename(folder), folder, startedAt: startedAt(folder) })

/** Names are looked up among the runs that are there: none is ever taken as a path. */
export const findRuns = (given: string): FoundRuns => {
  const root = path.resolve(given)
  const list = Effect.try({
    try: () => {
      if (holdsRun(root)) return [found(root)]
      return fs.readdirSync(root, { withFileTypes: true })
        .filter((entry) => entry.isDirectory() && holdsRun(path.join(root, entry.name)))
        .map(({ name }) => found(path.join(root, name)))
        .toSorted((a, b) => b.startedAt - a.startedAt)
    },
    catch: (cause) => new FileProblem({ message: `${given} cannot be read: ${explain(cause)}.` })
  })
  const missing = (name: string) => refuse("missing", `There is no run ${name.slice(0, 100)} here.`)
  return {
    list,
    named: (name) =>
      Effect.suspend(() => {
        const folder = path.basename(root) === name && holdsRun(root) ? root : path.join(root, name)
        const plain = name === path.basename(name) && name !== "." && name !== ".." && !name.includes("\0")
        return plain && holdsRun(folder) ? Effect.succeed(found(folder)) : Effect.fail(missing(name))
      })
  }
}
