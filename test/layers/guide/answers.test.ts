/** The file of paid answers, which every run and command of a user shares. */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import { Effect } from "effect"
import { afterAll, assert, describe, it } from "vitest"
import { Answers } from "../../../layers/guide/answers.ts"

const work = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-answers-"))
afterAll(() => fs.rmSync(work, { recursive: true, force: true }))

describe("Answers", () => {
  it("is made by four processes at once, and keeps what each was told", async () => {
    const file = path.join(work, "new", "answers.db")
    const moment = Date.now() + 4000
    const keys = ["a", "b", "c", "d"]
    const child = path.join(import.meta.dirname, "answers-child.ts")
    await Promise.all(keys.map((key) => promisify(execFile)(process.execPath, [child, file, String(moment), key])))
    const kept = await Effect.runPromise(
      Answers.use((answers) => Effect.forEach(keys, answers.get)).pipe(Effect.provide(Answers.layer(file)))
    )
    assert.deepStrictEqual(kept, ["A", "A", "A", "A"])
  }, 180_000)
})
