/**
 * Draws the pictures that a user's file names, as candidates are drawn: in a separate process behind limits, since such
 * files come from anywhere. There is no gate: it is narrow because of what a model draws, and icons may be larger.
 */
import { Effect } from "effect"
import type { Prompt } from "../../src/domain.ts"
import type { References } from "../../src/scorers/references.ts"
import { FileProblem, readBytes } from "../../src/system/files.ts"
import { JudgeRefused } from "../../src/stages/Judge.ts"
import { extractSvg } from "../../src/drawing/extract.ts"
import type { Item } from "../onnx/scorer-program.ts"
import { pngSize } from "../renderer/png-drawing.ts"
import { type PoolResult, RendererPool } from "../renderer/pool.ts"
import { defaults } from "../renderer/resvg.ts"

/** The file that a prompt's drawings are compared with; `JudgeRefused` if it has none. */
export const referenceOf = ({ images }: References, { text }: Prompt): Effect.Effect<string, JudgeRefused> => {
  const file = images.get(text)
  return file === undefined
    ? Effect.fail(new JudgeRefused({ message: `There is no reference picture for "${text}": add one to the file of references.` }))
    : Effect.succeed(file)
}

/** Limits for one picture: a person's file may be larger than a model's, and each is drawn once. */
const limits = { deadline: 10, patience: 60, memory: 1e9 }

/** What to ask the renderer for; throws what is wrong with the file. */
const ask = (pool: RendererPool, file: string, bytes: Buffer, side: number): { readonly size: number; readonly result: Promise<PoolResult> } => {
  if (/\.png$/i.test(file)) {
    const { height, width } = pngSize(bytes)
    const size = Math.max(width, height)
    return { size, result: pool.renderPng(bytes, size) }
  }
  const svg = extractSvg(bytes.toString("utf8"))
  if (svg === undefined) throw new Error("there is no <svg> element, or it is cut off")
  return { size: side, result: pool.render(svg) }
}

/**
 * A function that draws a file as a model will see it: an SVG with `side` pixels a side, a PNG in its own size. It
 * fails with `JudgeRefused`, which names the file, if the file cannot be read or drawn. The process lives as long as
 * the scope; `FileProblem` if it cannot be started.
 *
 * @param side pixels, an integer
 */
export const openReferencePictures = Effect.fnUntraced(function*(side: number) {
  const pool = yield* Effect.acquireRelease(
    Effect.try({
      try: () => new RendererPool({ ...defaults, ...limits, processes: 1, spares: 0, size: side }),
      catch: (cause) => new FileProblem({ message: `No process that draws references can be started: ${(cause as Error).message}.` })
    }),
    (pool) => Effect.promise(() => pool.close())
  )
  return Effect.fnUntraced(function*(file: string) {
    const refuse = (why: string) => new JudgeRefused({ message: `The reference ${file} cannot be drawn: ${why}.` })
    const bytes = yield* Effect.mapError(readBytes(file), ({ message }) => new JudgeRefused({ message }))
    const { result, size } = yield* Effect.try({
      try: () => ask(pool, file, bytes, side),
      catch: (cause) => refuse((cause as Error).message)
    })
    const drawn = yield* Effect.promise(() => result)
    switch (drawn._tag) {
      case "Pixels":
        return { picture: { rgba: drawn.rgba, size } } satisfies Item
      case "Killed":
        return yield* refuse(drawn.reason === "crash" ? drawn.detail : `it takes ${drawn.detail}`)
      default:
        return yield* refuse(drawn.message)
    }
  })
})
