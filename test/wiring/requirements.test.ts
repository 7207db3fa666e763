import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Fiber } from "effect"
import type { PolicyDrawings } from "../../src/evaluation/standing.ts"
import { promptOf } from "../../src/prompts.ts"
import { readAsked } from "../../src/wiring/comparison/asked.ts"
import { checkRequirements, openChecker, type Required, requirementsForecast, withRequirements } from "../../src/wiring/comparison/requirements.ts"
import { resolveConfig } from "../../src/wiring/settings.ts"
import { drawn, ofPrompt } from "../evaluation/drawn.ts"
import { type ClaudeServer, type ClaudeServerOptions, startClaudeServer } from "../support/claude-server.ts"
import { startOpenAIServer } from "../support/openai-server.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("requirements")
const circle = (colour: string) => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><circle cx="32" cy="32" r="20" fill="${colour}"/></svg>`
const required = (text: string, ...requirements: ReadonlyArray<string>): Required => ({ prompt: promptOf(text), category: "other", requirements })

/** A policy that drew one of these for each prompt; undefined does not render. */
const policy = (name: string, asked: ReadonlyArray<Required>, svgs: ReadonlyArray<string | undefined>): PolicyDrawings => ({
  name, choice: new Map(), best: 0, several: undefined, seconds: 0.1,
  drawn: new Map([[0, asked.map(({ prompt }, n) => ofPrompt(prompt.text, [svgs[n] === undefined ? drawn(undefined) : drawn(1, { svg: svgs[n]! })]))]])
})

/** Says of each requirement that it is met if it begins with "yes". */
const literal: ClaudeServerOptions = {
  reshape: (_answer, text) => ({
    requirements: [...text.matchAll(/^(\d+)\. (\w+)/gm)].map(([, number, word]) => ({ number: Number(number), evidence: `says ${word}`, met: word === "yes" }))
  })
}

const withServer = <A, E>(o: ClaudeServerOptions, use: (server: ClaudeServer) => Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(Effect.promise(() => startClaudeServer(o)), use, (server) => Effect.promise(() => server.close()))

const env = (of: Readonly<Record<string, string>>) => Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(of)))
const checker = (url: string, name: string, more: Record<string, unknown> = {}) =>
  Effect.flatMap(resolveConfig(undefined, { judge_cache: path.join(work, `${name}.db`), seed: 1, ...more }), (settings) => openChecker(settings, "")).pipe(
    env({ ANTHROPIC_API_KEY: "sk-test", ANTHROPIC_BASE_URL: url })
  )
const check = (url: string, name: string, asked: ReadonlyArray<Required>, policies: ReadonlyArray<PolicyDrawings>, more: Record<string, unknown> = {}) =>
  Effect.flatMap(checker(url, name, more), (opened) =>
    checkRequirements({ asked, drawn: policies, checker: opened, out: path.join(work, name), style: "none" }))

const three = [required("a", "yes one", "no two"), required("b", "yes one", "yes two", "no three"), required("c", "yes one", "yes two")]
const colours = (n: number) => Array.from({ length: n }, (_, i) => circle(`rgb(${(i * 37) % 200}, ${(i * 91) % 200}, 90)`))

it.live("the ratio is the mean of met / n, an invalid drawing 0 of n; nothing is asked twice, by a later process either", () =>
  withServer(literal, (server) =>
    Effect.gen(function*() {
      const policies = [
        policy("base", three, [circle("red"), circle("blue"), undefined]),
        policy("new", three, [circle("red"), circle("green"), circle("blue")])
      ]
      const first = yield* check(server.url, "mean", three, policies)
      const [base, trained] = first.measures
      assert.closeTo(base!.all, (1 / 2 + 2 / 3 + 0) / 3, 1e-12)
      assert.closeTo(base!.rendered, (1 / 2 + 2 / 3) / 2, 1e-12)
      assert.closeTo(trained!.all, (1 / 2 + 2 / 3 + 1) / 3, 1e-12)
      assert.closeTo(trained!.against!.all.value, 1 / 3, 1e-12)
      assert.deepStrictEqual(first.checks[0]![2], { outcome: "invalid", reason: "rejected: blank" })
      assert.deepStrictEqual(first.checks[1]![1], {
        outcome: "checked",
        rows: [true, true, false].map((met) => ({ met, evidence: met ? "says yes" : "says no" }))
      })
      // Both drew the same for "a"; what does not render is shown to nobody.
      assert.strictEqual(server.requests(), 4)
      assert.closeTo(first.costUsd, server.billed().usd, 1e-9)
      const again = yield* check(server.url, "mean", three, policies)
      assert.deepStrictEqual(again, first)
      assert.strictEqual(server.requests(), 4)
    })), 180_000)

it.live("an answer with too many rows is refused and counts nowhere", () =>
  withServer({
    reshape: (answer, text) => {
      const { requirements } = literal.reshape!(answer, text) as { readonly requirements: ReadonlyArray<object> }
      return { requirements: text.includes("The request: \"b\"") ? [...requirements, { number: 4, evidence: "", met: true }] : requirements }
    }
  }, (server) =>
    Effect.gen(function*() {
      const { checks, measures } = yield* check(server.url, "rows", three, [policy("base", three, [circle("red"), circle("blue"), circle("green")])])
      assert.deepInclude(checks[0]![1]!, { outcome: "unanswered" })
      assert.deepInclude(measures[0]!, { prompts: 2, unanswered: 1 })
      assert.closeTo(measures[0]!.all, (1 / 2 + 1) / 2, 1e-12)
    })), 180_000)

it.live("the budget is one of all its processes; what was answered is kept, and with more of it the same goes on", () =>
  withServer(literal, (server) =>
    Effect.gen(function*() {
      const asked = colours(8).map((_, n) => required(`p${n}`, "yes one", "no two"))
      const policies = [policy("base", asked, colours(8))]
      const stop = (usd: number) => Effect.map(Effect.flip(check(server.url, "budget", asked, policies, { budget_usd: usd })), ({ message }) => message)
      assert.match(yield* stop(0.012), /^The budget of \$0\.012 has .* left.*raise --budget-usd/)
      const { answers, usd } = server.billed()
      assert.isAbove(answers, 0)
      assert.isBelow(answers, 8)
      assert.isAtMost(usd, 0.012)
      assert.match(yield* stop(0.012), /raise --budget-usd/)
      assert.strictEqual(server.billed().answers, answers)
      const { costUsd, measures } = yield* check(server.url, "budget", asked, policies)
      assert.strictEqual(measures[0]!.all, 0.5)
      assert.deepStrictEqual([server.requests(), server.billed().answers], [8, 8])
      assert.closeTo(costUsd, server.billed().usd, 1e-9)
    })), 180_000)

it.live("interrupted, it keeps what was answered, and asks the rest alone", () =>
  withServer({ ...literal, latency: 60 }, (server) =>
    Effect.gen(function*() {
      const asked = colours(12).map((_, n) => required(`p${n}`, "yes one"))
      const policies = [policy("base", asked, colours(12))]
      const fiber = yield* Effect.forkChild(check(server.url, "stop", asked, policies))
      while (server.billed().answers < 3) yield* Effect.sleep("5 millis")
      yield* Effect.sleep("20 millis") // the answers have come and are stored
      yield* Fiber.interrupt(fiber)
      const kept = server.billed().answers
      const { measures } = yield* check(server.url, "stop", asked, policies)
      assert.deepInclude(measures[0]!, { prompts: 12, all: 1 })
      const times = Object.values(Object.groupBy(server.bodies, ({ body }) => JSON.stringify(body.messages))).map((all) => all!.length)
      assert.strictEqual(times.length, 12)
      assert.isAtLeast(times.filter((n) => n === 1).length, kept) // only what was under way is asked again
    })), 180_000)

it.live("any server that speaks chat completions does; one on this machine is free", () =>
  Effect.acquireUseRelease(Effect.promise(() => startOpenAIServer()), ({ requests, url }) =>
    Effect.gen(function*() {
      const settings = yield* resolveConfig(undefined, { judge_cache: path.join(work, "openai.db"), guide: "openai" })
      const opened = yield* openChecker(settings, "qwen-vl").pipe(env({ OPENAI_BASE_URL: url }))
      const asked = [required("one red circle", "Is the number of things right?", "Has each thing its shape and colour?")]
      assert.strictEqual(requirementsForecast(opened, asked, 2), "qwen-vl may be asked 2 times which requirements a drawing meets.")
      const { costUsd, measures } = yield* checkRequirements({
        asked, drawn: [policy("base", asked, [circle("red")]), policy("new", asked, [circle("blue")])], checker: opened, out: path.join(work, "openai"), style: "none"
      })
      assert.deepStrictEqual([measures[0]!.all, costUsd, requests()], [1, 0, 2])
      assert.isBelow(measures[1]!.all, 1)
    }), ({ close }) => Effect.promise(close)), 180_000)

describe("what is missing is said in one sentence", () => {
  const settings = resolveConfig(undefined, {})
  it.effect("no key, no model", () =>
    Effect.gen(function*() {
      const { message } = yield* Effect.flip(openChecker(yield* settings, "").pipe(env({})))
      assert.strictEqual(message, "Claude needs a key: set ANTHROPIC_API_KEY in the environment.")
      const other = yield* Effect.flip(openChecker(yield* resolveConfig(undefined, { guide: "openai" }), "").pipe(env({})))
      assert.strictEqual(other.message, "--guide openai has no default model: name the server's with --guide-model.")
    }))

  it.effect("prompts without requirements, unless a checklist has them", () =>
    Effect.gen(function*() {
      const file = path.join(work, "some.json")
      fs.writeFileSync(file, JSON.stringify([{ prompt: "a cat", requirements: ["It has ears"] }, { prompt: "a hat", category: "clothes" }]))
      const { asked } = yield* readAsked(file, undefined, false, 10, 0)
      const { message } = yield* Effect.flip(withRequirements(asked, file, ""))
      assert.match(message, /^--requirements asks what a drawing must show, and .*some\.json says nothing of it for "a hat": give each prompt a list of "requirements", there or in --checklist-file\.$/)
      const checklist = path.join(work, "checklist.jsonl")
      fs.writeFileSync(checklist, "{\"prompt\": \"a hat\", \"requirements\": [\"It has a brim\"]}\n{\"prompt\": \"a cat\", \"requirements\": [\"not this one\"]}\n")
      const all = yield* withRequirements(asked, file, checklist)
      assert.deepStrictEqual(all.map(({ category, requirements }) => [category, requirements]), [["single", ["It has ears"]], ["clothes", ["It has a brim"]]])
    }))
})
