/** `vequinox judge`: says which of two SVG files draws the prompt better, and how sure the judge is. */
import { Console, Effect } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { resolveConfig } from "../wiring/settings.ts"
import type { Rendering, Verdict } from "../domain.ts"
import { readText } from "../system/files.ts"
import { verdictColumns } from "../evaluation/pair-rows.ts"
import { decideRenderings } from "../lessons/decide.ts"
import { progressStyle } from "../system/progress.ts"
import { BadInput } from "../system/errors.ts"
import { promptOf } from "../prompts.ts"
import { renderFor } from "../stages/render-for.ts"
import * as Flags from "../wiring/flags.ts"
import { judgeFlags } from "../wiring/judges/judge-flags.ts"
import { openJudging } from "../wiring/judges/judging.ts"
import { givenSettings } from "../wiring/setting-flags.ts"

export const judge = Command.make("judge", {
  a: Argument.String("A.svg"),
  b: Argument.String("B.svg"),
  prompt: Flag.String("prompt").pipe(Flag.withDescription("what both drawings should show")),
  ...judgeFlags,
  json: Flags.json
}, Effect.fn(function*({ a: fileA, b: fileB, json, prompt: text, ...flags }) {
  const settings = yield* resolveConfig(undefined, givenSettings(flags))
  const { stages } = yield* openJudging(settings, progressStyle(json))
  const texts = [yield* readText(fileA), yield* readText(fileB)] as const
  const prompt = promptOf(text)
  yield* Effect.gen(function*() {
    const [a, b] = yield* Effect.all([renderFor(prompt, texts[0]), renderFor(prompt, texts[1])], { concurrency: 2 })
    const verdict = yield* decideRenderings(prompt, a, b, 3) // somebody is waiting
    if (verdict.outcome === "failed") {
      return yield* new BadInput({ message: `The pair was not judged: ${verdict.reason ?? "the judge gave no reason"}.` })
    }
    yield* Console.log(json ? JSON.stringify(row(verdict, a, b)) : sentence(verdict, a, b))
  }).pipe(
    Effect.scoped,
    Effect.provide(stages)
  )
})).pipe(Command.withDescription("Say which of two drawings is better"))

const problem = (rendering: Rendering): string | null =>
  rendering._tag === "Rendered" ? null : `${rendering._tag.toLowerCase()}: ${rendering.reason}`

const row = (verdict: Verdict, a: Rendering, b: Rendering) => ({
  ...verdictColumns(verdict),
  problems: [problem(a), problem(b)]
})

const sentence = (verdict: Verdict, a: Rendering, b: Rendering): string => {
  const problems = [a, b].flatMap((rendering, i) => {
    const what = problem(rendering)
    return what === null ? [] : [`${"AB"[i]} was ${what}.`]
  })
  const scores = verdict.scores === undefined ? "" : ` (scores ${verdict.scores.map((score) => score.toFixed(2)).join(" and ")})`
  return [`${verdict.outcome}, confidence ${verdict.confidence.toFixed(2)}, by ${verdict.by}${scores}.`, ...problems].join(" ")
}
