/** `vequinox render`: what becomes of SVG files behind the gate and in the renderer, one JSON line a file. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Clock, Console, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as rendererResvg from "../../layers/renderer-resvg.ts"
import type { Rendering } from "../domain.ts"
import { readText, writeFile } from "../files.ts"
import { Renderer } from "../stages/Renderer.ts"
import { encodePng } from "../svg/png.ts"
import * as Flags from "./flags.ts"

const outcomes = { Rendered: "rendered", Rejected: "rejected", Killed: "killed" } as const

/** The files themselves, and all .svg files below the folders, in order of their names. */
const listFiles = Effect.fnUntraced(function*(given: ReadonlyArray<string>) {
  const lists = yield* Effect.forEach(given, (at) =>
    Effect.try({
      try: () =>
        fs.statSync(at).isDirectory()
          ? fs.readdirSync(at, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".svg")).sort()
            .map((name) => path.join(at, name))
          : [at],
      catch: () => new Flags.BadInput({ message: `${at} is neither a file nor a folder: check the path.` })
    }))
  return lists.flat()
})

export const render = Command.make("render", {
  files: Argument.String("files").pipe(
    Argument.withDescription("SVG files, or folders of them"),
    Argument.variadic({ min: 1 })
  ),
  size: Flag.Int("size").pipe(
    Flag.withDescription("pixels of a picture's side"),
    Flag.withSchema(Flags.PositiveInt),
    Flag.withDefault(224)
  ),
  out: Flag.String("out").pipe(Flag.withDescription("folder for PNG files"), Flag.optional),
  allowText: Flag.Boolean("allow-text").pipe(Flag.withDescription("letters are allowed"), Flag.withDefault(false))
}, Effect.fn(function*({ allowText, files: given, out, size }) {
  const files = yield* listFiles(given)
  yield* Effect.gen(function*() {
    const renderer = yield* Renderer
    const results = Effect.forEach(files, (file) =>
      Effect.gen(function*() {
        const start = yield* Clock.currentTimeMillis
        // A file that is no text is a drawing that does not render, not the end of the command.
        const rendering: Rendering = yield* readText(file).pipe(
          Effect.flatMap((text) => renderer.render(text, { allowText })),
          Effect.catchTag("FileProblem", ({ message }) =>
            Effect.succeed<Rendering>({ _tag: "Rejected", reason: "no-svg", detail: message }))
        )
        const ms = (yield* Clock.currentTimeMillis) - start
        if (Option.isSome(out) && rendering._tag === "Rendered") {
          const { height, rgba, width } = rendering.picture
          const name = path.basename(file).replace(/\.svg$/, "") + ".png"
          yield* writeFile(path.join(out.value, name), encodePng(width, height, rgba))
        }
        const reason = rendering._tag === "Rendered" ? null : rendering.reason
        yield* Console.log(JSON.stringify({ file, outcome: outcomes[rendering._tag], reason, ms }))
      }), { concurrency: 8, discard: true })
    yield* results
  }).pipe(Effect.scoped, Effect.provide(rendererResvg.layer({ size })))
})).pipe(Command.withDescription("Render SVG files behind the validity gate"))
