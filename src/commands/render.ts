/** `vequinox render`: puts SVG files through the gate and the renderer, one JSON line a file. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Clock, Console, Effect, Option, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as rendererResvg from "../../layers/renderer/resvg.ts"
import type { Rendering } from "../domain.ts"
import { extensionOf, readText } from "../system/files.ts"
import { distinct, needNewFiles, writeNewFile } from "../system/outputs.ts"
import { Renderer } from "../stages/Renderer.ts"
import { encodePng } from "../drawing/png.ts"
import { BadInput } from "../system/errors.ts"
import * as Flags from "../wiring/flags.ts"

const outcomes = { Rendered: "rendered", Rejected: "rejected", Killed: "killed" } as const

/**
 * The given files, and all .svg files below the given folders, sorted by name. Each comes with the name of its PNG,
 * which keeps the path below its folder, so that equal names in two folders stay two pictures.
 */
const listFiles = Effect.fnUntraced(function*(given: ReadonlyArray<string>) {
  const lists = yield* Effect.forEach(given, (at) =>
    Effect.try({
      try: () =>
        fs.statSync(at).isDirectory()
          ? fs.readdirSync(at, { recursive: true, withFileTypes: true })
            .filter((entry) => extensionOf(entry.name) === ".svg" && !entry.isDirectory())
            .map((entry) => path.relative(at, path.join(entry.parentPath, entry.name)))
            .toSorted()
            .map((name) => ({ file: path.join(at, name), name: withoutSvg(name) }))
          : [{ file: at, name: withoutSvg(path.basename(at)) }],
      catch: () => new BadInput({ message: `${at} is neither a file nor a folder: check the path.` })
    }))
  const files = lists.flat()
  const names = distinct(files.map(({ name }) => name), ".")
  return files.map(({ file }, n) => ({ file, png: `${names[n]!}.png` }))
})

const withoutSvg = (name: string): string => extensionOf(name) === ".svg" ? name.slice(0, -4) : name

export const render = Command.make("render", {
  files: Argument.String("files").pipe(
    Argument.withDescription("SVG files, or folders of them"),
    Argument.variadic({ min: 1 })
  ),
  size: Flags.count("size", 4096).pipe(
    Flag.withDescription("pixels of a picture's side"),
    Flag.withDefault(224)
  ),
  out: Flags.out.pipe(Flag.withDescription("folder for PNG files"), Flag.optional),
  allowText: Flag.Boolean("allow-text").pipe(Flag.withDescription("letters are allowed"), Flag.withDefault(false))
}, Effect.fn(function*({ allowText, files: given, out, size }) {
  const files = yield* listFiles(given)
  if (Option.isSome(out)) yield* needNewFiles(files.map(({ png }) => path.join(out.value, png)), "--out")
  yield* Effect.gen(function*() {
    const renderer = yield* Renderer
    const describe = Effect.fnUntraced(function*({ file, png }: { readonly file: string; readonly png: string }) {
      const start = yield* Clock.currentTimeMillis
      // A file that is not text counts as a drawing that does not render; the command continues.
      const rendering: Rendering = yield* readText(file).pipe(
        Effect.flatMap((text) => renderer.render(text, { allowText })),
        Effect.catchTag("FileProblem", ({ message }) =>
          Effect.succeed<Rendering>({ _tag: "Rejected", reason: "no-svg", detail: message }))
      )
      const ms = (yield* Clock.currentTimeMillis) - start
      if (Option.isSome(out) && rendering._tag === "Rendered") {
        const { height, rgba, width } = rendering.picture
        yield* writeNewFile(path.join(out.value, png), encodePng(width, height, rgba), "--out", false)
      }
      const reason = rendering._tag === "Rendered" ? null : rendering.reason
      return JSON.stringify({ file, outcome: outcomes[rendering._tag], reason, ms })
    })
    yield* Stream.fromIterable(files).pipe(
      Stream.mapEffect(describe, { concurrency: 8 }), // the lines still come in the order of the files
      Stream.runForEach(Console.log)
    )
  }).pipe(Effect.scoped, Effect.provide(rendererResvg.layer({ size })))
})).pipe(Command.withDescription("Render SVG files behind the validity gate"))
