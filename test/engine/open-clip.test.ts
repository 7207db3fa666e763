/** HPSv2 beside its authors' code: a small random model in their checkpoint format (test/golden/make_scorers.py). */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { createSession, type Feeds, float32, int64, type SessionOptions } from "../../layers/onnx/session.ts"
import { Graph } from "../../src/engine/graph/graph.ts"
import { frozen, parameterSource } from "../../src/engine/weights/parameters.ts"
import { toPixels } from "../../src/scorers/pixels.ts"
import { type Build, graphsOf, type HpsCheckpoint, inputsOf } from "../../src/scorers/graphs.ts"
import { openHps } from "../../src/scorers/hps.ts"

const folder = path.join(import.meta.dirname, "../golden/hps")
const golden = JSON.parse(fs.readFileSync(path.join(folder, "golden.json"), "utf8"))
const heads = { vision: 4, text: 2 }

const floats = (base64: string) => new Float32Array(Uint8Array.from(Buffer.from(base64, "base64")).buffer)
const rgbaOf = (base64: string) => {
  const rgb = Buffer.from(base64, "base64")
  return Uint8Array.from({ length: rgb.length / 3 * 4 }, (_, i) => (i % 4 === 3 ? 255 : rgb[Math.floor(i / 4) * 3 + i % 4]!))
}
const near = (got: ArrayLike<number | bigint>, expected: ArrayLike<number>, tolerance: number, what: string) => {
  assert.strictEqual(got.length, expected.length, what)
  for (let i = 0; i < got.length; i++) assert.approximately(Number(got[i]), expected[i]!, tolerance, `${what}[${i}]`)
}
const rows = (flat: Float32Array, width: number) =>
  Array.from({ length: flat.length / width }, (_, i) => flat.slice(i * width, (i + 1) * width))

const run = async (checkpoint: HpsCheckpoint, build: Build, weights: SessionOptions["weights"], feeds: Feeds) => {
  const g = new Graph()
  g.output("result", build(g, parameterSource(g, frozen(checkpoint.index)).get, inputsOf(g, checkpoint)))
  const session = await createSession(g, { device: "cpu", threads: 1, weights, weightsFolder: checkpoint.folder })
  const { result } = await session.run(feeds)
  await session.release()
  return rows(result!.data as Float32Array, checkpoint.config.projection)
}

/** What a user might hand over instead of the folder. */
const inCopy = <A, E>(change: (folder: string) => void, use: (folder: string) => Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const copy = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-"))
      for (const file of ["HPS_v2.1_compressed.pt", "tokenizer.json"]) fs.copyFileSync(path.join(folder, file), path.join(copy, file))
      change(copy)
      return copy
    }),
    use,
    (copy) => Effect.sync(() => fs.rmSync(copy, { recursive: true }))
  )

describe("HPSv2 beside its authors' code", () => {
  it.effect("token ids", () =>
    Effect.gen(function*() {
      const { tokenize } = yield* openHps(folder, heads)
      golden.prompts.forEach((text: string, i: number) => {
        const { ids, length } = tokenize(text)
        assert.deepStrictEqual(ids, golden.ids[i], text)
        assert.strictEqual(length, ids.indexOf(526) + 1)
      })
    }))

  it.effect("pixels to 5e-6, which float32 weights of the resampling leave", () =>
    Effect.gen(function*() {
      const { checkpoint } = yield* openHps(folder, heads)
      for (const { pixels, rgb, size } of golden.pictures) {
        const got = new Float32Array(3 * 28 * 28)
        toPixels(rgbaOf(rgb), size, checkpoint.preprocessing, got, 0)
        near(got, floats(pixels), 5e-6, `${size} pixels`)
      }
    }))

  it.each(["mapped", "prepared"] as const)("embeddings and scores to 1e-4, weights %s out of the .pt", async (weights) => {
    const { checkpoint, score, tokenize } = await Effect.runPromise(openHps(folder, heads))
    const graphs = graphsOf(checkpoint)
    const tokens = golden.prompts.map(tokenize) as ReadonlyArray<ReturnType<typeof tokenize>>
    const n = tokens.length
    const pixels = new Float32Array(n * 3 * 28 * 28)
    golden.pictures.forEach(({ rgb, size }: any, i: number) =>
      toPixels(rgbaOf(rgb), size, checkpoint.preprocessing, pixels, i * 3 * 28 * 28)
    )
    const pictures = await run(checkpoint, graphs.pictures!, weights, { pixels: float32([n, 3, 28, 28], pixels) })
    const texts = await run(checkpoint, graphs.texts!, weights, {
      ids: int64([n, 77], tokens.flatMap(({ ids }) => ids)),
      ends: int64([n], tokens.map(({ length }, i) => i * 77 + length - 1))
    })
    for (let i = 0; i < n; i++) {
      near(pictures[i]!, golden.image_embeds[i], 1e-4, `picture ${i}`)
      near(texts[i]!, golden.text_embeds[i], 1e-4, `text ${i}`)
      near(texts.map((text) => score(text, pictures[i]!)), golden.scores[i], 1e-4, `scores of picture ${i}`)
    }
  })

  it.effect("the .pt may be given by its path", () =>
    Effect.gen(function*() {
      const { checkpoint } = yield* openHps(path.join(folder, "HPS_v2.1_compressed.pt"), heads)
      assert.strictEqual(checkpoint.config.vision.heads, 4)
    }))

  const refused: ReadonlyArray<readonly [what: string, change: (folder: string) => void, message: RegExp]> = [
    ["no .pt", (at) => fs.rmSync(path.join(at, "HPS_v2.1_compressed.pt")), /has no HPS_v2\.1_compressed\.pt or HPS_v2_compressed\.pt: fetch it from xswu\/HPSv2\.$/],
    ["both models", (at) => fs.copyFileSync(path.join(at, "HPS_v2.1_compressed.pt"), path.join(at, "HPS_v2_compressed.pt")), /give the path of the one/],
    ["no tokenizer", (at) => fs.rmSync(path.join(at, "tokenizer.json")), /has no tokenizer\.json: fetch it from openai\/clip-vit-base-patch32 or laion/],
    [
      "BERT's tokenizer",
      (at) => fs.copyFileSync(path.join(folder, "../image-reward/tokenizer.json"), path.join(at, "tokenizer.json")),
      /does not end texts with token 526/
    ],
    [
      "another model under that name",
      (at) => fs.copyFileSync(path.join(folder, "../torch/nested.pt"), path.join(at, "HPS_v2.1_compressed.pt")),
      /is not of this model: the weights have no tensor visual\.conv1\.weight\.$/
    ]
  ]
  for (const [what, change, message] of refused) {
    it.effect(`refuses ${what}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(inCopy(change, (at) => openHps(at, heads)))
        assert.strictEqual(error._tag, "CheckpointInvalid")
        assert.match(error.message, message)
      }))
  }

  it.effect("refuses heads that do not divide the width", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(openHps(folder, { vision: 5, text: 2 }))
      assert.match(error.message, /2 blocks of 16 in 5 heads make no model/)
    }))
})
