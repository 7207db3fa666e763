/** `--judge claude` as people meet it: real processes against a server on a real socket. */
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { type ClaudeServer, type ClaudeServerOptions, startClaudeServer } from "../support/claude-server.ts"
import { bareRun, briefRun, commandLine, type Ended, refusedInOneLine } from "../support/command-line.ts"
import { during } from "../support/loopback.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)

const secret = "sk-ant-secret-of-the-test"
const withServer = (o: ClaudeServerOptions, use: (server: ClaudeServer, env: Record<string, string>) => Promise<void>) =>
  during(startClaudeServer(o), (server) => use(server, { ANTHROPIC_API_KEY: secret, ANTHROPIC_BASE_URL: server.url }))
const tiny = ["--steps", "3", "--prompts-per-step", "4", "--k", "3", "--judge", "claude"]
const lines = (file: string) => fs.readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line))

describe.concurrent("vequinox train --judge claude", () => {
  for (const faults of [0, 0.3]) {
    it(`completes at ${100 * faults} % faults: every pair judged, none by a fault, the cost in the summary`, () =>
      withServer({ faults, retryAfter: 5, latency: 20 }, async (server, env) => {
        const out = path.join(work, `run-${faults}`)
        const { code, stderr, stdout } = await vequinox(
          env,
          "train",
          ...tiny,
          ...faults === 0 ? briefRun : bareRun,
          // A server that stalls is given up soon; one that does not must not be, however busy this machine is.
          "--judge-timeout",
          faults === 0 ? "30" : "2",
          "--out",
          out,
          "--judge-cache",
          `${out}.db`
        )
        assert.strictEqual(code, 0, stderr)
        assert.match(stdout + stderr, /claude-haiku-4-5 may be asked 72 times for up to 36 pairs: about \$0\.18/)
        const metrics = lines(path.join(out, "metrics.jsonl"))
        assert.isAbove(metrics.reduce((n, { "judge/asked": asked }) => n + asked, 0), 10)
        assert.strictEqual(metrics.reduce((n, { "judge/failed": failed }) => n + failed, 0), 0)
        const summary = JSON.parse(fs.readFileSync(path.join(out, "summary.json"), "utf8"))
        if (faults === 0) assert.closeTo(summary.costUsd, server.billed().usd, 1e-9)
        else assert.isAtLeast(summary.costUsd, server.billed().usd - 1e-9)
        for (const { judge } of lines(path.join(out, "preferences.jsonl"))) assert.include(["claude", "gate"], judge)
        for (const name of fs.readdirSync(out, { recursive: true, withFileTypes: true })) {
          if (!name.isFile()) continue
          assert.notInclude(fs.readFileSync(path.join(name.parentPath, name.name), "latin1"), secret, name.name)
        }
      }), 180_000)
  }

  it("stops at its budget, keeps what was learned, and says how to continue", () =>
    withServer({}, async (server, env) => {
      const out = path.join(work, "run-budget")
      const { code, stderr } = await vequinox(env, "train", ...tiny, ...bareRun, "--budget-usd", "0.03", "--out", out, "--judge-cache", `${out}.db`)
      assert.notStrictEqual(code, 0)
      assert.match(stderr, /vequinox: The budget of \$0\.03 has .* left.*raise --budget-usd/)
      assert.isAtMost(server.billed().usd, 0.03)
      assert.isAtLeast(fs.readdirSync(path.join(out, "checkpoints")).length, 1)
    }), 180_000)
})

describe.concurrent("vequinox judge --judge claude", () => {
  const draw = (name: string, colour: string, more = "") => {
    const file = path.join(work, name)
    fs.writeFileSync(file, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><circle cx="32" cy="32" r="14" fill="${colour}"/>${more}</svg>`)
    return file
  }
  const red = draw("red.svg", "red")
  const blue = draw("blue.svg", "blue")
  const ask = (a: string, b: string) => ["judge", "--judge", "claude", "--prompt", "one red circle", a, b, "--json"]

  it("gives the verdict, its reason and its cost", () =>
    withServer({}, async (_server, env) => {
      const { code, stderr, stdout } = await vequinox(env, ...ask(blue, red))
      assert.strictEqual(code, 0, stderr)
      const answer = JSON.parse(stdout)
      assert.strictEqual(answer.verdict, "B")
      assert.match(answer.reason, /semantic match/)
      assert.closeTo(answer.costUsd, 0.0042, 1e-9)
    }))

  it("Haiku 5.5 is asked by its name alone, for a tenth of the price of a token", () =>
    withServer({}, async (server, env) => {
      const { code, stderr, stdout } = await vequinox(env, ...ask(draw("d1.svg", "lime"), red), "--judge-model", "claude-haiku-5-5")
      assert.strictEqual(code, 0, stderr)
      const answer = JSON.parse(stdout)
      assert.strictEqual(answer.verdict, "B")
      assert.closeTo(answer.costUsd, server.billed().usd, 1e-9)
      assert.isBelow(answer.costUsd, 0.0042 / 3)
    }))

  const refused = (result: Promise<Ended>, expected: RegExp) => refusedInOneLine(result, expected, secret)

  it("no key", () => refused(vequinox({}, ...ask(blue, red)), /set ANTHROPIC_API_KEY/))
  it("a wrong key", () =>
    withServer({ always: { status: 401, message: "invalid x-api-key" } }, (_server, env) =>
      refused(vequinox(env, ...ask(draw("c1.svg", "lime"), red)), /does not accept the key .*check ANTHROPIC_API_KEY/)))
  it("a model that does not exist", () =>
    withServer({ always: { status: 404, message: "model: claude-nine" } }, (_server, env) =>
      refused(
        vequinox(env, ...ask(draw("c2.svg", "lime"), red), "--judge-model", "claude-haiku-4-5-20251001"),
        /knows no model "claude-haiku-4-5-20251001"/
      )))
  it("a model without a known price", () =>
    refused(vequinox({ ANTHROPIC_API_KEY: secret }, ...ask(blue, red), "--judge-model", "claude-nine"), /price of claude-nine is not known/))
  it("no network", () =>
    refused(
      vequinox({ ANTHROPIC_API_KEY: secret, ANTHROPIC_BASE_URL: "http://127.0.0.1:9" }, ...ask(draw("c3.svg", "lime"), red)),
      /cannot be reached .*check the network/
    ), 180_000)
  it("a 3 MB SVG is the gate's to turn away, and is never sent", () =>
    withServer({}, async (server, env) => {
      const big = draw("big.svg", "red", `<path d="M0 0${"L1 1".repeat(750_000)}"/>`)
      const { code, stdout } = await vequinox(env, ...ask(big, red))
      assert.strictEqual(code, 0)
      assert.deepInclude(JSON.parse(stdout), { verdict: "B", by: "gate" })
      assert.strictEqual(server.requests(), 0)
    }))
})

it("--judge cascade asks Claude only where CLIP is not sure", () =>
  withServer({}, async (server, env) => {
    const file = (name: string, body: string) => {
      fs.writeFileSync(path.join(work, name), `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">${body}</svg>`)
      return path.join(work, name)
    }
    const circle = (fill: string, x = 32) => `<circle cx="${x}" cy="32" r="14" fill="${fill}"/>`
    const ask = (a: string, b: string) => vequinox(env, "judge", "--judge", "cascade", "--prompt", "one red circle", a, b, "--json")
    const clear = await ask(file("x.svg", circle("red")), file("y.svg", circle("blue")))
    assert.strictEqual(clear.code, 0, clear.stderr)
    assert.deepInclude(JSON.parse(clear.stdout), { verdict: "A", by: "clip", costUsd: 0 })
    assert.strictEqual(server.requests(), 0)
    const close = await ask(file("x.svg", circle("red")), file("z.svg", circle("red", 33)))
    assert.deepInclude(JSON.parse(close.stdout), { by: "claude" })
    assert.strictEqual(server.requests(), 2)
  }), 180_000)

it("vequinox calibrate prints the table of a judge that looks at the pixels", () =>
  withServer({}, async (_server, env) => {
    const { code, stderr, stdout } = await vequinox(env, "calibrate", "--judge", "claude", "--pairs", "3")
    assert.strictEqual(code, 0, stderr)
    assert.match(stdout, /^wrong colour \*\s+3\s+100\.0 %/m)
    assert.match(stdout, /^swap consistency\s+100\.0 %/m)
    assert.match(stdout, /^cost of 1000 pairs\s+\$[1-9]/m)
  }), 180_000)
