/** A process that asks Claude in batches about the pairs 0 .. n - 1 and prints the verdicts: node batch-child.ts URL ANSWERS.db N */
import { Effect, Layer, Redacted } from "effect"
import { Answers } from "../../../layers/guide/answers.ts"
import * as JudgeClaude from "../../../layers/judge/claude.ts"
import { withJudgeRetry } from "../../../src/lessons/decide.ts"
import { Judge } from "../../../src/stages/Judge.ts"
import { pair } from "../../support/scene-pairs.ts"

const [url, file, n] = process.argv.slice(2)
Effect.runPromise(
  Effect.gen(function*() {
    const { compare } = yield* Judge
    const verdicts = yield* Effect.forEach(
      Array.from({ length: Number(n) }, (_, n) => pair(n)),
      ({ bad, good, prompt }) => withJudgeRetry(compare(prompt, good, bad)),
      { concurrency: "unbounded" }
    )
    console.log(JSON.stringify(verdicts.map(({ outcome }) => outcome)))
  }).pipe(Effect.provide(
    JudgeClaude.layer({
      apiKey: Redacted.make("sk-test"),
      baseUrl: url,
      model: "claude-haiku-4-5",
      price: { input: 0.5, output: 2.5 },
      batch: true,
      quiet: 0.1,
      waits: [0.02, 0.1],
      settled: 0.1
    }).pipe(Layer.provide(Answers.layer(file!)))
  ))
)
