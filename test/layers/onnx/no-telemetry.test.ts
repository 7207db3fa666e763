/** onnxruntime would keep a device id and its reports in the user's cache, and send them from there. */
import * as fs from "node:fs"
import { afterAll, assert, it } from "@effect/vitest"
import { commandLine } from "../../support/command-line.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)

it("neither the process nor a thread of it nor the one that tries a device reports to anybody", async () => {
  const { code, stderr } = await vequinox({}, "sample", "a fish", "--out", "drawn", "--device", "auto")
  assert.strictEqual(code, 0, stderr)
  await vequinox({}, "doctor")
  const written = fs.readdirSync(work, { recursive: true, encoding: "utf8" })
  assert.deepStrictEqual(written.filter((name) => /microsoft|onnxruntime/i.test(name)), [])
})
