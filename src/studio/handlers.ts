/** What each endpoint of the studio does. */
import { Effect, Option } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import type { Prompt, Rendering } from "../domain.ts"
import { encodePng } from "../drawing/png.ts"
import { hash32 } from "../engine/random.ts"
import { tokenizing } from "../model/tokenizer/limits.ts"
import { openTokenizer, type PolicyTokenizer } from "../model/tokenizer/tokenizer.ts"
import { promptOf } from "../prompts.ts"
import { preferenceLine } from "../run/folder.ts"
import { asRefusal, refuse, type Refusal } from "../serve/refusals.ts"
import { renderFor } from "../stages/render-for.ts"
import type { Renderer } from "../stages/Renderer.ts"
import { mostRollouts, StudioApi } from "./api.ts"
import { Archive, type Place } from "./archive.ts"
import { studioCurves } from "./curves.ts"
import { Live } from "./live.ts"
import { makeMemory } from "./reports-so-far.ts"
import { card, overview, policiesOf, steeringOf } from "./overview.ts"
import { Playground } from "./playground.ts"
import type { FoundRuns } from "./runs.ts"
import { agreementOf, preferencesOf, Votes } from "./votes.ts"

/** Runs of a list; a folder may hold more. */
const mostRuns = 100

/** A store that cannot be read is the server's trouble. */
const told = Effect.mapError(asRefusal)

const noDrawing = refuse("missing", "The run has no such drawing: it may have gone back to a checkpoint since.")

const cursorOf = ({ index, promptId, step }: Place): string => `${step}:${index}:${promptId}`
const placeOf = (cursor: string): Effect.Effect<Place, Refusal> => {
  const [, step, index, promptId] = /^(\d{1,10}):(\d{1,6}):(.*)$/s.exec(cursor) ?? []
  return promptId === undefined
    ? Effect.fail(refuse("invalid", "`after` is not the `next` of a page.", "after"))
    : Effect.succeed({ step: Number(step), index: Number(index), promptId })
}

/** The tokenizers of the last policies looked at, by folder; one that cannot be opened is not tried again. */
const makeTokenizers = () => {
  const known = new Map<string, PolicyTokenizer | undefined>()
  return Effect.fnUntraced(function*(folder: string) {
    if (known.has(folder)) return known.get(folder)
    const tokenizer = Option.getOrUndefined(yield* Effect.option(openTokenizer(folder)))
    if (known.size >= 4) known.clear()
    known.set(folder, tokenizer)
    return tokenizer
  })
}

/** A run that goes back to a checkpoint draws other pictures in the same places. */
const brief = { "cache-control": "private, max-age=60" }

/** Pictures of a run that are remembered, by their place: a table asks for the same ones again and again. */
const mostPictures = 2000

export const watch = (runs: FoundRuns) =>
  HttpApiBuilder.group(StudioApi, "watch", Effect.fn(function*(handlers) {
    const archive = yield* Archive
    const remember = makeMemory()
    const tokenizerOf = makeTokenizers()
    const votes = yield* Votes
    const live = yield* Live
    const pictures = new Map<string, Uint8Array>()
    const pictureOf = Effect.fnUntraced(function*(folder: string, place: Place) {
      const key = JSON.stringify([folder, place])
      const known = pictures.get(key)
      if (known !== undefined) return known
      const drawing = yield* archive.drawing(folder, place)
      if (drawing === undefined) return yield* Effect.fail(noDrawing)
      const png = pngOf(yield* rendered(promptOf(drawing.prompt), drawing.svg))
      if (png === undefined) return yield* Effect.fail(refuse("missing", "That drawing does not render, so there is no picture of it."))
      if (pictures.size >= mostPictures) pictures.delete(pictures.keys().next().value!)
      pictures.set(key, png)
      return png
    })
    return handlers.handleAll({
      runs: () => told(Effect.gen(function*() {
        const all = yield* runs.list
        return { runs: yield* Effect.forEach(all.slice(0, mostRuns), card), leftOut: Math.max(0, all.length - mostRuns) }
      })),
      overview: ({ params }) => told(Effect.flatMap(runs.named(params.run), (run) => {
        const answer = overview(run, remember)
        return live?.folder() === run.folder ? live.audience.tell(answer) : answer
      })),
      curves: ({ params }) => told(Effect.flatMap(runs.named(params.run), ({ folder }) => studioCurves(folder, remember))),
      rollouts: ({ params, query: { after, limit = 50, ...wanted } }) => told(Effect.gen(function*() {
        const { folder } = yield* runs.named(params.run)
        const from = after === undefined ? undefined : yield* placeOf(after)
        const most = Math.min(limit, mostRollouts)
        const rows = yield* archive.rollouts(folder, { ...wanted, after: from, limit: most + 1 })
        return { rows: rows.slice(0, most), next: rows.length > most ? cursorOf(rows[most - 1]!) : null }
      })),
      rollout: ({ params: { index, prompt: promptId, run, step } }) => told(Effect.gen(function*() {
        const { folder } = yield* runs.named(run)
        const found = yield* archive.rollout(folder, { step, promptId, index })
        if (found === undefined) return yield* Effect.fail(noDrawing)
        const policies = policiesOf(folder)
        const tokenizer = typeof policies === "string" ? undefined : yield* tokenizerOf(policies.model)
        const texts = tokenizer === undefined ? undefined : Option.getOrUndefined(yield* Effect.option(tokenizing(() => tokenizer.tokenTexts)))
        const people = yield* votes.of(folder, step, promptId, index)
        return {
          ...found,
          tokenList: found.tokenList.map((token) => ({ ...token, text: texts?.[token.id] ?? null })),
          verdicts: found.verdicts.map((verdict) => ({ ...verdict, person: people.get(verdict.against) ?? null }))
        }
      })),
      picture: ({ params: { index, prompt: promptId, run, step } }) => told(Effect.gen(function*() {
        const { folder } = yield* runs.named(run)
        return HttpServerResponse.uint8Array(yield* pictureOf(folder, { step, promptId, index }), { contentType: "image/png", headers: brief })
      }))
    })
  }))

const rendered = (prompt: Prompt, svg: string): Effect.Effect<Rendering, Refusal, Renderer> =>
  renderFor(prompt, svg).pipe(Effect.mapError(({ message }) => refuse("failed", message)))

const pngOf = (rendering: Rendering): Uint8Array | undefined =>
  rendering._tag === "Rendered" ? encodePng(rendering.picture.width, rendering.picture.height, rendering.picture.rgba) : undefined

export const people = (runs: FoundRuns) =>
  HttpApiBuilder.group(StudioApi, "people", Effect.fn(function*(handlers) {
    const votes = yield* Votes
    const agreement = (folder: string) => Effect.map(votes.all(folder), agreementOf)
    return handlers.handleAll({
      agreement: ({ params }) => told(Effect.flatMap(runs.named(params.run), ({ folder }) => agreement(folder))),
      nextPair: ({ params }) => told(Effect.gen(function*() {
        const pair = yield* votes.next((yield* runs.named(params.run)).folder)
        if (pair === undefined) return { pair: null }
        const { a, b, prompt, promptId, step } = pair
        // Which one lies left says nothing of the verdict, and is the same when the page is loaded again.
        const [left, right] = hash32(0x51de, step, a, b, promptId.length) % 2 === 0 ? [a, b] : [b, a]
        return { pair: { step, promptId, prompt, left, right } }
      })),
      vote: ({ params, payload }) => told(Effect.gen(function*() {
        const { folder } = yield* runs.named(params.run)
        if (!(yield* votes.cast(folder, payload))) {
          return yield* Effect.fail(refuse("missing", "The run has no such pair of two pictures: it may have gone back to a checkpoint since."))
        }
        return yield* agreement(folder)
      })),
      unvote: ({ params }) => told(Effect.gen(function*() {
        const { folder } = yield* runs.named(params.run)
        yield* votes.undo(folder)
        return yield* agreement(folder)
      })),
      voteRows: ({ params }) => told(Effect.gen(function*() {
        const { folder } = yield* runs.named(params.run)
        return preferencesOf(yield* votes.drawings(folder)).map(preferenceLine).join("")
      }))
    })
  }))

export const playground = (runs: FoundRuns) =>
  HttpApiBuilder.group(StudioApi, "playground", Effect.fn(function*(handlers) {
    const { draw, judge } = yield* Playground
    return handlers.handleAll({
      draw: ({ params, payload }) => told(Effect.gen(function*() {
        const policies = policiesOf((yield* runs.named(params.run)).folder)
        if (typeof policies === "string") return yield* Effect.fail(refuse("invalid", policies))
        const unknown = payload.policies.find((name) => name !== "base" && !policies.adapters.has(name))
        if (unknown !== undefined) return yield* Effect.fail(refuse("missing", `The run has no policy "${unknown.slice(0, 100)}": it may be an old checkpoint.`, "policies"))
        return yield* draw(policies, payload)
      })),
      judge: ({ params, payload }) => told(Effect.andThen(runs.named(params.run), judge(payload)))
    })
  }))

export const steering = HttpApiBuilder.group(StudioApi, "steering", Effect.fn(function*(handlers) {
  const live = yield* Live
  return handlers.handleAll({
    steer: ({ payload: { budgetUsd, pause, stop } }) =>
      Effect.gen(function*() {
        if (live === undefined) return yield* Effect.fail(refuse("invalid", "This studio trains nothing: start the run with vequinox train --studio to steer it."))
        const now = yield* steeringOf(live)
        if (budgetUsd !== undefined) {
          if (now.budgetUsd === null) return yield* Effect.fail(refuse("invalid", "The judge is free, so there is no budget.", "budgetUsd"))
          if (budgetUsd > now.budgetUsd) return yield* Effect.fail(refuse("invalid", `A budget can only be lowered: it is $${now.budgetUsd}.`, "budgetUsd"))
          yield* live.wheel.lower(budgetUsd)
        }
        if (pause !== undefined) yield* live.wheel.pause(pause)
        if (stop === true) yield* live.wheel.stop
        return yield* steeringOf(live)
      })
  })
}))
