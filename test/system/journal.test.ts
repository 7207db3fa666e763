/** A journal keeps whole lines only: each is on disk when it is appended, a torn one is dropped, a foreign one is refused. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { vi } from "vitest"
import { openJournal } from "../../src/system/journal.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

vi.mock("node:fs", { spy: true })

const work = scratchFolder("journal")
const Row = Schema.Struct({ n: Schema.Int, text: Schema.String })
const fresh = (text?: string): string => {
  const file = path.join(fs.mkdtempSync(path.join(work, "journal-")), "rows.jsonl")
  if (text !== undefined) fs.writeFileSync(file, text)
  return file
}
const open = (file: string) => openJournal(file, Row, "a row")
const read = (file: string): string => fs.readFileSync(file, "utf8")
const rowsOf = (file: string) => Effect.scoped(Effect.map(open(file), ({ rows }) => rows))
const line = (n: number): string => `{"n":${n},"text":"é"}\n`

describe("a journal", () => {
  it.effect("is made with its folders, and gives back what was appended, in order", () =>
    Effect.gen(function*() {
      const file = path.join(work, "new", "deep", "rows.jsonl")
      const rows = [{ n: 1, text: "a\nb" }, { n: 2, text: "\u2028 \ud800 \"é\" 🍑" }, { n: 3, text: "" }]
      yield* Effect.scoped(Effect.gen(function*() {
        const journal = yield* open(file)
        assert.deepStrictEqual(journal.rows, [])
        for (const [i, row] of rows.entries()) {
          yield* journal.append(row)
          assert.strictEqual(read(file).split("\n").length, i + 2) // at once, not when it is closed
        }
      }))
      assert.deepStrictEqual(yield* rowsOf(file), rows)
      yield* Effect.scoped(Effect.flatMap(open(file), ({ append }) => append({ n: 4, text: "later" })))
      assert.deepStrictEqual(yield* rowsOf(file), [...rows, { n: 4, text: "later" }])
    }))

  it.effect("drops what is left of a line that was cut off anywhere, and appends after it", () =>
    Effect.gen(function*() {
      const next = Buffer.from(line(3))
      for (let cut = 0; cut < next.length; cut++) {
        const file = fresh()
        fs.writeFileSync(file, Buffer.concat([Buffer.from(line(1) + line(2)), next.subarray(0, cut)]))
        const rows = yield* Effect.scoped(Effect.gen(function*() {
          const journal = yield* open(file)
          yield* journal.append({ n: 4, text: "é" })
          return journal.rows
        }))
        assert.deepStrictEqual(rows.map(({ n }) => n), [1, 2])
        assert.strictEqual(read(file), line(1) + line(2) + line(4))
      }
    }))

  it.effect("refuses any other line that is no row, names it, and leaves the file as it is", () =>
    Effect.gen(function*() {
      for (const [text, number] of [[`no row\n${line(1)}`, 1], [`${line(1)}{"n":1.5,"text":""}\n`, 2], [`${line(1)}\n`, 2], [`${line(1)}${line(2)}[]\n{"n":`, 3]] as const) {
        const file = fresh(text)
        const { message } = yield* Effect.flip(rowsOf(file))
        assert.strictEqual(message, `${file}, line ${number}, is not a row: choose another --out.`)
        assert.strictEqual(read(file), text)
      }
    }))

  it.effect("says in one sentence that it cannot be written", () =>
    Effect.gen(function*() {
      const below = path.join(fresh(""), "rows.jsonl")
      assert.strictEqual((yield* Effect.flip(rowsOf(below))).message, `${below} cannot be written: a part of its path is a file.`)
      assert.strictEqual((yield* Effect.flip(rowsOf(work))).message, `${work} cannot be written: it is a folder.`)
      if (process.getuid?.() === 0) return // may write everywhere
      const file = fresh("")
      fs.chmodSync(file, 0o444)
      assert.strictEqual((yield* Effect.flip(rowsOf(file))).message, `${file} cannot be written: permission is denied.`)
    }))

  it.effect("has no half of a row that the disk had no room for, and takes the next", () =>
    Effect.gen(function*() {
      const file = fresh(line(1))
      yield* Effect.scoped(Effect.gen(function*() {
        const { append } = yield* open(file)
        vi.mocked(fs.writeFileSync).mockImplementationOnce((fd, text) => {
          fs.writeSync(fd as number, String(text).slice(0, 5))
          throw Object.assign(new Error("no"), { code: "ENOSPC" })
        })
        const { message } = yield* Effect.flip(append({ n: 2, text: "é" }))
        assert.strictEqual(message, `${file} cannot be written: the disk is full.`)
        assert.strictEqual(read(file), line(1))
        yield* append({ n: 3, text: "é" })
      }))
      assert.strictEqual(read(file), line(1) + line(3))
    }))
})
