/** The studio's API over a real socket. */
import * as fs from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import { Effect, Layer, ManagedRuntime } from "effect"
import { HttpServer } from "effect/http"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as archiveSqlite from "../../layers/store/archive.ts"
import * as votesSqlite from "../../layers/store/votes.ts"
import * as RendererCircles from "../../layers/renderer/circles.ts"
import { refuse } from "../../src/serve/refusals.ts"
import { makeSteering } from "../../src/stages/Steering.ts"
import { Live, makeAudience, makeLog } from "../../src/studio/live.ts"
import { Playground } from "../../src/studio/playground.ts"
import { findRuns } from "../../src/studio/runs.ts"
import { layer as server, newToken } from "../../src/studio/server.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { storedRun } from "../support/stored-run.ts"

const work = scratchFolder("studio")
const runs = path.join(work, "runs")
const token = newToken()
const log = makeLog()
const wheel = Effect.runSync(makeSteering)
const playground = Layer.mock(Playground, { judges: ["clip"], draw: () => Effect.fail(refuse("failed", "drawn")) })
const studio = server({ runs: findRuns(runs), port: 0, token }).pipe(
  Layer.provide([archiveSqlite.layer, votesSqlite.layer, playground, RendererCircles.layer({ size: 16 })]),
  Layer.provide(Layer.succeed(Live, {
    folder: () => path.join(runs, "first"),
    budgetUsd: () => 2,
    wheel,
    queues: () => [{ stage: "train", waiting: 1, working: 0 }],
    log,
    audience: Effect.runSync(makeAudience)
  }))
)
const runtime = ManagedRuntime.make(studio)
let port = 0

beforeAll(async () => {
  await Effect.runPromise(storedRun(path.join(runs, "first"), 3, { model: path.join(work, "policy"), lora_r: 8 }))
  fs.mkdirSync(path.join(runs, "no-run"))
  fs.mkdirSync(path.join(work, "outside"))
  fs.writeFileSync(path.join(work, "outside", "config.json"), "{\"max_steps\": 1}")
  const { address } = await runtime.runPromise(HttpServer.HttpServer)
  port = "port" in address ? address.port : 0
  await Effect.runPromise(log.add("a line"))
})
afterAll(() => runtime.dispose())

interface Answer {
  readonly status: number
  readonly text: string
  readonly headers: http.IncomingHttpHeaders
}
/** As a browser never would: any path, host and origin. */
const ask = (path: string, { body, headers = {}, method = body === undefined ? "GET" : "POST", under = `/${token}` }: {
  readonly body?: unknown
  readonly headers?: Record<string, string>
  readonly method?: string
  readonly under?: string
} = {}) =>
  new Promise<Answer>((resolve, reject) => {
    const request = http.request({ host: "127.0.0.1", port, path: under + path, method, headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers } }, (response) => {
      let text = ""
      response.setEncoding("latin1").on("data", (part) => (text += part)).on("end", () => resolve({ status: response.statusCode!, text, headers: response.headers }))
    })
    request.on("error", reject)
    request.end(body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body))
  })
const json = async (...given: Parameters<typeof ask>) => {
  const { status, text } = await ask(...given)
  assert.strictEqual(status, 200, text)
  return JSON.parse(text)
}
const said = ({ text }: Answer): string => JSON.parse(text).error.message

describe("the studio's API", () => {
  it("lists runs and nothing else", async () => {
    const { leftOut, runs } = await json("/api/runs")
    assert.deepStrictEqual([runs.length, leftOut], [1, 0])
    assert.deepInclude(runs[0], { name: "first", step: 3, steps: 3, judge: "fake", standing: "stopped", right: null })
  })

  it("tells a run as a whole, what is under way in it, and why the playground cannot draw", async () => {
    const overview = await json("/api/runs/first")
    assert.deepInclude(overview, { firstStep: 0, lastStep: 2, queues: [{ stage: "train", waiting: 1, working: 0 }], judges: ["clip"], policies: [] })
    assert.match(overview.noPlayground, /not on this machine/)
    assert.deepStrictEqual(overview.log.map(({ line }: { line: string }) => line), ["a line"])
    assert.deepStrictEqual(overview.stages.map(({ stage }: { stage: string }) => stage), ["sample", "render", "judge", "train", "wait", "step"])
    const { every, panels, steps } = await json("/api/runs/first/curves")
    assert.deepStrictEqual([every, steps], [1, [0, 1, 2]])
    for (const { series } of panels) for (const { values } of series) assert.strictEqual(values.length, 3)
  })

  it("pages rollouts, opens one and draws its picture", async () => {
    const first = await json("/api/runs/first/rollouts?limit=5")
    const second = await json(`/api/runs/first/rollouts?limit=5&after=${encodeURIComponent(first.next)}`)
    assert.strictEqual(first.rows.length, 5)
    assert.notDeepEqual(first.rows[4], second.rows[0])
    const { index, promptId, step } = first.rows.find(({ rendering }: { rendering: string }) => rendering === "rendered")
    const at = `${step}/${encodeURIComponent(promptId)}/${index}`
    const rollout = await json(`/api/runs/first/rollouts/${at}`)
    assert.deepInclude(rollout, { step, promptId, index })
    assert.isNull(rollout.tokenList[0].text) // no tokenizer is at hand
    const picture = await ask(`/api/runs/first/pictures/${at}`)
    assert.strictEqual(picture.headers["content-type"], "image/png")
    assert.strictEqual(picture.text.slice(1, 4), "PNG")
  })

  it("takes votes and gives them back as preference rows", async () => {
    const { pair } = await json("/api/runs/first/votes/next")
    const { prompt, ...vote } = pair
    assert.deepInclude(await json("/api/runs/first/votes", { body: { ...vote, choice: "left", blind: true } }), { votes: 1, undoable: true })
    const rows = (await ask("/api/runs/first/votes/preferences.jsonl")).text.trim().split("\n").map((line) => JSON.parse(line))
    assert.deepStrictEqual(rows.map((row) => [row.prompt, row.judge]), [[[{ role: "user", content: prompt }], "person"]])
    assert.deepInclude(await json("/api/runs/first/votes/last", { method: "DELETE" }), { votes: 0, undoable: false })
  })

  it("steers the run of its process", async () => {
    assert.deepStrictEqual(await json("/api/steer", { body: { pause: true } }), { paused: true, stopping: false, budgetUsd: 2 })
    assert.deepStrictEqual(await json("/api/steer", { body: { budgetUsd: 0.5 } }), { paused: true, stopping: false, budgetUsd: 0.5 })
    assert.match(said(await ask("/api/steer", { body: { budgetUsd: 1 } })), /only be lowered: it is \$0\.5/)
    assert.deepStrictEqual(await json("/api/steer", { body: { pause: false, stop: true } }), { paused: false, stopping: true, budgetUsd: 0.5 })
    assert.strictEqual(wheel.service.mostUsd(), 0.5)
  })
})

describe("what must not get through", () => {
  const refused = async (status: number, what: RegExp, ...given: Parameters<typeof ask>) => {
    const answer = await ask(...given)
    assert.strictEqual(answer.status, status, answer.text)
    assert.match(said(answer), what)
    assert.notInclude(answer.text, work)
  }

  it("has no token, another host's name, or another page's origin", async () => {
    await refused(404, /address that vequinox printed/, "/api/runs", { under: "" })
    await refused(404, /address that vequinox printed/, "/api/runs", { under: `/${"0".repeat(32)}` })
    await refused(403, /this machine alone/, "/api/runs", { headers: { host: "example.com" } })
    await refused(403, /origin may not ask/, "/api/steer", { body: { stop: true }, headers: { origin: "https://example.com" } })
  })

  it("asks for a path, a run or a drawing that is not there", async () => {
    for (const run of ["..", "..%2foutside", "%2e%2e%2foutside", "no-run", "first%00", "first%2f..%2ffirst", "x".repeat(200)]) {
      const { status, text } = await ask(`/api/runs/${run}/curves`)
      assert.strictEqual(status, 404, `${run}: ${text}`)
    }
    await refused(404, /no such drawing/, "/api/runs/first/rollouts/99/x/0")
    await refused(404, /no such drawing/, "/api/runs/first/pictures/0/..%2f..%2fetc/0")
    await refused(404, /no such pair/, "/api/runs/first/votes", { body: { step: 0, promptId: "x", left: 0, right: 1, choice: "left", blind: true } })
    for (const file of ["/studio/page/..%2fapi.ts", "/studio/page/tsconfig.json", "/studio/page/%2e%2e", "/report/html.ts", "/studio/api.ts", "/vendor/..%2f..%2fpackage.json", "/vendor/toString"]) {
      assert.strictEqual((await ask(file)).status, 404, file)
    }
  })

  it("is no request of the API's shape", async () => {
    await refused(400, /cannot be read/, "/api/runs/first/votes", { body: "{" })
    await refused(400, /cannot be read/, "/api/runs/first/votes", { body: {} })
    await refused(400, /cannot be read/, "/api/runs/first/rollouts?limit=1000")
    await refused(400, /cannot be read/, "/api/runs/first/rollouts?from=-1")
    await refused(400, /not the `next` of a page/, "/api/runs/first/rollouts?after=nonsense")
    await refused(400, /cannot be read/, "/api/steer", { body: { budgetUsd: "all" } })
    await refused(413, /larger than 500000 bytes/, "/api/runs/first/judge", { body: { prompt: "", left: "a".repeat(600_000), right: "", judge: "clip" } })
    await refused(400, /not on this machine/, "/api/runs/first/draw", { body: { prompts: ["a"], policies: ["base"], temperature: 1, seed: 0, n: 1 } })
  })
})

describe("the page", () => {
  it("loads nothing from elsewhere, and runs no script but its own", async () => {
    const { headers, text } = await ask("/")
    const policy = String(headers["content-security-policy"])
    assert.match(policy, /default-src 'none'/)
    assert.match(policy, /script-src 'self' 'sha256-/)
    assert.notMatch(policy, /script-src[^;]*unsafe/)
    assert.notMatch(text, /(src|href)="(https?:|\/)/)
    for (const [, name] of text.matchAll(/"(?:\.\/)?(report\/[\w.]+|vendor\/[\w.]+|studio\/page\/[\w.]+)"/g)) {
      const file = await ask(`/${name}`)
      assert.strictEqual(file.status, 200, name)
      assert.match(String(file.headers["content-type"]), /^text\/(javascript|css)/)
    }
  })

  it("imports only modules that are served", async () => {
    const modules = fs.readdirSync(path.join(import.meta.dirname, "../../src/studio/page")).filter((name) => name.endsWith(".ts"))
    for (const name of modules) {
      const { status, text } = await ask(`/studio/page/${name}`)
      assert.strictEqual(status, 200)
      for (const [, imported] of text.matchAll(/from "\.\/([\w.]+)"/g)) assert.include(modules, imported)
      for (const [, imported] of text.matchAll(/from "\.\.\/\.\.\/([\w./]+)"/g)) assert.strictEqual((await ask(`/${imported}`)).status, 200, imported)
      assert.notMatch(text, /from "\.\.\/\w/)
    }
  })
})
