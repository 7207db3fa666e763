/** A run whose judge stops working, and works again: real processes against a server on a real socket. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { afterAll, assert, it } from "vitest"
import { bareRun, commandLine } from "../support/command-line.ts"
import { during } from "../support/loopback.ts"
import { type Answer, withEcho } from "../support/echo-proxy.ts"
import { startOpenAIServer } from "../support/openai-server.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)
const model = ["--judge", "openai", "--judge-model", "qwen-vl"]

it("a judge that fails on every question is reported and stops the run, which continues once the judge works", () =>
  during(startOpenAIServer({}), (server) => {
    let broken = true
    const refuse = (_key: string, honest: Answer) => broken ? { ...honest, status: 400, body: "no picture can be read" } : undefined
    return Effect.runPromise(withEcho(new URL(server.url).origin, refuse, (url) =>
      Effect.promise(async () => {
        const out = path.join(work, "refusing")
        const tiny = ["--steps", "2", "--prompts-per-step", "6", "--k", "3", ...bareRun, "--out", out, "--judge-cache", `${out}.db`]
        const address = { OPENAI_API_KEY: "sk-secret-of-the-test", OPENAI_BASE_URL: `${url}/v1` }
        const failed = await vequinox(address, "train", ...model, ...tiny)
        assert.notStrictEqual(failed.code, 0)
        assert.match(failed.stderr, /^The judge gave no usable answer to 3 questions in a row, last because .*no picture can be read.*; at 12 the run stops\.$/m)
        assert.match(failed.stderr, /^vequinox: The judge gave no usable answer to 1\d questions in a row, last because .*: fix that, then resume the run\.$/m)
        assert.match(failed.stderr, /^Resume: vequinox train --resume /m)
        broken = false
        const { code, stderr } = await vequinox(address, "train", "--resume", out)
        assert.strictEqual(code, 0, stderr)
        const metrics = fs.readFileSync(path.join(out, "metrics.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line))
        assert.strictEqual(metrics.length, 2)
        assert.isAbove(metrics.reduce((n, { "judge/asked": asked }) => n + asked, 0), 12)
        assert.strictEqual(metrics.reduce((n, { "judge/failed": failed }) => n + failed, 0), 0)
      })))
  }), 180_000)
