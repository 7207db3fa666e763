/** Reads what a user gives and writes what a run leaves; each failure is one clear sentence. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Schema } from "effect"
import { isFree, makeFolders, removeFolders } from "./folders.ts"

/** A file or folder that cannot be read or written, or whose content cannot be used. */
export class FileProblem extends Schema.TaggedError<FileProblem>()("FileProblem", {
  message: Schema.String
}) {}

/** The file system's error in words. */
export const explain = (cause: unknown): string => {
  const { code, message } = cause as NodeJS.ErrnoException
  switch (code) {
    case "ENOENT":
      return "it does not exist"
    case "EACCES":
    case "EPERM":
      return "permission is denied"
    case "EROFS":
      return "the file system is read-only"
    case "ENOSPC":
      return "the disk is full"
    case "EISDIR":
      return "it is a folder"
    case "ENOTDIR":
    case "EEXIST": // a folder should be made there
      return "a part of its path is a file"
    default:
      return code ?? message
  }
}

/**
 * The ending of the file's name, in lower case and with its dot: `.jsonl` for `ROWS.JSONL` too; empty if there is none.
 */
export const extensionOf = (file: string): string => path.extname(file).toLowerCase()

export const readBytes = (file: string): Effect.Effect<Buffer, FileProblem> =>
  Effect.try({
    try: () => fs.readFileSync(file),
    catch: (cause) => new FileProblem({ message: `${file} cannot be read: ${explain(cause)}.` })
  })

/** Bytes of a file. */
export const fileSize = (file: string): Effect.Effect<number, FileProblem> =>
  Effect.try({
    try: () => fs.statSync(file),
    catch: (cause) => new FileProblem({ message: `${file} cannot be read: ${explain(cause)}.` })
  }).pipe(Effect.filterOrFail((stat) => stat.isFile(), () => new FileProblem({ message: `${file} is no file.` })), Effect.map(({ size }) => size))

/** UTF-8 text. A binary file is a `FileProblem`, not a text with odd characters. */
export const readText = Effect.fnUntraced(function*(file: string) {
  const bytes = yield* readBytes(file)
  return yield* Effect.try({
    try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
    catch: () => new FileProblem({ message: `${file} is not UTF-8 text.` })
  }).pipe(Effect.filterOrFail(
    (text) => !text.includes("\0"),
    () => new FileProblem({ message: `${file} is a binary file, not text.` })
  ))
})

export interface NumberedRow<A> {
  readonly row: A
  /** Number of its line, from 1. */
  readonly number: number
}

/** The rows of a JSONL file with the numbers of their lines; an unreadable line is named. */
export const readNumberedRows = Effect.fnUntraced(function*<A>(file: string, row: Schema.Codec<A, unknown>) {
  const text = yield* readText(file)
  const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Unknown))
  const lines = text.split("\n").map((line, i) => ({ line, number: i + 1 })).filter(({ line }) => line.trim() !== "")
  if (lines.length === 0) return yield* new FileProblem({ message: `${file} has no rows.` })
  return yield* Effect.forEach(lines, ({ line, number }) =>
    decode(line).pipe(
      Effect.flatMap(Schema.decodeUnknownEffect(row)),
      Effect.mapBoth({
        onSuccess: (row): NumberedRow<A> => ({ row, number }),
        onFailure: (error) => new FileProblem({ message: `${file}, line ${number}: ${error.message.replace(/\s+/g, " ")}.` })
      })
    ))
})

/** The rows of a JSONL file; an unreadable line is named. */
export const readRows = <A>(file: string, row: Schema.Codec<A, unknown>) =>
  Effect.map(readNumberedRows(file, row), (rows) => rows.map(({ row }) => row))

/** Throws. On disk when this returns, where that is asked for; its folder is not synced. @param flags of `open` */
export const writeThrough = (file: string, data: string | Uint8Array, flags: "w" | "wx", durable: boolean): void => {
  const fd = fs.openSync(file, flags)
  try {
    fs.writeFileSync(fd, data)
    if (durable) fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/**
 * Writes the file whole or not at all: written beside, synced, renamed. Missing folders are made. It is on disk when
 * this returns.
 *
 * @param durable false does not wait for the disk, which can take longer than a person notices: for what can be made
 * again
 */
export const writeFile = (file: string, data: string | Uint8Array, durable = true): Effect.Effect<void, FileProblem> =>
  Effect.try({
    try: () => {
      makeFolder(path.dirname(file))
      const part = `${file}.part`
      try {
        writeThrough(part, data, "w", durable)
        fs.renameSync(part, file)
        if (durable) syncFolder(path.dirname(file))
      } catch (cause) {
        fs.rmSync(part, { force: true })
        throw cause
      }
    },
    catch: (cause) => new FileProblem({ message: `${file} cannot be written: ${explain(cause)}.` })
  })

/** Everything made, renamed or removed in the folder is on disk when this returns. Not every system can sync folders. */
export const syncFolder = (folder: string): void => {
  if (process.platform === "win32") return
  const fd = fs.openSync(folder, "r")
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/**
 * Makes the folder and those above it, on disk when this returns.
 * @returns those that were made, outermost first
 */
const makeFolder = (folder: string): ReadonlyArray<string> => {
  const made = makeFolders(folder)
  for (const at of made.toReversed()) syncFolder(path.dirname(at))
  return made
}

/** Whether it is an existing folder that must stay: a mount point, or one whose parent is not ours. */
const cannotBeReplaced = (folder: string): boolean => {
  if (!fs.existsSync(folder)) return false
  const above = path.dirname(folder)
  try {
    fs.accessSync(above, fs.constants.W_OK)
    return fs.statSync(folder).dev !== fs.statSync(above).dev
  } catch {
    return true
  }
}

/**
 * Fails with `FileProblem` if the file system of `at`, which exists, has fewer bytes free. Checked before minutes of
 * writing; a system that does not say is trusted.
 *
 * @param out what is to be written, for the message
 */
export const needSpace = (at: string, out: string, bytes: number): Effect.Effect<void, FileProblem> =>
  Effect.suspend(() => {
    const { bavail, bsize } = fs.statfsSync(at)
    const gb = (n: number) => (n / 1e9).toFixed(1)
    return bavail === 0 || bavail * bsize > bytes ? Effect.void : Effect.fail(
      new FileProblem({ message: `${out} cannot be written: it takes ${gb(bytes)} GB and ${gb(bavail * bsize)} GB are free.` })
    )
  })

/**
 * Writes a whole folder or none: filled beside under another name, synced, renamed. A failure or an interruption leaves
 * nothing, not even new parent folders. A folder that holds anything is a `FileProblem`. An existing folder that cannot
 * be replaced gets its files by renaming them one after another.
 *
 * @param fill writes and syncs its files below the folder it is given
 */
export const writeFolder = <E>(given: string, fill: (part: string) => Effect.Effect<void, E>): Effect.Effect<void, E | FileProblem> => {
  const named = path.resolve(given)
  const folder = fs.existsSync(named) ? fs.realpathSync(named) : named // a link to an empty folder stays a link
  const above = path.dirname(folder)
  const attempt = <A>(run: () => A) =>
    Effect.try({ try: run, catch: (cause) => new FileProblem({ message: `${folder} cannot be written: ${explain(cause)}.` }) })
  const make = attempt(() => {
    if (!isFree(folder)) return undefined
    const made = makeFolder(above)
    const inside = cannotBeReplaced(folder)
    return { made, inside, part: fs.mkdtempSync(inside ? path.join(folder, ".part-") : `${folder}.part-`) }
  })
  const remove = ({ made, part }: { readonly made: ReadonlyArray<string>; readonly part: string }) =>
    Effect.sync(() => {
      fs.rmSync(part, { recursive: true, force: true })
      removeFolders(made)
    })
  return Effect.acquireUseRelease(
    Effect.filterOrFail(make, (made) => made !== undefined, () =>
      new FileProblem({ message: `${folder} exists and is not an empty folder: choose another with --out.` })),
    ({ inside, part }) =>
      Effect.andThen(
        fill(part),
        attempt(() => {
          syncFolder(part)
          if (inside) {
            for (const name of fs.readdirSync(part)) fs.renameSync(path.join(part, name), path.join(folder, name))
            fs.rmdirSync(part)
            return syncFolder(folder)
          }
          fs.chmodSync(part, 0o777 & ~process.umask()) // a temporary folder is private to its owner
          fs.rmSync(folder, { recursive: true, force: true }) // empty: not every system renames onto a folder
          fs.renameSync(part, folder)
          syncFolder(above)
        })
      ),
    (made, exit) => exit._tag === "Success" ? Effect.void : remove(made)
  )
}
