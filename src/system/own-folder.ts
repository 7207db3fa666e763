/** A folder that a long command fills and goes on with: known by a file of its own in it. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { BadInput } from "./errors.ts"
import { readText, writeFile } from "./files.ts"
import { needFreeFolder } from "./outputs.ts"

export interface OwnFolder {
  readonly out: string
  /** The file of its result, which says whose folder it is. */
  readonly file: string
  /** A key of that file that no other command writes. */
  readonly marker: string
  /** Of all that the work depends on, hex. */
  readonly key: string
  /** What the folder holds, for people: `refinement`. */
  readonly what: string
}

/** Fails unless the folder is new, empty, or of the same work, which then goes on. */
export const openOwnFolder = Effect.fnUntraced(function*({ file, key, marker, out, what }: OwnFolder) {
  const at = path.join(out, file)
  if (fs.existsSync(at)) {
    const text = yield* Effect.orElseSucceed(readText(at), () => "")
    if (text.includes(`"${marker}"`)) {
      return text.includes(`"${key}"`) ? undefined : yield* new BadInput({
        message: `${out} has a ${what} with other prompts, models or settings: choose another --out, or ask as before to go on.`
      })
    }
  }
  yield* needFreeFolder(out, "--out")
  yield* writeFile(at, `${JSON.stringify({ [marker]: key, finished: false })}\n`)
})
