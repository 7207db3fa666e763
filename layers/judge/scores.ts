/**
 * What turns every scorer into a judge: one worker, one run for pictures asked about at the same time, stored answers,
 * and the verdict
 *
 *      |score A - score B| < tieMargin   tie
 *      else the higher score, with confidence 2 σ(|score A - score B|) - 1
 *
 * σ of the difference of two logits is the softmax over the two pictures: the model's own probability for the pair
 * (Kirstain et al. 2023, PickScore, arXiv:2305.01569). Each picture is scored alone, so the order cannot matter.
 */
import { Deferred, Effect, Layer, Queue } from "effect"
import { type CheckpointInvalid, weightsHash } from "../../src/model/model-folder.ts"
import { type Picture, type Prompt, Verdict } from "../../src/domain.ts"
import type { Scorer } from "../../src/stages/Scorer.ts"
import type { ScorerCheckpoint } from "../../src/scorers/graphs.ts"
import type { PairScorer, TextScorer } from "../../src/scorers/family.ts"
import { Judge, JudgeRefused } from "../../src/stages/Judge.ts"
import type { Item } from "../onnx/scorer-program.ts"
import { type OnnxError, OnnxRuntime, startProgram } from "../onnx/runtime.ts"
import { tokenizing } from "../../src/model/tokenizer/limits.ts"

/** A picture's score as a drawing of a prompt, in logits. */
export type Score = (prompt: Prompt, picture: Picture) => Effect.Effect<number, OnnxError | JudgeRefused>

/** How many answers of each kind are kept: a run asks about each picture in up to K - 1 pairs, soon after one another. */
const remembered = 4096

interface Answering<I, A, E> {
  /** Equal items have equal keys. */
  readonly keyOf: (item: I) => string
  /** Most items in one run. */
  readonly atOnce: number
  readonly run: (items: ReadonlyArray<I>) => Effect.Effect<ReadonlyArray<A>, E>
}

/** Items asked about at the same time share a run; answers are kept by key, and one that failed is asked again. */
export const answering = Effect.fnUntraced(function*<I, A, E>({ atOnce, keyOf, run }: Answering<I, A, E>) {
  const known = new Map<string, Deferred.Deferred<A, E>>()
  const requests = yield* Queue.unbounded<{ readonly item: I; readonly answer: Deferred.Deferred<A, E> }>()
  const serve = Effect.gen(function*() {
    const batch = yield* Queue.takeBetween(requests, 1, atOnce)
    yield* run(batch.map(({ item }) => item)).pipe(
      Effect.flatMap((answers) =>
        Effect.forEach(batch, ({ answer }, i) => Deferred.succeed(answer, answers[i]!), { discard: true })
      ),
      Effect.catch((error) =>
        Effect.forEach(batch, ({ answer, item }) => {
          known.delete(keyOf(item))
          return Deferred.fail(answer, error)
        }, { discard: true })
      )
    )
  })
  yield* Effect.forkScoped(Effect.forever(serve))
  /** In one step, so that an interrupted caller leaves no entry that nobody will answer. */
  const ask = (item: I): Deferred.Deferred<A, E> => {
    const key = keyOf(item)
    const asked = known.get(key)
    if (asked !== undefined) return asked
    const answer = Deferred.makeUnsafe<A, E>()
    known.set(key, answer)
    // Insertion order is age: the oldest goes first.
    if (known.size > remembered) known.delete(known.keys().next().value!)
    Queue.offerUnsafe(requests, { item, answer })
    return answer
  }
  return (item: I) => Effect.suspend(() => Deferred.await(ask(item)))
})

const startWorker = (checkpoint: ScorerCheckpoint) =>
  OnnxRuntime.use(({ spinning, threads }) => startProgram("scorer", { checkpoint, device: "cpu", spinning, threads }))

/** Drawings are rendered square. Another shape would have to be cut, and only a part of it would be judged. */
export const square = (picture: Picture): Effect.Effect<Picture, JudgeRefused> =>
  picture.width === picture.height ? Effect.succeed(picture) : Effect.fail(
    new JudgeRefused({
      message: `This judge needs square pictures and got ${picture.width} x ${picture.height}: render them square.`
    })
  )

/** A scorer's worker and the embeddings of its pictures. */
export const startScorer = Effect.fnUntraced(function*(checkpoint: ScorerCheckpoint) {
  const program = yield* startWorker(checkpoint)
  const embed = yield* answering({
    keyOf: ({ hash }: Picture) => hash,
    atOnce: Infinity,
    run: (pictures) => program.run("pictures", pictures.map(itemOf))
  })
  const ofPicture = (picture: Picture) => Effect.flatMap(square(picture), embed)
  return { program, ofPicture }
})

const itemOf = ({ rgba, width }: Picture): Item => ({ picture: { rgba, size: width } })

const reading = <A>(work: () => A) => Effect.mapError(tokenizing(work), ({ message }) => new JudgeRefused({ message }))

/** Scores of pictures against texts. Lives as long as the scope. */
const textScores = Effect.fnUntraced(function*(
  { checkpoint, score, tokenize }: TextScorer<ScorerCheckpoint>
) {
  const { ofPicture, program } = yield* startScorer(checkpoint)
  const ofText = yield* answering({
    keyOf: (text: string) => text,
    atOnce: 1, // texts are few, and a row alone is the same no matter what else is asked
    run: (texts) => Effect.flatMap(reading(() => texts.map((text) => ({ text: tokenize(text) }))), (items) => program.run("texts", items))
  })
  const scoreOf: Score = (prompt, picture) =>
    Effect.map(Effect.all([ofText(prompt.text), ofPicture(picture)], { concurrency: 2 }), ([t, p]) => score(t, p))
  return scoreOf
})

/** Scores by a family that reads text and picture together. Lives as long as the scope. */
const pairScores = Effect.fnUntraced(function*({ checkpoint, tokenize }: PairScorer<ScorerCheckpoint>) {
  const program = yield* startWorker(checkpoint)
  const ofPair = yield* answering({
    keyOf: ({ picture, text }: { readonly picture: Picture; readonly text: string }) => `${picture.hash} ${text}`,
    atOnce: Infinity,
    run: (pairs) =>
      Effect.map(
        Effect.flatMap(
          reading(() => pairs.map(({ picture, text }) => ({ ...itemOf(picture), text: tokenize(text) }))),
          (items) => program.run("pairs", items)
        ),
        (rows) => rows.map(([score]) => score!)
      )
  })
  const scoreOf: Score = (prompt, picture) => Effect.flatMap(square(picture), (picture) => ofPair({ picture, text: prompt.text }))
  return scoreOf
})

export interface ScoreJudge {
  /** The judge's name in verdicts and config.json. */
  readonly name: string
  readonly identity: string
  /** Scores closer than this are a tie; >= 0, in logits. */
  readonly tieMargin: number
}

export const judgeOf = (score: Score, { identity, name, tieMargin }: ScoreJudge): Judge["Service"] => {
  const compare = Effect.fn("Judge.compare")(function*(prompt: Prompt, a: Picture, b: Picture) {
    const scores = yield* Effect.all([score(prompt, a), score(prompt, b)], { concurrency: 2 }).pipe(
      Effect.catchTag("OnnxError", ({ message }) => Effect.fail(new JudgeRefused({ message })))
    )
    const gap = Math.abs(scores[0] - scores[1])
    if (gap < tieMargin || gap === 0 || a.hash === b.hash) {
      return new Verdict({ outcome: "tie", confidence: 0, scores, by: name })
    }
    return new Verdict({
      outcome: scores[0] > scores[1] ? "A" : "B",
      confidence: 2 / (1 + Math.exp(-gap)) - 1,
      scores,
      by: name
    })
  })
  return Judge.of({ name, identity, concurrency: 1024, free: true, compare })
}

/** The same scores without verdicts, for a held-out comparison; a picture it cannot read gets no score. */
export const scorerOf = (name: string, score: Score): Scorer => ({
  name,
  score: (prompt, picture) => Effect.orElseSucceed(score(prompt, picture), () => undefined)
})

/** An opened family's scores, for both ways of reading texts and pictures. Lives as long as the scope. */
const scoresOf = (opened: TextScorer<ScorerCheckpoint> | PairScorer<ScorerCheckpoint>) =>
  "score" in opened ? textScores(opened) : pairScores(opened)

type Opened = Effect.Effect<TextScorer<ScorerCheckpoint> | PairScorer<ScorerCheckpoint>, CheckpointInvalid>

export interface ModelJudge {
  readonly open: Opened
  readonly name: string
  readonly tieMargin: number
  /** Names the rule that makes verdicts: change it when the rule's verdicts may change. */
  readonly version: string
}

/**
 * A judge that uses one model's scores. Fails with `CheckpointInvalid` while it is built, if the model cannot be used.
 */
export const scoreJudge = ({ name, open, tieMargin, version }: ModelJudge) =>
  Layer.effect(
    Judge,
    Effect.gen(function*() {
      const opened = yield* open
      return judgeOf(yield* scoresOf(opened), {
        name,
        identity: `${version} weights=${shortHash(opened.checkpoint)} tieMargin=${tieMargin}`,
        tieMargin
      })
    })
  )

/** The same scores for a held-out comparison. */
export const heldOut = Effect.fnUntraced(function*(name: string, open: Opened) {
  return scorerOf(name, yield* scoresOf(yield* open))
})

export const shortHash = (checkpoint: ScorerCheckpoint): string => weightsHash(checkpoint).slice(0, 16)
