/** Reading what a user gives and writing what a run leaves, each failure one clear sentence. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Schema } from "effect"

/** A file or folder that cannot be read or written, or whose content cannot be used. */
export class FileProblem extends Schema.TaggedError<FileProblem>()("FileProblem", {
  message: Schema.String
}) {}

/** What the file system said, in words. */
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
      return "a part of its path is a file"
    default:
      return code ?? message
  }
}

export const readBytes = (file: string): Effect.Effect<Buffer, FileProblem> =>
  Effect.try({
    try: () => fs.readFileSync(file),
    catch: (cause) => new FileProblem({ message: `${file} cannot be read: ${explain(cause)}.` })
  })

/** UTF-8 text; a binary file is a problem, not a text with odd characters. */
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
  /** Of its line, from 1. */
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

/** Whole or not at all: written beside, synced, renamed; folders are made as needed. */
export const writeFile = (file: string, data: string | Uint8Array): Effect.Effect<void, FileProblem> =>
  Effect.try({
    try: () => {
      fs.mkdirSync(path.dirname(file), { recursive: true })
      const part = `${file}.part`
      try {
        const fd = fs.openSync(part, "w")
        try {
          fs.writeFileSync(fd, data)
          fs.fsyncSync(fd)
        } finally {
          fs.closeSync(fd)
        }
        fs.renameSync(part, file)
      } catch (cause) {
        fs.rmSync(part, { force: true })
        throw cause
      }
    },
    catch: (cause) => new FileProblem({ message: `${file} cannot be written: ${explain(cause)}.` })
  })
