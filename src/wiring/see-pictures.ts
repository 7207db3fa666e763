/**
 * What is seen of the PNG files that rows name. They come from anywhere: each is decoded in a separate process behind
 * limits, which starts with the first.
 */
import * as fs from "node:fs"
import { Effect } from "effect"
import { pngSize } from "../../layers/renderer/png-drawing.ts"
import { RendererPool } from "../../layers/renderer/pool.ts"
import { defaults } from "../../layers/renderer/resvg.ts"
import { seenIn } from "../roles/seen.ts"
import { explain, FileProblem, readBytes } from "../system/files.ts"

/** Most bytes of a file. */
const largest = 16e6

/** The process lives as long as the scope. A file that is no picture, or is too large, is a `FileProblem` that names it. */
export const openSeeing = Effect.gen(function*() {
  let pool: RendererPool | undefined
  yield* Effect.addFinalizer(() => Effect.promise(async () => pool?.close()))
  return Effect.fnUntraced(function*(file: string) {
    const refuse = (why: string) => new FileProblem({ message: `${file} cannot be seen: ${why}.` })
    const attempt = <A>(work: () => A) => Effect.try({ try: work, catch: (cause) => refuse(explain(cause)) })
    const stat = yield* attempt(() => fs.statSync(file))
    if (!stat.isFile()) return yield* refuse("it is no file")
    if (stat.size > largest) return yield* refuse(`it has ${stat.size} bytes, and ${largest} are the most`)
    const bytes = yield* readBytes(file)
    const size = yield* attempt(() => pngSize(bytes))
    if (!bytes.includes("IEND")) return yield* refuse("it is cut off") // resvg would draw nothing, and not say why
    const side = Math.max(size.width, size.height)
    const process = yield* attempt(() => pool ??= new RendererPool({ ...defaults, spares: 0 }))
    const drawn = yield* Effect.promise(() => process.renderPng(bytes, side))
    if (drawn._tag === "Pixels") return seenIn({ width: side, height: side, rgba: drawn.rgba })
    return yield* refuse(drawn._tag === "Killed" ? drawn.detail : drawn.message)
  })
})
