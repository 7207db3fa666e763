import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { isHeldOut, promptKey } from "../../src/rows/hold-out.ts"
import { withPicturesSeen } from "../../src/rows/pictures.ts"
import { readTrainingRows } from "../../src/rows/read.ts"
import { correctionText, critiqueText } from "../../src/roles/roles.ts"
import { FileProblem } from "../../src/system/files.ts"
import { encodePng } from "../../src/drawing/png.ts"
import { openSeeing } from "../../src/wiring/see-pictures.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { correction, critique, direct, drawing, preferences } from "./introsvg.ts"

const folder = scratchFolder("rows")
const write = (name: string, text: string): string => {
  const file = path.join(folder, name)
  fs.writeFileSync(file, text)
  return file
}
const red = encodePng(40, 40, new Uint8Array(40 * 40 * 4).map((_, i) => i % 4 === 0 || i % 4 === 3 ? 255 : 0))
const failing = <A, E extends { readonly message: string }, R>(effect: Effect.Effect<A, E, R>) => Effect.map(Effect.flip(effect), ({ message }) => message)

describe("files of rows", () => {
  it.effect("IntroSVG's array, and the same as lines", () =>
    Effect.gen(function*() {
      const rows = [direct, correction, critique]
      const array = yield* readTrainingRows(write("intro.json", JSON.stringify(rows, null, 2)))
      const lines = yield* readTrainingRows(write("intro.ndjson", `\uFEFF${rows.map((row) => JSON.stringify(row)).join("\r\n")}\n\n`))
      assert.deepStrictEqual(array.map(({ kind }) => kind), ["direct", "correction", "critique"])
      const bare = (all: typeof array) => all.map((row) => ({ ...row, file: "", where: "" }))
      assert.deepStrictEqual(bare(lines), bare(array))
      assert.match(array[2]!.where, /intro\.json, entry 3$/)
      assert.match(lines[2]!.where, /intro\.ndjson, line 3$/)
    }))

  const bad: ReadonlyArray<readonly [string, string, RegExp]> = [
    ["no JSON", "{\"prompt\": \"a\", \"completion\": \"b\"}\n{oops", /x\.jsonl, line 2: it is not JSON: .+\.$/],
    ["an array that is cut off", "[{}", /x\.jsonl: it is not JSON: .+\.$/],
    ["a row of preferences", JSON.stringify([direct, preferences]), /x\.jsonl, entry 2: it is a row of preferences .+ as the completion\.$/],
    ["no rows", "[]", /x\.jsonl has no rows\.$/],
    ["only blank lines", "\n \n", /x\.jsonl has no rows\.$/],
    ["brackets in brackets", "[".repeat(1e5), /x\.jsonl: it is not JSON/],
    ["a kind that nobody knows", "{\"prompt\": \"a\", \"completion\": \"b\", \"kind\": 7}", /x\.jsonl, line 1: its kind is 7/]
  ]
  for (const [name, text, expected] of bad) {
    it.effect(`one sentence for ${name}`, () =>
      Effect.gen(function*() {
        const message = yield* failing(readTrainingRows(write("x.jsonl", text)))
        assert.match(message, expected)
        assert.notInclude(message, "\n")
      }))
  }
})

describe("pictures of rows", () => {
  const rowOf = (row: unknown) => Effect.map(readTrainingRows(write("pictures.json", JSON.stringify([row]))), ([first]) => first!)
  const see = (file: string) => Effect.succeed(`seen ${path.relative(folder, file)}`)
  const withImages = (text: string, ...images: ReadonlyArray<string>) => ({ ...critique, images, messages: [{ role: "user", content: text }, critique.messages[1]] })

  it.effect("become words, in their places", () =>
    Effect.gen(function*() {
      const row = yield* withPicturesSeen(yield* rowOf(withImages("<image> and <image>?", "a.png", "b/c.png")), see)
      assert.deepStrictEqual(row.context, [{ role: "user", content: "seen a.png and seen b/c.png?" }])
      const own = yield* withPicturesSeen(yield* rowOf({ prompt: "a cat <image>", completion: "{\"score\": 1}", images: "d.png" }), see)
      assert.strictEqual(own.prompt, "a cat seen d.png")
      const none = yield* rowOf({ prompt: "draw <image>", completion: "b" })
      assert.strictEqual(yield* withPicturesSeen(none, see), none)
    }))

  it.effect("that do not fit the text, or lie elsewhere, are refused with their row", () =>
    Effect.gen(function*() {
      const refused = (row: unknown) => Effect.flatMap(rowOf(row), (read) => failing(withPicturesSeen(read, see)))
      assert.match(yield* refused(withImages("<image>", "a.png", "b.png")), /pictures\.json, entry 1: it names 2 images, and <image> stands 1 times in the user's text\.$/)
      assert.match(yield* refused(withImages("<image>", "../a.png")), /entry 1: the picture \.\.\/a\.png is not beside or below the file\.$/)
      assert.match(yield* refused(withImages("<image>", "/etc/passwd")), /the picture \/etc\/passwd is not beside or below the file\.$/)
      assert.match(yield* failing(withPicturesSeen(yield* rowOf(critique), () => Effect.fail(new FileProblem({ message: "no eyes." })))), /entry 1: no eyes\.$/)
    }))

  it.live("are decoded in a process of their own; what is none is named", () =>
    Effect.scoped(Effect.gen(function*() {
      fs.mkdirSync(path.join(folder, "draft_image"), { recursive: true })
      const seeing = yield* openSeeing
      const row = yield* rowOf(critique)
      assert.match(yield* failing(withPicturesSeen(row, seeing)), /pictures\.json, entry 1: .*draft_image.7\.png cannot be seen: it does not exist\.$/)
      write("draft_image/7.png", "no picture")
      assert.match(yield* failing(withPicturesSeen(row, seeing)), /cannot be seen: it is not a PNG\.$/)
      fs.writeFileSync(path.join(folder, "draft_image/7.png"), red.subarray(0, 60))
      assert.match(yield* failing(withPicturesSeen(row, seeing)), /entry 1: .*7\.png cannot be seen: it is cut off\.$/)
      fs.writeFileSync(path.join(folder, "draft_image/7.png"), red)
      assert.match((yield* withPicturesSeen(row, seeing)).context[0]!.content, /^red 0 0 64 64 of 4096\nPlease/)
      assert.match(yield* failing(seeing(folder)), /cannot be seen: it is no file\.$/)
    })), 180_000)
})

describe("held-out rows", () => {
  const asking = (content: string) => ({ context: [{ role: "system", content: "S" }, { role: "user", content }] })
  it("are on one side with all rows of their prompt", () => {
    const texts = ["a red cat", correctionText("a red cat", drawing, { critique: "x", suggestions: "y" }), critiqueText("a red cat", "nothing"), "a red cat\n<image>"]
    assert.deepStrictEqual(texts.map((text) => promptKey(asking(text))), texts.map(() => "a red cat"))
    assert.strictEqual(promptKey(asking("<svg/> a")), "<svg/> a")
  })
  it("are about the share that is asked for, and stay held out when it grows", () => {
    const rows = Array.from({ length: 2000 }, (_, n) => asking(`prompt ${n}`))
    const held = (share: number) => rows.filter((row) => isHeldOut(row, share))
    assert.closeTo(held(0.2).length, 400, 60)
    assert.includeMembers(held(0.3), held(0.2))
    assert.lengthOf(held(0), 0)
  })
})
