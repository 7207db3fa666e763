/** The folder of a comparison: new, or one that goes on. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { readText, writeFile } from "../../system/files.ts"
import { needFreeFolder } from "../../system/outputs.ts"

/** A key of its result, by which the folder is known to be a comparison's. */
export const marker = "vequinox_evaluation"

/**
 * Fails unless the folder is new, empty, or an earlier comparison's with the same kind of result.
 *
 * @param result the file of its result, which says from now on whose folder it is
 */
export const needOwnFolder = Effect.fnUntraced(function*(out: string, result: string) {
  const file = path.join(out, result)
  const isOwn = fs.existsSync(file) && (yield* Effect.orElseSucceed(readText(file), () => "")).includes(`"${marker}"`)
  if (!isOwn) yield* needFreeFolder(out, "--out")
  fs.mkdirSync(path.join(out, "drawings"), { recursive: true })
  if (!isOwn) yield* writeFile(file, JSON.stringify({ [marker]: 1, finished: false }) + "\n")
})
