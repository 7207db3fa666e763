/** What tests of judges that ask a guide model share: drawings with a known winner, and an honest server to ask. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted, Schema } from "effect"
import { Answers } from "../../../layers/guide/answers.ts"
import type { AnswersFailed } from "../../../layers/guide/answers-failed.ts"
import { makeClaude } from "../../../layers/guide/claude.ts"
import { Guide, type GuideOptions } from "../../../layers/guide/guide.ts"
import type { Rubric } from "../../../layers/guide/question.ts"
import { random } from "../../../src/engine/random.ts"
import type { withJudgeRetry } from "../../../src/lessons/decide.ts"
import { drawFlawed, drawScene, flawsFor, sampleScene } from "../../../src/scenes/index.ts"
import { Judge } from "../../../src/stages/Judge.ts"
import type { Verdict } from "../../../src/domain.ts"
import { judgeContract } from "../../stages/Judge.contract.ts"
import { pair, picture } from "../../support/scene-pairs.ts"
import { type ClaudeServer, type ClaudeServerOptions, faultKinds, startClaudeServer } from "../../support/claude-server.ts"

/** `many` drawings of the scene of `pair(n)`, every other one flawed. */
export const drawings = (n: number, many: number) => {
  const scene = sampleScene(random(0xc1a0, n), "train")
  return Array.from({ length: many }, (_, i) => {
    const draw = random(0xd4a, n, i)
    const flaws = flawsFor(scene)
    return picture(i % 2 === 0 ? drawScene(scene, draw) : drawFlawed(scene, draw, flaws[i % flaws.length]!).svg)
  })
}

export const model = { model: "claude-haiku-4-5", price: { input: 1, output: 5 }, apiKey: Redacted.make("sk-test") } as const

/** A judge that needs a guide, over the Messages API at an address, its answers forgotten with it. */
export const guidedAt = <E>(
  url: string,
  judge: Layer.Layer<Judge, E, Guide>,
  more: Partial<GuideOptions> & { readonly deadline?: number } = {}
): Layer.Layer<Judge, E | AnswersFailed> =>
  judge.pipe(
    Layer.provide(Guide.layer(makeClaude({ ...model, baseUrl: url, ...more }), { ...model, ...more })),
    Layer.provide(Answers.layerMemory)
  )

export const withServer = <A, E>(o: ClaudeServerOptions, use: (server: ClaudeServer) => Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(Effect.promise(() => startClaudeServer(o)), use, (server) => Effect.promise(() => server.close()))

/** Three answers in ten fail, in every way but those that only a deadline ends: these are the transport's to test. */
export const faulty: ClaudeServerOptions = { faults: 0.3, retryAfter: 5, kinds: faultKinds.filter((kind) => kind !== "stall") }

/** The pipeline's own retries, without their long waits. */
export const withQuickRetry: typeof withJudgeRetry = (call) =>
  Effect.retry(call, { while: (error) => error._tag === "JudgeBusy", times: 200 })

/** Whether an answer is in the form that a rubric asks for. */
export const decodes = <A>({ answer }: Rubric<A>, said: unknown): boolean =>
  Option.isSome(Schema.decodeUnknownOption(answer)(said))

/** The judge's contract, the judge asking an honest server. */
export const contractAt = <S extends { readonly url: string; readonly close: () => Promise<void> }, E>(
  name: string,
  start: () => Promise<S>,
  judgeAt: (url: string) => Layer.Layer<Judge, E>
) =>
  describe("against an honest server", () => {
    let server: S
    beforeAll(async () => {
      server = await start()
    })
    afterAll(() => server.close())
    judgeContract(name, Layer.unwrap(Effect.sync(() => judgeAt(server.url))), [pair(0).good, pair(0).bad, pair(1).good])
  })

/** Asks about the first pairs, the better drawing now the first, now the second: it must win. @param check the rest of a verdict */
export const betterWins = (pairs: number, check: (verdict: Verdict, n: number) => void) =>
  Effect.gen(function*() {
    const { compare } = yield* Judge
    for (let n = 0; n < pairs; n++) {
      const { bad, good, prompt } = pair(n)
      const verdict = yield* n % 2 === 0 ? compare(prompt, good, bad) : compare(prompt, bad, good)
      assert.strictEqual(verdict.outcome, n % 2 === 0 ? "A" : "B", `${prompt.text}: ${verdict.reason}`)
      check(verdict, n)
    }
  })

export const survivesFaults = <E>(judge: Layer.Layer<Judge, E, Guide>) =>
  it.live("loses nothing and believes no fault at 30 % faults", () =>
    withServer(faulty, (server) =>
      Effect.gen(function*() {
        const { compare } = yield* Judge
        const verdicts = yield* Effect.forEach(
          Array.from({ length: 12 }, (_, n) => pair(n)),
          ({ bad, good, prompt }) => withQuickRetry(compare(prompt, bad, good)),
          { concurrency: 16 }
        )
        for (const { outcome, reason } of verdicts) assert.strictEqual(outcome, "B", reason)
        assert.isAtLeast(verdicts.reduce((sum, { costUsd }) => sum + costUsd!, 0), server.billed().usd - 1e-9)
      }).pipe(Effect.provide(guidedAt(server.url, judge, { unusableAnswers: 50 })))))
