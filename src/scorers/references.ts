/** Pictures that drawings are compared with: a file of JSON lines, {"prompt": ..., "image": path to a .png or .svg}. */
import { createHash } from "node:crypto"
import * as path from "node:path"
import { Effect, Schema } from "effect"
import { FileProblem, readBytes, readText } from "../system/files.ts"

export interface References {
  /** The image file of each prompt. */
  readonly images: ReadonlyMap<string, string>
  /** SHA-256 over prompts and images, hex: says which references a judgment used. */
  readonly hash: string
}

const Line = Schema.fromJsonString(Schema.Struct({ prompt: Schema.NonEmptyString, image: Schema.NonEmptyString }))

/** Fails with `FileProblem`, which names the line, if one cannot be used. Paths are relative to the file. */
export const readReferences = Effect.fn("readReferences")(function*(file: string) {
  const text = yield* readText(file)
  const images = new Map<string, string>()
  const hash = createHash("sha256")
  for (const [n, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "") continue
    const problem = (what: string) => new FileProblem({ message: `${file}, line ${n + 1}: ${what}.` })
    const { image, prompt } = yield* Schema.decodeEffect(Line)(line).pipe(
      Effect.mapError(() => problem(`it is not an object {"prompt": ..., "image": ...}`))
    )
    if (images.has(prompt)) return yield* problem(`"${prompt}" already has a reference: keep one`)
    if (!/\.(png|svg)$/i.test(image)) return yield* problem(`${image} is neither a .png nor a .svg`)
    const at = path.resolve(path.dirname(file), image)
    hash.update(JSON.stringify(prompt)).update(yield* readBytes(at))
    images.set(prompt, at)
  }
  if (images.size === 0) return yield* new FileProblem({ message: `${file} has no references: write one a line.` })
  return { images, hash: hash.digest("hex") } satisfies References as References
})
