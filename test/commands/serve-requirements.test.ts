/** `vequinox serve --requirements`: a real process that asks a server in Claude's place which requirements a drawing meets. */
import * as path from "node:path"
import { afterAll, assert, beforeAll, it } from "vitest"
import type { ClaudeServer } from "../support/claude-server.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { serving } from "../support/serving.ts"
import { startWordyClaude } from "../support/wordy-claude.ts"

const work = scratchFolder("serve-requirements")
const key = "sk-ant-secret-of-the-test"
let claude: ClaudeServer
let server: Awaited<ReturnType<typeof serving>>
let poor: typeof server
let plain: typeof server

beforeAll(async () => {
  claude = await startWordyClaude()
  const env = { ANTHROPIC_API_KEY: key, ANTHROPIC_BASE_URL: claude.url };
  [server, poor, plain] = await Promise.all([
    serving(work, ["--requirements"], env),
    serving(work, ["--requirements", "--budget-usd", "0.000001", "--judge-cache", path.join(work, "poor.db")], env),
    serving(work, [], {})
  ])
}, 120_000)
afterAll(async () => {
  await Promise.all([server.stop(), poor.stop(), plain.stop()])
  await claude.close()
})

const svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\"><circle cx=\"32\" cy=\"32\" r=\"20\" fill=\"red\"/></svg>"
const chat = (drawing: string) => [
  { role: "user", content: [{ type: "text", text: "one red " }, { type: "text", text: "circle" }], name: null },
  { role: "assistant", content: drawing, tool_calls: null }
]
const ask = async (body: unknown, at = server) => {
  const response = await fetch(`${at.url}/v1/evaluate`, {
    method: "POST", headers: { "content-type": "application/json" }, body: typeof body === "string" ? body : JSON.stringify(body)
  })
  return { status: response.status, body: await response.json() as any }
}
const requirements = ["yes it is red", "no it is a square", "yes it is round"]

it("counts the requirements that are met, in the words of Eval Protocol and SVGBench", async () => {
  const { body, status } = await ask({ messages: chat(`Here it is:\n\`\`\`svg\n${svg}\n\`\`\``), requirements })
  const reason = "2 of 3 requirements are met | met: yes it is red (says yes) | not met: no it is a square (says no) | met: yes it is round (says yes)"
  assert.strictEqual(status, 200)
  assert.closeTo(body.score, 2 / 3, 1e-12)
  assert.deepInclude(body, {
    is_score_valid: true, reason, reasoning: reason, number_of_fulfilled_requirements: 2, total_requirements: 3,
    metrics: {
      "1. yes it is red": { score: 1, is_score_valid: true, reason: "says yes" },
      "2. no it is a square": { score: 0, is_score_valid: true, reason: "says no" },
      "3. yes it is round": { score: 1, is_score_valid: true, reason: "says yes" }
    }
  })
})

it("asks about a drawing once, whatever form its row has, and as eval does", async () => {
  await ask({ messages: chat(svg), requirements })
  const asked = claude.requests()
  const same = await ask({ svg, original_prompt: "one red circle", requirements, total_requirements: 3 })
  assert.deepStrictEqual(same.body, (await ask({ messages: chat(svg), requirements })).body)
  assert.deepStrictEqual((await ask({ messages: [{ role: "assistant", content: svg }], prompt: "one red circle", requirements })).body, same.body)
  assert.strictEqual(claude.requests(), asked)
  assert.include(JSON.stringify(claude.bodies.at(-1)!.body), "one red circle")
})

it("gives a drawing that does not render nothing, without asking", async () => {
  const asked = claude.requests()
  for (const drawing of ["no drawing at all", "<svg", svg.replace("red", "white"), ""]) {
    const { body } = await ask({ messages: chat(drawing), requirements })
    assert.deepInclude(body, { score: 0, is_score_valid: true, number_of_fulfilled_requirements: 0, total_requirements: 3 }, drawing)
    assert.match(body.reason, /^The drawing does not render \(.+\), so it meets no requirement\.$/)
  }
  assert.strictEqual(claude.requests(), asked)
})

it("says where there is no score: after an unusable answer, when the budget is spent, and where nobody looks", async () => {
  const { body } = await ask({ messages: chat(svg), requirements: ["nonsense"] })
  assert.deepInclude(body, { score: 0, is_score_valid: false, number_of_fulfilled_requirements: 0 })
  assert.match(body.reasoning, /^There was no usable answer: /)
  const spent = await ask({ messages: chat(svg), requirements }, poor)
  assert.strictEqual(spent.status, 429)
  assert.deepInclude(spent.body.error, { type: "rate_limit_error", code: "insufficient_quota" })
  assert.match(spent.body.error.message, /budget of \$0\.000001 .*--budget-usd/)
  const closed = await ask({ messages: chat(svg), requirements }, plain)
  assert.strictEqual(closed.status, 403)
  assert.include(closed.body.error.message, "start it with --requirements")
})

it("refuses what it cannot read, and tells the model's name and no key", async () => {
  const bad: ReadonlyArray<readonly [unknown, RegExp]> = [
    ["{", /JSON/],
    [{ messages: chat(svg) }, /requirements/],
    [{ messages: chat(svg), requirements: [] }, /requirements/],
    [{ messages: chat(svg), requirements: [" "] }, /requirements/],
    [{ messages: chat(svg), requirements: Array.from({ length: 51 }, () => "yes") }, /requirements/],
    [{ messages: chat(svg), requirements: ["a".repeat(1001)] }, /requirements/],
    [{ messages: chat(svg).slice(0, 1), requirements }, /There is no drawing/],
    [{ svg, requirements }, /Nothing says what was to be drawn/],
    [{ svg, prompt: "a".repeat(10_001), requirements }, /prompt/],
    [{ svg: 5, prompt: "a", requirements }, /svg/]
  ]
  for (const [body, said] of bad) {
    const answer = await ask(body)
    assert.strictEqual(answer.status, 400, JSON.stringify(body).slice(0, 200))
    assert.match(answer.body.error.message, said)
  }
  assert.strictEqual((await ask({ svg: "a".repeat(2_000_000), prompt: "a", requirements })).status, 413)
  assert.strictEqual(server.told.requirements, "claude-haiku-4-5")
  assert.notInclude(server.said() + poor.said(), key)
})
