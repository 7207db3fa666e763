/** Reads columns of texts from Parquet files, in a thread with limits: what the file says of itself may be anything. */
import { Worker } from "node:worker_threads"
import { Effect } from "effect"
import { FileProblem, fileSize } from "./files.ts"
import type { Asked, Told } from "./parquet-worker.ts"
import { programBeside } from "./program.ts"

/** Names that a column may have; the first one that is there is read. */
export type Columns = Readonly<Record<string, ReadonlyArray<string>>>

/** Seconds that a file of so many bytes may take. */
const secondsFor = (bytes: number): number => 30 + Math.ceil(bytes / 2e7)

/**
 * The file's rows: of each of `columns` the text, undefined where the file has no such column or the row no value. Numbers are
 * told as texts. Of the other columns nothing is read, however large they are.
 *
 * Fails with `FileProblem` where the file is no Parquet, has none of the columns of `needed`, has more than a million rows or 256
 * MB of such texts, or takes too long.
 *
 * @param needed one of `columns`
 */
export const parquetRows = Effect.fn("parquetRows")(function*<C extends Columns>(file: string, columns: C, needed: keyof C & string) {
  const bytes = yield* fileSize(file)
  const problem = (why: string) => new FileProblem({ message: `${file} ${why}.` })
  const told = yield* Effect.callback<Told, FileProblem>((resume) => {
    const workerData: Asked = { file, columns }
    const worker = new Worker(programBeside(import.meta.url, "./parquet-worker"), { workerData, resourceLimits: { maxOldGenerationSizeMb: 2048 } })
    worker.once("message", (told: Told) => resume(Effect.succeed(told)))
    worker.once("error", ({ message }) => resume(Effect.fail(problem(`cannot be read as Parquet: ${message}`))))
    worker.once("exit", () => resume(Effect.fail(problem("cannot be read as Parquet"))))
    return Effect.promise(() => worker.terminate())
  }).pipe(Effect.timeoutOrElse({
    duration: 1000 * secondsFor(bytes),
    orElse: () => Effect.fail(problem(`took longer than ${secondsFor(bytes)} s to read, so it was left`))
  }))
  if ("refused" in told) return yield* problem(told.refused)
  const found = Object.keys(told.texts)
  if (!found.includes(needed)) {
    return yield* problem(`needs a column of texts named ${columns[needed]!.join(" or ")}, and has ${told.names.slice(0, 20).join(", ") || "no column"}`)
  }
  return Array.from({ length: told.rows }, (_, n) =>
    Object.fromEntries(found.map((column) => [column, told.texts[column]![n] ?? undefined])) as { readonly [K in keyof C]?: string | undefined })
})
