/** Asks a guide model which of their requirements the drawings of a comparison meet. */
import * as os from "node:os"
import * as path from "node:path"
import { Context, Effect, Layer, Ref } from "effect"
import { Answers } from "../../../layers/guide/answers.ts"
import { checkPicture } from "../../../layers/guide/check-picture.ts"
import { checklistQuestion, checklistUse } from "../../../layers/guide/checklist-rubric.ts"
import { Guide } from "../../../layers/guide/guide.ts"
import { costOf } from "../../../layers/guide/prices.ts"
import { readRequirements } from "../../../layers/guide/requirements.ts"
import * as rendererResvg from "../../../layers/renderer/resvg.ts"
import { openLedgerFile } from "../../../layers/store/ledger-file.ts"
import type { Prompt } from "../../domain.ts"
import { outcomeOf } from "../../evaluation/drawings.ts"
import { type Check, requirementMeasures, type RequirementsChecked } from "../../evaluation/requirements.ts"
import type { Asked, PolicyDrawings } from "../../evaluation/standing.ts"
import { first, rendered } from "../../evaluation/worth.ts"
import type { JudgeStopped } from "../../stages/Judge.ts"
import { Ledger } from "../../stages/Ledger.ts"
import { renderFor } from "../../stages/render-for.ts"
import { BadInput } from "../../system/errors.ts"
import { makeProgress, type ProgressStyle } from "../../system/progress.ts"
import { answersLayer, askedModel } from "../judges/guide-model.ts"
import type { JudgeSettings } from "../judges/judge-row.ts"

interface Listed {
  readonly requirements: ReadonlyArray<string>
}

/** A prompt, and what its drawing must show. */
export interface Required extends Asked, Listed {
  readonly requirements: ReadonlyArray<string>
}

/**
 * The prompts with their requirements: those of their own file, or else of --checklist-file.
 *
 * @param file that the prompts are from
 */
export const withRequirements = Effect.fnUntraced(function*(asked: ReadonlyArray<Asked>, file: string, checklist: string) {
  const known = checklist === "" ? undefined : yield* readRequirements(checklist)
  const all = asked.map((of) => ({ ...of, requirements: of.requirements ?? known?.get(of.prompt.text) }))
  const bare = all.find(({ requirements }) => requirements === undefined)
  if (bare === undefined) return all as ReadonlyArray<Required>
  const text = bare.prompt.text.length > 60 ? `${bare.prompt.text.slice(0, 60)}...` : bare.prompt.text
  return yield* new BadInput({
    message: `--requirements asks what a drawing must show, and ${file === "embedded" ? "the embedded prompts say" : `${file} says`} nothing of it for ${
      JSON.stringify(text)
    }: give each prompt a list of "requirements", there or in --checklist-file.`
  })
})

/** Pixels of a side at which a guide model is shown a drawing, as by the judges that ask one. */
const usualSize = 448

/**
 * The guide model that checks drawings. Fails with what is missing or unknown before anything is built.
 *
 * @param model its name; empty takes the default, if there is one
 */
export const openChecker = Effect.fnUntraced(function*(settings: JudgeSettings, model: string) {
  const own = { ...settings, judge_model: model }
  if (own.guide === "openai" && model === "") {
    return yield* new BadInput({ message: "--guide openai has no default model: name the server's with --guide-model." })
  }
  const { layer, ...asked } = yield* askedModel(own)
  return { ...asked, settings: own, layer: layer.pipe(Layer.provideMerge(yield* answersLayer(own, own.guide))) }
})
export type Checker = Effect.Success<ReturnType<typeof openChecker>>

const dollarsFor = ({ price, thinking }: Checker, asked: ReadonlyArray<Listed>): number =>
  asked.reduce((sum, { requirements: { length } }) => {
    const { inputTokens, outputTokens } = checklistUse(length)
    return sum + costOf(price, inputTokens, outputTokens + thinking)
  }, 0) / 1e9

const isFree = ({ price }: Checker): boolean => price.input === 0 && price.output === 0

/** For people, where nobody knows how much will be asked. */
export const spendsAtMost = (checker: Checker): string => isFree(checker) ? "" : ` for at most $${checker.settings.budget_usd} (--budget-usd)`

const costs = (checker: Checker, asked: ReadonlyArray<Listed>): string =>
  isFree(checker) ? "" : `: about $${dollarsFor(checker, asked).toFixed(2)}, of which at most $${checker.settings.budget_usd} will be spent (--budget-usd)`

/** The most that it may cost, for people, before anything is drawn. */
export const requirementsForecast = (checker: Checker, asked: ReadonlyArray<Required>, policies: number): string =>
  `${checker.model} may be asked ${policies * asked.length} times which requirements a drawing meets${
    costs(checker, Array.from({ length: policies }, () => asked).flat())
  }.`

export interface CheckOptions {
  readonly asked: ReadonlyArray<Required>
  readonly drawn: ReadonlyArray<PolicyDrawings>
  readonly checker: Checker
  /** Folder of the evaluation. */
  readonly out: string
  readonly style: ProgressStyle
}

/** One question, about one picture of a prompt; several policies may have drawn it. */
interface Asking extends Listed {
  readonly prompt: Prompt
  readonly svg: string
}

const sizeFor = ({ settings: { render_size } }: Checker): number => render_size > 0 ? render_size : usualSize

/** Most bytes that the pictures of questions under way may take: a batch keeps many waiting. */
const pictureBytes = Math.min(2e9, os.totalmem() / 4)

/** Questions that may be under way. */
const together = ({ concurrency }: Guide["Service"], size: number): number =>
  Math.max(1, Math.min(concurrency, Math.floor(pictureBytes / (4 * size * size))))

/** Somebody waits for the answer: after so many tries, about 15 s, there is none. */
const retriesWhileWaiting = 5

/** Checks drawings as they come, for as long as the scope is open. The budget is for all of them. */
export const makeDrawingCheck = Effect.fnUntraced(function*(checker: Checker) {
  const size = sizeFor(checker)
  const context = yield* Layer.build(Layer.mergeAll(checker.layer, rendererResvg.layer({ size })))
  const guide = Context.get(context, Guide)
  return {
    concurrency: together(guide, size),
    check: Effect.fnUntraced(function*(prompt: Prompt, requirements: ReadonlyArray<string>, drawing: string) {
      const rendering = yield* renderFor(prompt, drawing)
      return rendering._tag === "Rendered"
        ? yield* checkPicture(guide, prompt, requirements, rendering.picture, retriesWhileWaiting)
        : { outcome: "invalid", reason: outcomeOf(rendering) } satisfies Check as Check
    }, Effect.provide(context))
  }
})

/**
 * Checks the first drawing of each prompt at each policy's best temperature, which is the one that is told. What was
 * answered before, by this or any other command, is not asked again. If the guide model stops, what is under way is waited
 * for: it is paid for, and kept.
 */
export const checkRequirements = Effect.fn("checkRequirements")(function*({ asked, checker, drawn, out, style }: CheckOptions) {
  const { settings } = checker
  const size = sizeFor(checker)
  const { ledger, spent } = yield* openLedgerFile(path.join(out, "calls.jsonl"))
  return yield* Effect.gen(function*() {
    const guide = yield* Guide
    const answers = yield* Answers
    /** By the question's name, so that equal pictures of a prompt are shown once. */
    const questions = new Map<string, Asking>()
    let open: ReadonlyArray<Asking> = []
    const look = Effect.fnUntraced(function*({ best, drawn }: PolicyDrawings, { prompt, requirements }: Required, n: number) {
      const drawing = first(drawn.get(best)![n]!)
      if (!rendered(drawing)) return { outcome: "invalid", reason: drawing.outcome } satisfies Check as Check
      const rendering = yield* renderFor(prompt, drawing.svg)
      if (rendering._tag !== "Rendered") return { outcome: "invalid", reason: outcomeOf(rendering) } satisfies Check as Check
      const { id } = checklistQuestion(guide, prompt, requirements, rendering.picture)
      const asking: Asking = { prompt, requirements, svg: drawing.svg }
      if (!questions.has(id)) {
        questions.set(id, asking)
        if ((yield* answers.get(id)) === undefined) open = [...open, asking]
      }
      return id
    })
    const looks = yield* Effect.forEach(drawn, (policy) =>
      Effect.forEach(asked, (of, n) => look(policy, of, n), { concurrency: 8 }))
    const answered = questions.size - open.length
    const progress = yield* makeProgress(style, "drawing", questions.size)
    yield* progress.note(
      `${open.length} drawings are shown to ${checker.model}, each once${costs(checker, open)}.${answered === 0 ? "" : ` ${answered} were answered before.`}`
    )

    const checks = new Map<string, Check>()
    const stopped = yield* Ref.make<JudgeStopped | undefined>(undefined)
    const tick = Effect.suspend(() => Effect.flatMap(spent, (nano) => progress.tick(checks.size, isFree(checker) ? "" : `$${(nano / 1e9).toFixed(4)}`)))
    const ask = Effect.fnUntraced(function*([id, { prompt, requirements, svg }]: readonly [string, Asking]) {
      if ((yield* Ref.get(stopped)) !== undefined) return
      const rendering = yield* renderFor(prompt, svg)
      const check = rendering._tag !== "Rendered"
        ? { outcome: "unanswered", reason: outcomeOf(rendering) } satisfies Check as Check
        : yield* checkPicture(guide, prompt, requirements, rendering.picture).pipe(
          Effect.catchTag("JudgeStopped", (error) => Effect.as(Ref.update(stopped, (earlier) => earlier ?? error), undefined))
        )
      if (check === undefined) return
      checks.set(id, check)
      yield* tick
    })
    yield* Effect.gen(function*() {
      yield* Effect.forEach(questions, ask, {
        concurrency: together(guide, size),
        discard: true
      })
      const why = yield* Ref.get(stopped)
      if (why !== undefined) return yield* why
    }).pipe(Effect.onError(() =>
      Effect.suspend(() =>
        progress.note(
          `Stopped after ${checks.size} of ${questions.size} drawings: the same command goes on, and paid answers are read again.${
            settings.judge_batch ? " Batches continue without us." : ""
          }`
        ))
    ))
    yield* progress.end
    const all = looks.map((of) => of.map((check) => (typeof check === "string" ? checks.get(check)! : check)))
    return {
      guide: checker.model,
      costUsd: (yield* spent) / 1e9,
      checks: all,
      measures: requirementMeasures(asked.map(({ category }) => category), all, settings.seed)
    } satisfies RequirementsChecked as RequirementsChecked
  }).pipe(
    Effect.provide(Layer.mergeAll(checker.layer, rendererResvg.layer({ size })).pipe(Layer.provide(Layer.succeed(Ledger, ledger))))
  )
}, Effect.scoped)
