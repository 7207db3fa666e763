/** `--judge human` as people meet it: a real process, and somebody at its page. */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, it } from "vitest"
import { bareRun } from "../support/command-line.ts"
import { sitAtPage, watch } from "../support/human.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const root = path.resolve(import.meta.dirname, "../..")
const work = scratchFolder("human")

/** A process, told where its page is as soon as it says so. */
const vequinox = (atPage: (url: string, child: { readonly kill: (signal: NodeJS.Signals) => void }) => void, ...args: ReadonlyArray<string>) =>
  new Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }>((resolve) => {
    const child = spawn(process.execPath, [path.join(root, "src/main.ts"), ...args, "--judge", "human"], {
      cwd: work,
      env: { PATH: process.env["PATH"], XDG_CACHE_HOME: path.join(work, "cache") }
    })
    let [stdout, stderr] = ["", ""]
    let told = false
    child.stdout.on("data", (part) => (stdout += part))
    child.stderr.on("data", (part) => {
      stderr += part
      const url = /http:\S+\/(?=\n)/.exec(stderr)?.[0]
      if (url !== undefined && !told) {
        told = true
        atPage(url, { kill: (signal) => child.kill(signal) })
      }
    })
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }))
  })

it("trains on what the person at the page prefers", async () => {
  const out = path.join(work, "run")
  const tiny = ["--steps", "1", "--prompts-per-step", "2", "--k", "3", ...bareRun]
  const seen: Array<string> = []
  const { code, stderr } = await vequinox((url) => void sitAtPage(url, (prompt) => seen.push(prompt)), "train", ...tiny, "--out", out)
  assert.strictEqual(code, 0, stderr)
  const lines = (name: string) => fs.readFileSync(path.join(out, name), "utf8").trim().split("\n").map((line) => JSON.parse(line))
  assert.isAbove(seen.length, 1)
  assert.strictEqual(lines("metrics.jsonl")[0]["judge/asked"], seen.length)
  assert.strictEqual(lines("metrics.jsonl")[0]["judge/failed"], 0)
  assert.isTrue(lines("preferences.jsonl").some(({ judge }) => judge === "human"))
  assert.isTrue(fs.existsSync(path.join(work, "cache/vequinox/human-answers.db")))
  assert.strictEqual(stderr.match(/http:/g)!.length, 1)
}, 180_000)

it("Ctrl-C ends the wait for an answer, and the page with it", async () => {
  const draw = (name: string, colour: string) => {
    fs.writeFileSync(path.join(work, name), `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><circle cx="32" cy="32" r="14" fill="${colour}"/></svg>`)
    return name
  }
  let page = ""
  let interruptedAt = 0
  const { code, signal } = await vequinox((url, child) => {
    page = url
    watch(url, ({ waiting }) => {
      if (waiting === 0 || interruptedAt > 0) return
      interruptedAt = performance.now()
      child.kill("SIGINT")
    })
  }, "judge", "--prompt", "one red circle", draw("a.svg", "red"), draw("b.svg", "blue"))
  assert.isBelow(performance.now() - interruptedAt, 3000) // the whole process, on a machine that may be busy
  assert.isTrue(code !== 0 || signal !== null)
  await fetch(page).then(() => assert.fail("the page is still there"), () => {})
}, 180_000)
