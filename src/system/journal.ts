/** An append-only file of JSON lines that survives the end of the process at any moment. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Schema } from "effect"
import { explain, FileProblem, syncFolder } from "./files.ts"
import { makeFolders } from "./folders.ts"

export interface Journal<A> {
  /** The rows that were there when it was opened. */
  readonly rows: ReadonlyArray<A>
  /** The row is on disk when this returns, whole or not at all. */
  readonly append: (row: A) => Effect.Effect<void, FileProblem>
}

/**
 * Opens the journal until the scope closes, and makes it if it is missing. A last line that was cut off is dropped; any
 * other line that is no such row is a `FileProblem`, and the file stays as it is.
 *
 * @param what the rows are, for that message: `a refined prompt`
 */
export const openJournal = Effect.fn("openJournal")(function*<A>(file: string, row: Schema.Codec<A, unknown>, what: string) {
  const attempt = <B>(work: () => B) =>
    Effect.try({ try: work, catch: (cause) => new FileProblem({ message: `${file} cannot be written: ${explain(cause)}.` }) })
  const fd = yield* Effect.acquireRelease(
    attempt(() => {
      makeFolders(path.dirname(path.resolve(file)))
      return fs.openSync(file, "a+")
    }),
    (fd) => Effect.sync(() => fs.closeSync(fd))
  )
  const bytes = yield* attempt(() => fs.readFileSync(fd))
  const end = bytes.lastIndexOf("\n") + 1
  const lines = bytes.subarray(0, end).toString("utf8").split("\n").slice(0, -1)
  const codec = Schema.fromJsonString(row)
  const rows = yield* Effect.forEach(lines, (line, n) =>
    Effect.mapError(Schema.decodeEffect(codec)(line), () => new FileProblem({ message: `${file}, line ${n + 1}, is not ${what}: choose another --out.` })))
  let size = end
  if (end < bytes.length) yield* attempt(() => fs.ftruncateSync(fd, size))
  yield* attempt(() => syncFolder(path.dirname(path.resolve(file))))
  const append = (row: A) =>
    Effect.flatMap(Effect.orDie(Schema.encodeEffect(codec)(row)), (text) =>
      attempt(() => {
        try {
          fs.writeFileSync(fd, `${text}\n`) // writes until all of it is there
          fs.fsyncSync(fd)
          size += Buffer.byteLength(text) + 1
        } catch (cause) {
          fs.ftruncateSync(fd, size)
          throw cause
        }
      }))
  return { rows, append } satisfies Journal<A> as Journal<A>
})
