/**
 * Judge: likeness to a reference picture of the prompt, by DINOv2 (Hugging Face `Dinov2Model` folder, such as
 * facebook/dinov2-small). A drawing's score is cos(drawing, reference) / temperature, on the class token after the last
 * norm; scores.ts makes a verdict from two scores. DINOv2 was not trained to compare and has no temperature of its own:
 * with ours, a difference of 0.05 in the cosine is one logit.
 */
import { Effect, Layer } from "effect"
import { type ModelKind, safetensors } from "../../src/model/hub/model-kind.ts"
import { dinov2Config, openDinov2 } from "../../src/scorers/dinov2.ts"
import { dot } from "../../src/scorers/family.ts"
import type { Dinov2Checkpoint } from "../../src/scorers/graphs.ts"
import { readReferences, type References } from "../../src/scorers/references.ts"
import { Judge } from "../../src/stages/Judge.ts"
import { openReferencePictures, referenceOf } from "./reference-pictures.ts"
import { answering, judgeOf, type Score, scorerOf, shortHash, startScorer } from "./scores.ts"

export interface DinoOptions {
  /** Checkpoint folder. */
  readonly model: string
  /** File of JSON lines, {"prompt": ..., "image": path to a .png or .svg}; paths are relative to the file. */
  readonly references: string
  /** Difference in the cosine that is one logit; > 0. Default 0.05. */
  readonly temperature?: number
}

export interface JudgeDinoOptions extends DinoOptions {
  /** Scores closer than this are a tie; >= 0, in logits. Default 0.5. */
  readonly tieMargin?: number
  /** The judge's name in verdicts and config.json. Default `dino`. */
  readonly name?: string
}

/** The files of its checkpoint. */
export const files: ModelKind = {
  check: dinov2Config,
  required: ["config.json"],
  others: ["config.json", "preprocessor_config.json"],
  weights: safetensors,
  instead: "give facebook/dinov2-small, say, or a folder"
}

const dinoScores = Effect.fnUntraced(function*(checkpoint: Dinov2Checkpoint, references: References, temperature: number) {
  const { ofPicture, program } = yield* startScorer(checkpoint)
  const draw = yield* openReferencePictures(checkpoint.preprocessing.resized)
  const ofFile = yield* answering({
    keyOf: (file: string) => file,
    atOnce: 1,
    run: ([file]) => Effect.flatMap(draw(file!), (item) => program.run("pictures", [item]))
  })
  const score: Score = Effect.fnUntraced(function*(prompt, picture) {
    const file = yield* referenceOf(references, prompt)
    const [reference, drawing] = yield* Effect.all([ofFile(file), ofPicture(picture)], { concurrency: 2 })
    return dot(reference, drawing) / temperature
  })
  return score
})

const open = Effect.fnUntraced(function*({ model, references: file, temperature = 0.05 }: DinoOptions) {
  const checkpoint = yield* openDinov2(model)
  const references = yield* readReferences(file)
  return { checkpoint, references, temperature, score: yield* dinoScores(checkpoint, references, temperature) }
})

/**
 * Fails while it is built: with `CheckpointInvalid` if the folder holds no usable DINOv2, with `FileProblem` if the
 * references cannot be read.
 */
export const layer = ({ name = "dino", tieMargin = 0.5, ...options }: JudgeDinoOptions) =>
  Layer.effect(
    Judge,
    Effect.gen(function*() {
      const { checkpoint, references, score, temperature } = yield* open(options)
      return judgeOf(score, {
        name,
        identity: `dino-1 weights=${shortHash(checkpoint)} references=${references.hash.slice(0, 16)} ` +
          `temperature=${temperature} tieMargin=${tieMargin}`,
        tieMargin
      })
    })
  )

/** The same scores without verdicts, for a held-out comparison; a prompt without a reference gets no score. */
export const scorer = (name: string, options: DinoOptions) => Effect.map(open(options), ({ score }) => scorerOf(name, score))
