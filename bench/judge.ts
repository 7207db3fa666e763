/**
 * Claude as the judge against a loopback server: time for the same questions with and without faults of every kind. What no
 * client can avoid is the time for which the server held its calls, n at once, and the time for which it asked everybody to
 * wait; `ratio` is the time taken beside that.
 */
import { createHash } from "node:crypto"
import { Effect, Layer, Redacted } from "effect"
import { Answers } from "../layers/guide/answers.ts"
import * as JudgeClaude from "../layers/judge/claude.ts"
import { Picture } from "../src/domain.ts"
import { withJudgeRetry } from "../src/lessons/decide.ts"
import { promptOf } from "../src/prompts.ts"
import { Judge } from "../src/stages/Judge.ts"
import { startClaudeServer } from "../test/support/claude-server.ts"

/** A square of one gray: what it shows does not matter here. */
const picture = (n: number): Picture => {
  const rgba = new Uint8Array(64 * 64 * 4).fill(n % 200)
  for (let i = 3; i < rgba.length; i += 4) rgba[i] = 255
  return new Picture({ hash: createHash("sha256").update(`${n}`).digest("hex"), width: 64, height: 64, rgba })
}

const pairs = 150
const latency = 500
const atOnce = 16

const once = async (faults: number) => {
  const server = await startClaudeServer({ faults, latency, retryAfter: latency, seed: 1 })
  const judge = JudgeClaude.layer({
    apiKey: Redacted.make("bench"),
    baseUrl: server.url,
    model: "claude-haiku-4-5",
    price: { input: 1, output: 5 },
    deadline: 2,
    concurrency: atOnce,
    unusableAnswers: 40
  }).pipe(Layer.provide(Answers.layerMemory))
  try {
    const { failed, seconds } = await Effect.gen(function*() {
      const { compare, concurrency } = yield* Judge
      const start = performance.now()
      const answers = yield* Effect.forEach(
        Array.from({ length: pairs }, (_, n) => n),
        (n) => Effect.result(withJudgeRetry(compare(promptOf("a thing"), picture(2 * n), picture(2 * n + 1)))),
        { concurrency }
      )
      return { failed: answers.filter(({ _tag }) => _tag === "Failure").length, seconds: (performance.now() - start) / 1000 }
    }).pipe(Effect.provide(judge), Effect.runPromise)
    const { asked, held } = server.busy()
    return { failed, seconds, requests: server.requests(), bound: held / atOnce + asked }
  } finally {
    await server.close()
  }
}

export const benchJudge = async () => {
  const rows = []
  for (const faults of [0, 0.1, 0.3, 0.6]) {
    const { bound, failed, requests, seconds } = await once(faults)
    rows.push({ faults, pairs, lost: failed, requests, seconds, bound, ratio: seconds / bound })
  }
  return rows
}
