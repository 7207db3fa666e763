/** Answers which requirements a drawing meets. */
import { Effect, Semaphore } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import type { Prompt } from "../../domain.ts"
import { type Check, ratioOf } from "../../evaluation/requirements.ts"
import { promptOf } from "../../prompts.ts"
import type { JudgeStopped } from "../../stages/Judge.ts"
import type { RendererUnavailable } from "../../stages/Renderer.ts"
import { Api } from "../api.ts"
import { figures } from "../figures.ts"
import { refuse } from "../refusals.ts"
import type { EvaluateRequest, Evaluation } from "./api.ts"

/** What looks at drawings. */
export interface DrawingCheck {
  /** Drawings that may be looked at together. */
  readonly concurrency: number
  /** @param drawing an SVG, or a text with one in it */
  readonly check: (prompt: Prompt, requirements: ReadonlyArray<string>, drawing: string) => Effect.Effect<Check, JudgeStopped | RendererUnavailable>
}

/** Drawings that wait to be looked at. */
const mostWaiting = 256

const textOf = (content: NonNullable<EvaluateRequest["messages"]>[number]["content"]): string =>
  typeof content === "string" ? content : (content ?? []).map(({ text = "" }) => text).join("")

/** The drawing and what was asked for. */
const asked = Effect.fnUntraced(function*({ messages, original_prompt, prompt, svg }: EvaluateRequest) {
  const chat = messages ?? []
  const last = chat.at(-1)
  const drawing = svg ?? (last?.role === "assistant" ? textOf(last.content) : undefined)
  if (drawing === undefined) return yield* Effect.fail(refuse("invalid", "There is no drawing: the last message must be the assistant's, or give svg.", "messages"))
  const user = chat.findLast(({ role }) => role === "user")
  const text = prompt ?? original_prompt ?? (user === undefined ? "" : textOf(user.content))
  if (text.trim() === "") return yield* Effect.fail(refuse("invalid", "Nothing says what was to be drawn: give a user's message, or prompt.", "prompt"))
  return { prompt: promptOf(text), drawing }
})

const told = (requirements: ReadonlyArray<string>, check: Check): typeof Evaluation.Type => {
  const rows = requirements.map((requirement, n) => {
    const row = check.outcome === "checked" ? check.rows[n]! : { met: false, evidence: check.reason }
    return { requirement, ...row }
  })
  const met = rows.filter(({ met }) => met).length
  const valid = check.outcome !== "unanswered"
  const reason = check.outcome === "checked"
    ? [`${met} of ${rows.length} requirements are met`, ...rows.map(({ evidence, met, requirement }) => `${met ? "met" : "not met"}: ${requirement} (${evidence})`)].join(" | ")
    : check.outcome === "invalid"
    ? `The drawing does not render (${check.reason}), so it meets no requirement.`
    : `There was no usable answer: ${check.reason}`
  return {
    score: ratioOf(check) ?? 0,
    is_score_valid: valid,
    reason,
    reasoning: reason,
    number_of_fulfilled_requirements: met,
    total_requirements: rows.length,
    metrics: Object.fromEntries(rows.map(({ evidence, met, requirement }, n) => [`${n + 1}. ${requirement}`, { score: Number(met), is_score_valid: valid, reason: evidence }]))
  }
}

/** @param looks undefined: this server looks at no drawings */
export const requirements = (looks: DrawingCheck | undefined) =>
  HttpApiBuilder.group(Api, "requirements", Effect.fn(function*(handlers) {
    const places = yield* Semaphore.make(looks?.concurrency ?? 1)
    let open = 0
    return handlers.handleAll({
      evaluate: Effect.fnUntraced(function*({ payload }) {
        if (looks === undefined) {
          return yield* Effect.fail(refuse("forbidden", "This server checks no requirements: start it with --requirements and a guide model."))
        }
        yield* figures.counted("evaluate")
        const { drawing, prompt } = yield* asked(payload)
        if (open >= looks.concurrency + mostWaiting) {
          return yield* Effect.fail(refuse("tooMany", `${open} drawings wait to be looked at: ask again in a moment.`, null, "server_overloaded"))
        }
        open++
        const check = yield* looks.check(prompt, payload.requirements, drawing).pipe(
          places.withPermit,
          Effect.ensuring(Effect.sync(() => open--)),
          Effect.catchTags({
            // A budget that is spent, or an account that is closed: no later request fares better.
            JudgeStopped: ({ message }) => Effect.fail(refuse("tooMany", message, null, "insufficient_quota")),
            RendererUnavailable: ({ message }) => Effect.fail(refuse("failed", message))
          })
        )
        return told(payload.requirements, check)
      })
    })
  }))
