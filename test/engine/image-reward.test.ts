/** ImageReward beside its authors' code: a small random model in their checkpoint format (test/golden/make_scorers.py). */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { createSession, type Feeds, float32, int64, type SessionOptions } from "../../layers/onnx/session.ts"
import { encodePictures, scoreTexts } from "../../src/engine/nets/blip.ts"
import { Graph, type Value } from "../../src/engine/graph/graph.ts"
import { frozen, type Get, parameterSource } from "../../src/engine/weights/parameters.ts"
import { toPixels } from "../../src/scorers/pixels.ts"
import { graphsOf, type ImageRewardCheckpoint, inputsOf } from "../../src/scorers/graphs.ts"
import { openImageReward } from "../../src/scorers/image-reward.ts"

const folder = path.join(import.meta.dirname, "../golden/image-reward")
const golden = JSON.parse(fs.readFileSync(path.join(folder, "golden.json"), "utf8"))
/** Of the small vision tower. */
const headWidth = 4
const side = 24

const floats = (base64: string) => new Float32Array(Uint8Array.from(Buffer.from(base64, "base64")).buffer)
const rgbaOf = (base64: string) => {
  const rgb = Buffer.from(base64, "base64")
  return Uint8Array.from({ length: rgb.length / 3 * 4 }, (_, i) => (i % 4 === 3 ? 255 : rgb[Math.floor(i / 4) * 3 + i % 4]!))
}
const near = (got: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what: string) => {
  assert.strictEqual(got.length, expected.length, what)
  for (let i = 0; i < got.length; i++) assert.approximately(got[i]!, expected[i]!, tolerance, `${what}[${i}]`)
}

const run = async (
  checkpoint: ImageRewardCheckpoint,
  weights: SessionOptions["weights"],
  build: (g: Graph, get: Get) => Value,
  feeds: Feeds
) => {
  const g = new Graph()
  g.output("result", build(g, parameterSource(g, frozen(checkpoint.index)).get))
  const session = await createSession(g, { device: "cpu", threads: 1, weights, weightsFolder: checkpoint.folder })
  const { result } = await session.run(feeds)
  await session.release()
  return result!.data as Float32Array
}

const open = () => Effect.runPromise(openImageReward(folder, headWidth))
type Opened = Awaited<ReturnType<typeof open>>

const pixelsOf = ({ checkpoint }: Opened, pictures: ReadonlyArray<{ readonly rgb: string; readonly size: number }>) => {
  const plane = 3 * side * side
  const pixels = new Float32Array(pictures.length * plane)
  pictures.forEach(({ rgb, size }, i) => toPixels(rgbaOf(rgb), size, checkpoint.preprocessing, pixels, i * plane))
  return float32([pictures.length, 3, side, side], pixels)
}
const textsOf = ({ tokenize }: Opened, texts: ReadonlyArray<string>) => {
  const tokens = texts.map(tokenize)
  return {
    ids: int64([texts.length, 35], tokens.flatMap(({ ids }) => ids)),
    mask: float32([texts.length, 35], Float32Array.from(tokens.flatMap(({ ids, length }) => ids.map((_, t) => (t < length ? 1 : 0)))))
  }
}

/** Every text before every picture, texts outermost. */
const pairs = golden.prompts.flatMap((text: string) => golden.pictures.map((picture: any) => ({ text, picture })))
const expected = golden.scores.flat()

describe("ImageReward beside its authors' code", () => {
  it("token ids: accents, punctuation, CJK, controls, long words, long texts, none", async () => {
    const { tokenize } = await open()
    golden.prompts.forEach((text: string, i: number) => {
      const { ids, length } = tokenize(text)
      assert.deepStrictEqual(ids, golden.ids[i], text)
      assert.deepStrictEqual(ids.map((_, t) => (t < length ? 1 : 0)), golden.mask[i], text)
    })
  })

  it("pixels to 1e-6", async () => {
    const opened = await open()
    for (const picture of golden.pictures) {
      near(pixelsOf(opened, [picture]).data as Float32Array, floats(picture.pixels), 1e-6, `${picture.size} pixels`)
    }
  })

  it.each(["mapped", "prepared"] as const)("scores of pairs to 1e-4, weights %s out of the .pt", async (weights) => {
    const opened = await open()
    const { checkpoint } = opened
    const got = await run(
      checkpoint,
      weights,
      (g, get) => graphsOf(checkpoint).pairs!(g, get, inputsOf(g, checkpoint)),
      { ...textsOf(opened, pairs.map(({ text }: any) => text)), pixels: pixelsOf(opened, pairs.map(({ picture }: any) => picture)) }
    )
    near(got, expected, 1e-4, "score")
  })

  it("the same in two graphs: pictures once, then every text", async () => {
    const opened = await open()
    const { checkpoint } = opened
    const { config } = checkpoint
    const embeddings = await run(
      checkpoint,
      "prepared",
      (g, get) => encodePictures(g, get, config, inputsOf(g, checkpoint).pixels()),
      { pixels: pixelsOf(opened, golden.pictures) }
    )
    near(embeddings, golden.image_embeds.flat(2), 1e-4, "embedding")
    const width = embeddings.length / golden.pictures.length
    const repeated = new Float32Array(pairs.length * width)
    golden.prompts.forEach((_: string, i: number) => repeated.set(embeddings, i * embeddings.length))
    const got = await run(
      checkpoint,
      "prepared",
      (g, get) => {
        const { ids, mask } = inputsOf(g, checkpoint)
        const pictures = g.input("pictures", "float32", ["item", 17, config.vision.hidden])
        return scoreTexts(g, get, config, ids(), mask(), pictures)
      },
      {
        ...textsOf(opened, pairs.map(({ text }: any) => text)),
        pictures: float32([pairs.length, 17, config.vision.hidden], repeated)
      }
    )
    near(got, expected, 1e-4, "score")
  })

  const refused: ReadonlyArray<readonly [what: string, change: (folder: string) => void, message: RegExp]> = [
    ["no .pt", (at) => fs.rmSync(path.join(at, "ImageReward.pt")), /has no ImageReward\.pt: fetch it from THUDM\/ImageReward\.$/],
    ["no config", (at) => fs.rmSync(path.join(at, "med_config.json")), /has no med_config\.json: fetch it from THUDM\/ImageReward\.$/],
    ["no tokenizer", (at) => fs.rmSync(path.join(at, "tokenizer.json")), /has no tokenizer\.json: fetch it from bert-base-uncased/],
    [
      "CLIP's tokenizer",
      (at) => fs.copyFileSync(path.join(folder, "../hps/tokenizer.json"), path.join(at, "tokenizer.json")),
      /tokenizer\.json is not BERT's/
    ],
    [
      "a config of another size",
      (at) => {
        const file = path.join(at, "med_config.json")
        fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace(`"intermediate_size": 20`, `"intermediate_size": 24`))
      },
      /blip\.text_encoder\.encoder\.layer\.0\.intermediate\.dense\.weight is \[20,12\] in the weights, but .* \[24,12\]/
    ],
    [
      "another model under that name",
      (at) => fs.copyFileSync(path.join(folder, "../torch/kinds.pt"), path.join(at, "ImageReward.pt")),
      /is not of this model: the weights have no tensor blip\./
    ]
  ]
  for (const [what, change, message] of refused) {
    it.effect(`refuses ${what}`, () =>
      Effect.gen(function*() {
        const copy = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-"))
        fs.cpSync(folder, copy, { recursive: true })
        change(copy)
        const error = yield* Effect.flip(openImageReward(copy, headWidth)).pipe(
          Effect.ensuring(Effect.sync(() => fs.rmSync(copy, { recursive: true })))
        )
        assert.strictEqual(error._tag, "CheckpointInvalid")
        assert.match(error.message, message)
      }))
  }
})
