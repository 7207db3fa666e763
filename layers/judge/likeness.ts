/**
 * Judge: likeness to a reference picture of the prompt, pixel by pixel, of its colours (`pixels`) or of its edges (`edges`):
 * src/scorers/likeness.ts. A drawing's score is the likeness / temperature; scores.ts makes a verdict from two scores.
 */
import { Effect, Layer } from "effect"
import { resize } from "../../src/drawing/resize.ts"
import { edgeLikeness, pixelLikeness, type Pixels } from "../../src/scorers/likeness.ts"
import { readReferences } from "../../src/scorers/references.ts"
import { Judge } from "../../src/stages/Judge.ts"
import { openReferencePictures, referenceOf } from "./reference-pictures.ts"
import { answering, judgeOf, type Score, square } from "./scores.ts"

const measures: Readonly<Record<"pixels" | "edges", (a: Pixels, b: Pixels, side: number) => number>> = {
  pixels: pixelLikeness,
  edges: edgeLikeness
}
export type Likeness = keyof typeof measures

export interface JudgeLikenessOptions {
  readonly of: Likeness
  /** File of JSON lines, {"prompt": ..., "image": path to a .png or .svg}; paths are relative to the file. */
  readonly references: string
  /** Difference in the likeness that is one logit; > 0. Default 0.05. */
  readonly temperature?: number
  /** Scores closer than this are a tie; >= 0, in logits. Default 0.5. */
  readonly tieMargin?: number
}

/** Pixels of a side at which references are drawn. */
const side = 224

/** Fails with `FileProblem` while it is built, if the references cannot be read. A prompt without one is refused. */
export const layer = ({ of, references: file, temperature = 0.05, tieMargin = 0.5 }: JudgeLikenessOptions) =>
  Layer.effect(
    Judge,
    Effect.gen(function*() {
      const references = yield* readReferences(file)
      const draw = yield* openReferencePictures(side)
      const ofFile = yield* answering({ keyOf: (image: string) => image, atOnce: 1, run: ([image]) => Effect.map(draw(image!), (item) => [item.picture]) })
      const score: Score = Effect.fnUntraced(function*(prompt, picture) {
        const { rgba, width } = yield* square(picture)
        const reference = yield* ofFile(yield* referenceOf(references, prompt))
        const sized = reference.size === width ? reference.rgba : resize(reference.rgba, reference.size, reference.size, width, width, "bicubic")
        return measures[of](rgba, sized, width) / temperature
      })
      return judgeOf(score, { name: of, identity: `${of}-1 references=${references.hash.slice(0, 16)} temperature=${temperature} tieMargin=${tieMargin}`, tieMargin })
    })
  )
