/**
 * Judge: any CLIP-family checkpoint (Hugging Face `CLIPModel` folder). A drawing's score is exp(logit_scale) * cos(text,
 * picture), the model's own logit; the verdict is
 *
 *     |score A - score B| < tieMargin   tie
 *     else the higher score, with confidence 2 σ(|score A - score B|) - 1
 *
 * σ of the difference is what the model itself says of the pair: the softmax over the two pictures (Kirstain et al. 2023,
 * PickScore, arXiv:2305.01569). Each picture is scored alone, so the order cannot matter.
 */
import { Deferred, Effect, Layer, Queue } from "effect"
import type { Scope } from "effect"
import { weightsHash } from "../src/checkpoint.ts"
import { openClip } from "../src/clip-checkpoint.ts"
import { type Picture, type Prompt, Verdict } from "../src/domain.ts"
import type { Scorer } from "../src/evaluation.ts"
import { resize } from "../src/numerics/resize.ts"
import { Judge, JudgeRefused } from "../src/stages/Judge.ts"
import { type OnnxError, OnnxRuntime, startProgram } from "./onnx-runtime.ts"

export interface ClipOptions {
  /** Checkpoint folder. */
  readonly model: string
}

export interface JudgeClipOptions extends ClipOptions {
  /** Scores closer than this are a tie; >= 0, in the model's logits. Default 0.5. */
  readonly tieMargin?: number
  /** What the judge is called in verdicts and config.json. Default `clip`. */
  readonly name?: string
}

/** Drawings are rendered square; another shape would have to be cut, and the model would judge a part of it. */
const notSquare = ({ height, width }: Picture) =>
  new JudgeRefused({ message: `The CLIP judge reads square pictures and was given ${width} x ${height}: render them square.` })

/** Embeddings kept: a run asks about each picture in up to K - 1 pairs, soon after one another. */
const remembered = 4096

interface Request {
  readonly picture: Picture
  readonly answer: Deferred.Deferred<Float32Array, OnnxError>
}

/**
 * Scores of pictures against texts. Pictures asked about at the same time share a run; embeddings are kept by the
 * picture's hash and the text. Lives as long as the scope.
 */
const makeScores = Effect.fnUntraced(function*({ model }: ClipOptions) {
  const runtime = yield* OnnxRuntime
  const { checkpoint, tokenize } = yield* openClip(model)
  const program = yield* startProgram("clip", { checkpoint, device: "cpu", threads: runtime.threads })
  const scale = yield* program.scale()
  const size = checkpoint.config.vision.imageSize
  const texts = new Map<string, Float32Array>()
  const pictures = new Map<string, Deferred.Deferred<Float32Array, OnnxError>>()
  const requests = yield* Queue.unbounded<Request>()

  const forget = <A>(known: Map<string, A>) => {
    // Insertion order is age: the oldest goes first.
    for (const key of known.keys()) {
      if (known.size <= remembered) return
      known.delete(key)
    }
  }
  const serve = Effect.gen(function*() {
    const batch = yield* Queue.takeAll(requests)
    const pixels = batch.map(({ picture: { height, rgba, width } }) =>
      width === size ? rgba : resize(rgba, width, height, size, size, checkpoint.filter)
    )
    yield* program.embedImages(pixels).pipe(
      Effect.flatMap((embeddings) =>
        Effect.forEach(batch, ({ answer }, i) => Deferred.succeed(answer, embeddings[i]!), { discard: true })
      ),
      Effect.catch((error) =>
        Effect.forEach(batch, ({ answer, picture }) => {
          pictures.delete(picture.hash) // asked again, it is embedded again
          return Deferred.fail(answer, error)
        }, { discard: true })
      )
    )
  })
  yield* Effect.forkScoped(Effect.forever(serve))

  const ofPicture = Effect.fnUntraced(function*(picture: Picture) {
    const known = pictures.get(picture.hash)
    if (known !== undefined) return yield* Deferred.await(known)
    const answer = yield* Deferred.make<Float32Array, OnnxError>()
    pictures.set(picture.hash, answer)
    forget(pictures)
    yield* Queue.offer(requests, { picture, answer })
    return yield* Deferred.await(answer)
  })
  const ofText = Effect.fnUntraced(function*(text: string) {
    const known = texts.get(text)
    if (known !== undefined) return known
    const [embedding] = yield* program.embedTexts([tokenize(text)])
    texts.set(text, embedding!)
    forget(texts)
    return embedding!
  })
  const score = Effect.fnUntraced(function*(text: string, picture: Picture) {
    if (picture.width !== picture.height) return yield* notSquare(picture)
    const [t, p] = yield* Effect.all([ofText(text), ofPicture(picture)], { concurrency: 2 })
    return scale * t.reduce((sum, x, i) => sum + x * p[i]!, 0)
  })
  return { checkpoint, score }
})

/**
 * The judge. Fails while it is built with `CheckpointInvalid` when the folder holds no usable CLIP, with `OnnxError` when
 * the runtime refuses it.
 */
export const layer = ({ model, name = "clip", tieMargin = 0.5 }: JudgeClipOptions) =>
  Layer.effect(
    Judge,
    Effect.gen(function*() {
      const { checkpoint, score } = yield* makeScores({ model })
      const compare = Effect.fn("Judge.compare")(function*(prompt: Prompt, a: Picture, b: Picture) {
        const scores = yield* Effect.all([score(prompt.text, a), score(prompt.text, b)], { concurrency: 2 }).pipe(
          Effect.catchTag("OnnxError", ({ message }) => Effect.fail(new JudgeRefused({ message })))
        )
        const gap = Math.abs(scores[0] - scores[1])
        if (gap < tieMargin || a.hash === b.hash) return new Verdict({ outcome: "tie", confidence: 0, scores, by: name })
        return new Verdict({
          outcome: scores[0] > scores[1] ? "A" : "B",
          confidence: 2 / (1 + Math.exp(-gap)) - 1,
          scores,
          by: name
        })
      })
      return Judge.of({
        name,
        identity: `clip-1 weights=${weightsHash(checkpoint).slice(0, 16)} tieMargin=${tieMargin}`,
        concurrency: 1024,
        compare
      })
    })
  )

/** The same scores without verdicts, for a held-out comparison; a picture it cannot read scores nothing. */
export const scorer = (name: string, options: ClipOptions): Effect.Effect<
  Scorer,
  Effect.Error<ReturnType<typeof makeScores>>,
  OnnxRuntime | Scope.Scope
> =>
  Effect.map(makeScores(options), ({ score }) => ({
    name,
    score: (prompt, picture) => Effect.orElseSucceed(score(prompt.text, picture), () => undefined)
  }))
