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
