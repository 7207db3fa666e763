/**
 * Drawings that an evaluation has made, one file for each policy, temperature and list of prompts. A file is whole or not
 * there, so an evaluation that is called again draws and asks only what is missing.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { createHash } from "node:crypto"
import { Effect, Schema } from "effect"
import { Prompt } from "../domain.ts"
import { FileProblem, readText, writeFile } from "../system/files.ts"
import type { PromptDrawn } from "./drawings.ts"

const Cell = Schema.fromJsonString(Schema.Struct({
  /** All that its drawings depend on. */
  key: Schema.String,
  /** Wall clock, of all drawings. */
  seconds: Schema.Finite,
  drawn: Schema.Array(Schema.Struct({
    prompt: Prompt,
    champions: Schema.optionalKey(Schema.Array(Schema.Int)),
    drawings: Schema.Array(Schema.Struct({
      svg: Schema.String,
      outcome: Schema.String,
      hash: Schema.optionalKey(Schema.String),
      tokens: Schema.Int,
      nats: Schema.Finite,
      scores: Schema.Array(Schema.Tuple([Schema.String, Schema.Finite]))
    }))
  }))
}))

export interface CellDrawn {
  readonly drawn: ReadonlyArray<PromptDrawn>
  readonly seconds: number
}

/**
 * The cell of that name, from its file or made now.
 *
 * @param name of the file, for people
 * @param facts all that its drawings depend on
 */
export const cell = Effect.fnUntraced(function*<E, R>(folder: string, name: string, facts: unknown, make: Effect.Effect<CellDrawn, E, R>) {
  const key = createHash("sha256").update(JSON.stringify(facts)).digest("hex")
  const file = path.join(folder, `${name}-${key.slice(0, 12)}.json`)
  if (fs.existsSync(file)) {
    const stored = yield* Schema.decodeEffect(Cell)(yield* readText(file)).pipe(
      Effect.mapError(() => new FileProblem({ message: `${file} is not what an evaluation wrote: remove it, and it is made again.` }))
    )
    if (stored.key === key) {
      return {
        seconds: stored.seconds,
        drawn: stored.drawn.map(({ champions, drawings, prompt }): PromptDrawn => ({
          prompt,
          champions,
          drawings: drawings.map(({ hash, scores, ...drawn }) => ({ ...drawn, hash, scores: new Map(scores) }))
        }))
      } satisfies CellDrawn as CellDrawn
    }
  }
  const { drawn, seconds } = yield* make
  const text = yield* Schema.encodeEffect(Cell)({
    key,
    seconds,
    drawn: drawn.map(({ champions, drawings, prompt }) => ({
      prompt,
      ...(champions === undefined ? {} : { champions }),
      drawings: drawings.map(({ hash, scores, ...drawing }) => ({ ...drawing, ...(hash === undefined ? {} : { hash }), scores: [...scores] }))
    }))
  }).pipe(Effect.orDie)
  yield* writeFile(file, text)
  return { drawn, seconds } satisfies CellDrawn as CellDrawn
})
