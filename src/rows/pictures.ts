/**
 * Pictures of rows, for policies without eyes: what is seen of a picture takes the place of `<image>` in the user's text.
 * As in LLaMA-Factory, a row has as many `<image>` as it names pictures. Paths are relative to the file of the row, and
 * lead to pictures beside or below it.
 */
import * as path from "node:path"
import { Effect } from "effect"
import { FileProblem } from "../system/files.ts"
import type { TrainingRow } from "./read.ts"

const place = "<image>"

/** What is seen of a picture file, as one line. */
export type See<E> = (file: string) => Effect.Effect<string, E>

const isBelow = (folder: string, file: string): boolean => {
  const way = path.relative(folder, file)
  return way !== "" && way.split(path.sep)[0] !== ".." && !path.isAbsolute(way)
}

/** The row with words for pictures. A row that names none stays as it is, `<image>` included. */
export const withPicturesSeen = Effect.fnUntraced(function*<E extends { readonly message: string }>(row: TrainingRow, see: See<E>) {
  if (row.images.length === 0) return row
  const refuse = (why: string) => new FileProblem({ message: `${row.where}: ${why}.` })
  const texts = row.context.map(({ content, role }) => role === "user" ? content.split(place) : [content])
  const places = texts.reduce((sum, parts) => sum + parts.length - 1, 0)
  if (places !== row.images.length) {
    return yield* refuse(`it names ${row.images.length} images, and ${place} stands ${places} times in the user's text`)
  }
  const folder = path.dirname(path.resolve(row.file))
  const seen = yield* Effect.forEach(row.images, (image) => {
    const file = path.resolve(folder, image)
    if (!isBelow(folder, file)) return Effect.fail(refuse(`the picture ${image} is not beside or below the file`))
    return Effect.mapError(see(file), ({ message }) => new FileProblem({ message: `${row.where}: ${message}` }))
  })
  let used = 0
  const joined = (parts: ReadonlyArray<string>): string => parts.reduce((text, part) => text + seen[used++]! + part)
  const context = row.context.map((message, n) => ({ ...message, content: joined(texts[n]!) }))
  return { ...row, context, prompt: row.prompt === undefined ? undefined : context[0]!.content } satisfies TrainingRow as TrainingRow
})
