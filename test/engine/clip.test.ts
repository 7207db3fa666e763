/** CLIP beside transformers: embeddings, logits, loss and gradients of small random models (test/golden/make.py). */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { createSession, float32, int64 } from "../../layers/onnx/session.ts"
import { openWeights, readParameters } from "../../src/model/model-folder.ts"
import { clipConfig } from "../../src/scorers/clip.ts"
import { clipShapes, contrastiveLoss, encodeImages, encodeTexts, textEnd } from "../../src/engine/nets/clip.ts"
import { gradients } from "../../src/engine/graph/gradients.ts"
import { Graph } from "../../src/engine/graph/graph.ts"
import { padTo } from "../../src/engine/weights/tensor.ts"

describe.each(["clip", "clip-gelu"])("%s beside transformers", (name) => {
  const folder = path.join(import.meta.dirname, "../golden", name)
  const golden = JSON.parse(fs.readFileSync(path.join(folder, "golden.json"), "utf8"))

  const compute = async () => {
    const c = await Effect.runPromise(clipConfig(folder))
    const parameters = readParameters(await Effect.runPromise(openWeights(folder)))
    const g = new Graph()
    const inputs = new Map([...clipShapes(c)].map(([name, shape]) => [name, g.input(name, "float32", shape)]))
    const get = (name: string) => inputs.get(name)!
    const texts = encodeTexts(g, get, c, g.input("ids", "int64", [3, c.text.maxPositions]), g.input("ends", "int64", [3]))
    const images = encodeImages(g, get, c, g.input("pixels", "float32", [3, 3, c.vision.imageSize, c.vision.imageSize]))
    const loss = contrastiveLoss(g, texts, images, get("logit_scale"), { pairs: 3, margin: 0 })
    g.output("texts", texts)
    g.output("images", images)
    g.output("loss", loss)
    const names = [...inputs.keys()]
    gradients(g, loss, g.scalar(1), names.map(get)).forEach((dx, i) => g.output(`grad.${names[i]}`, dx!))
    const session = await createSession(g, { device: "cpu", threads: 1, weights: "mapped" })
    const time = c.text.maxPositions
    const padded = golden.input_ids.map((ids: Array<number>) => padTo(ids, time))
    const out = await session.run({
      ...Object.fromEntries([...parameters].map(([name, { data, shape }]) => [name, float32(shape, data)])),
      ids: int64([3, time], padded.flat()),
      ends: int64([3], golden.input_ids.map((ids: Array<number>, n: number) => n * time + textEnd(ids, c.text.eosTokenId))),
      pixels: float32([3, 3, c.vision.imageSize, c.vision.imageSize], Float32Array.from(golden.pixel_values.flat()))
    })
    await session.release()
    return { out, parameters }
  }

  it("embeddings to 1e-4, loss to 1e-4", async () => {
    const { out } = await compute()
    golden.text_embeds.flat().forEach((x: number, i: number) => assert.approximately(Number(out["texts"]!.data[i]), x, 1e-4))
    golden.image_embeds.flat().forEach((x: number, i: number) => assert.approximately(Number(out["images"]!.data[i]), x, 1e-4))
    assert.approximately(Number(out["loss"]!.data[0]), golden.loss, 1e-4)
  })

  it("gradients of every parameter, to 1e-3 relative", async () => {
    const { out, parameters } = await compute()
    assert.strictEqual(golden.grads.length, parameters.size)
    for (const { first, name, norm } of golden.grads as ReadonlyArray<{ name: string; norm: number; first: Array<number> }>) {
      const got = out[`grad.${name}`]!.data as Float32Array
      const length = Math.hypot(...got)
      // A key's bias shifts all scores of a query alike: its gradient is zero but for rounding.
      if (name.endsWith("k_proj.bias")) {
        assert.isBelow(length, 1e-5)
        continue
      }
      assert.approximately(length / norm, 1, 1e-3, name)
      first.forEach((x, i) => assert.approximately(got[i]!, x, 1e-3 * norm, `${name}[${i}]`))
    }
  })
})

describe("contrastiveLoss with hard negatives", () => {
  const [pairs, width, scale] = [2, 3, 5]
  const texts = [[1, 0, 0], [0, 1, 0], [0.6, 0.8, 0], [0, 0.6, 0.8]]
  const images = [[0.8, 0.6, 0], [0, 0.8, 0.6], [1, 0, 0], [0, 0, 1]]
  const dot = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) => scale * a.reduce((sum, x, i) => sum + x * b[i]!, 0)

  const computed = async (alsoRight: { images: ReadonlyArray<number>; texts: ReadonlyArray<number> } | undefined) => {
    const g = new Graph()
    const rows = (of: ReadonlyArray<ReadonlyArray<number>>) => g.constant(of.flat(), [of.length, width])
    const mask = (of: ReadonlyArray<number>) => g.constant([...of], [pairs, 2 * pairs])
    g.output("loss", contrastiveLoss(g, rows(texts), rows(images), g.scalar(Math.log(scale)), {
      pairs,
      margin: 0.5,
      ...(alsoRight && { alsoRight: { images: mask(alsoRight.images), texts: mask(alsoRight.texts) } })
    }))
    const session = await createSession(g, { device: "cpu", threads: 1, weights: "mapped" })
    const { loss } = await session.run({})
    await session.release()
    return Number(loss!.data[0])
  }

  /** By hand; `left` says which columns stay in a row's softmax. */
  const expected = (left: (anchor: "text" | "image", row: number, column: number) => boolean) => {
    const side = (anchor: "text" | "image", from: typeof texts, to: typeof texts) =>
      [0, 1].reduce((sum, row) => {
        const columns = to.map((_, column) => column).filter((column) => left(anchor, row, column))
        return sum + Math.log(columns.reduce((all, column) => all + Math.exp(dot(from[row]!, to[column]!)), 0)) - dot(from[row]!, to[row]!)
      }, 0) / pairs
    const margin = (from: typeof texts, to: typeof texts) =>
      0.5 * [0, 1].reduce((sum, n) => sum + Math.log1p(Math.exp(dot(from[n]!, to[pairs + n]!) - dot(from[n]!, to[n]!))), 0) / pairs
    return (side("text", texts, images) + side("image", images, texts)) / 2 + margin(texts, images) + margin(images, texts)
  }

  it("compares each with all others and with its own wrong one", async () => {
    assert.approximately(await computed(undefined), expected(() => true), 1e-5)
  })

  it("leaves out what is right too", async () => {
    const alsoRight = { images: [0, 0, 0, -1e4, 0, 0, 0, 0], texts: [0, -1e4, 0, 0, 0, 0, -1e4, 0] }
    const left = (anchor: "text" | "image", row: number, column: number) =>
      anchor === "text" ? !(row === 0 && column === 3) : !(row === 0 && column === 1) && !(row === 1 && column === 2)
    assert.approximately(await computed(alsoRight), expected(left), 1e-5)
  })
})
