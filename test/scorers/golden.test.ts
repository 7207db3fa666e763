/** Scorers beside transformers: token ids, pixels, embeddings and logits of small random models (test/golden/make.py). */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ScorerProgram } from "../../layers/onnx/scorer-program.ts"
import { bicubicMatrix } from "../../src/engine/nets/dinov2.ts"
import { toPixels } from "../../src/scorers/pixels.ts"
import type { Preprocessing } from "../../src/scorers/preprocessing-steps.ts"
import { openClip } from "../../src/scorers/clip.ts"
import { openDinov2 } from "../../src/scorers/dinov2.ts"
import type { ScorerCheckpoint } from "../../src/scorers/graphs.ts"
import { clipColours, readPreprocessing } from "../../src/scorers/preprocessing.ts"
import { openSiglip } from "../../src/scorers/siglip.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const folder = (name: string) => path.join(import.meta.dirname, "../golden", name)
const read = (name: string) => JSON.parse(fs.readFileSync(folder(name), "utf8"))

/** make.py's `formula_picture`, alpha aside. */
const picture = (n: number, side: number): Uint8Array =>
  Uint8Array.from({ length: side * side * 4 }, (_, i) => i % 4 === 3 ? 255 : Math.floor((i * i * 31 + i * 7919 + n * 104_729) / 7) % 251)

const near = (got: ArrayLike<number>, expected: ReadonlyArray<number>, tolerance: number, what: string) => {
  assert.strictEqual(got.length, expected.length, what)
  expected.forEach((x, i) => assert.approximately(got[i]!, x, tolerance, `${what}[${i}]`))
}

const pixelsOf = (n: number, size: number, p: Preprocessing) => {
  const pixels = new Float32Array(3 * p.side ** 2)
  toPixels(picture(n, size), size, p, pixels, 0)
  return pixels
}

const pictures = (size: number) => [0, 1, 2].map((n) => ({ picture: { rgba: picture(n, size), size } }))

const withProgram = async <A>(checkpoint: ScorerCheckpoint, use: (program: ScorerProgram) => Promise<A>): Promise<A> => {
  const program = new ScorerProgram({ checkpoint, device: "cpu", threads: 1 })
  try {
    return await use(program)
  } finally {
    await program.release()
  }
}

describe.each([
  ["siglip", openSiglip],
  ["siglip2", openSiglip],
  ["pickscore", openClip]
] as const)("%s beside transformers", (name, open) => {
  const golden = read(`${name}/golden.json`)
  const opened = () => Effect.runPromise<Effect.Success<ReturnType<typeof openSiglip | typeof openClip>>, unknown>(open(folder(name)))

  it("token ids", async () => {
    const { checkpoint, tokenize } = await opened()
    golden.texts.forEach((text: string, n: number) => {
      const { ids, length } = tokenize(text)
      assert.strictEqual(ids.length, checkpoint.textLength)
      // PickScore is padded to the longest text; what stands behind the end, the highest id, is never read.
      const expected: Array<number> = golden.input_ids[n]
      assert.deepStrictEqual(ids.slice(0, expected.length), expected, text)
      if (name === "pickscore") assert.strictEqual(length, expected.indexOf(Math.max(...expected)) + 1, text)
    })
  })

  it("pixels to 1e-6", async () => {
    const { checkpoint: { preprocessing } } = await opened()
    golden.pixel_values.forEach((expected: Array<number>, n: number) =>
      near(pixelsOf(n, golden.picture, preprocessing), expected, 1e-6, `picture ${n}`))
  })

  it("embeddings and logits to 1e-4", async () => {
    const { checkpoint, score, tokenize } = await opened()
    const [texts, images] = await withProgram(checkpoint, async (program) => [
      await program.run("texts", golden.texts.map((text: string) => ({ text: tokenize(text) }))),
      await program.run("pictures", pictures(golden.picture))
    ])
    texts!.forEach((row, n) => near(row, golden.text_embeds[n], 1e-4, `text ${n}`))
    images!.forEach((row, n) => near(row, golden.image_embeds[n], 1e-4, `picture ${n}`))
    texts!.forEach((text, n) =>
      near(images!.map((image) => score(text, image)), golden.logits_per_text[n], 1e-4, `logits of text ${n}`))
  })
})

describe.each(["dinov2", "dinov2-swiglu"])("%s beside transformers", (name) => {
  const golden = read(`${name}/golden.json`)

  it("class tokens to 1e-4, in another size than that of the position embeddings", async () => {
    const checkpoint = await Effect.runPromise(openDinov2(folder(name)))
    assert.notStrictEqual(checkpoint.preprocessing.side, checkpoint.config.imageSize)
    golden.pixel_values.forEach((expected: Array<number>, n: number) =>
      near(pixelsOf(n, golden.picture, checkpoint.preprocessing), expected, 1e-6, `picture ${n}`))
    const rows = await withProgram(checkpoint, (program) => program.run("pictures", pictures(golden.picture)))
    rows.forEach((row, n) => {
      const length = Math.hypot(...golden.class_tokens[n])
      near(row, golden.class_tokens[n].map((x: number) => x / length), 1e-4, `picture ${n}`)
    })
  })
})

it("interpolated position embeddings: a row of equal ones stays equal, the same length stays as it is", () => {
  for (const to of [3, 5, 16, 40]) {
    const matrix = bicubicMatrix(16, to)
    for (let i = 0; i < to; i++) assert.approximately(matrix.slice(i * 16, (i + 1) * 16).reduce((a, b) => a + b, 0), 1, 1e-12)
    if (to === 16) matrix.forEach((x, i) => assert.strictEqual(x, i % 17 === 0 ? 1 : 0))
  }
})

describe("preprocessor_config.json beside transformers", () => {
  const golden: { picture: number; cases: Array<{ config: object; side: number; pixel_values: Array<number> }> } = read("preprocessing.json")
  const temporary = scratchFolder("preprocessing")

  it.each(golden.cases.map((one, n) => ({ n, ...one })))("case $n", async ({ config, pixel_values, side }) => {
    fs.writeFileSync(path.join(temporary, "preprocessor_config.json"), JSON.stringify(config))
    const p = await Effect.runPromise(readPreprocessing(temporary, { size: 1, ...clipColours }))
    assert.strictEqual(p.side, side)
    near(pixelsOf(0, golden.picture, p), pixel_values, 1e-6 * Math.max(1, ...pixel_values.map(Math.abs)), "pixels")
  })
})
