import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, it } from "vitest"
import { processUsage } from "../../../layers/renderer/process-usage.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"

const proc = scratchFolder("proc")

/** As a machine with pages of 16 KiB tells it: 5,000 pages in `stat`, 80,000 kB in `status`. */
const fields = ["S", "1", "7", "7", "0", "-1", "0", "0", "0", "0", "0", "250", "50", "0", "0", "20", "0", "1", "0", "100", "90000000", "5000"]

it("memory does not depend on the size of a page", () => {
  fs.mkdirSync(path.join(proc, "7"))
  fs.writeFileSync(path.join(proc, "7/stat"), `7 (a (very) odd name) ${fields.join(" ")} 0 0\n`)
  fs.writeFileSync(path.join(proc, "7/status"), "Name:\ta (very) odd name\nVmHWM:\t   90000 kB\nVmRSS:\t   80000 kB\nRssAnon:\t   70000 kB\n")
  assert.deepStrictEqual(processUsage(7, proc), { cpuSeconds: 3, rss: 80_000 * 1024 })
  assert.isUndefined(processUsage(8, proc))
})

it.skipIf(!fs.existsSync("/proc/self/status"))("of a real process is what that process says of itself", async () => {
  const held = 200e6
  const script = `const held = Buffer.alloc(${held}, 1); console.log(process.memoryUsage().rss); process.stdin.on("data", () => held[0])`
  const child = spawn(process.execPath, ["-e", script], { stdio: ["pipe", "pipe", "inherit"] })
  try {
    const said = await new Promise<number>((resolve) => child.stdout.once("data", (text) => resolve(Number(text))))
    const { cpuSeconds, rss } = processUsage(child.pid!)!
    assert.isAbove(rss, held)
    assert.approximately(rss / said, 1, 0.2)
    assert.isAbove(cpuSeconds, 0)
  } finally {
    child.kill("SIGKILL")
  }
})
