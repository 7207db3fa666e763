/** Where onnxruntime finds weights: also where a folder's files are symbolic links, as in the Hub's cache. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { assert, it } from "vitest"
import { createSession } from "../../../layers/onnx/session.ts"
import { openWeights } from "../../../src/model/model-folder.ts"
import { Graph } from "../../../src/engine/graph/graph.ts"
import { frozen, parameterSource } from "../../../src/engine/weights/parameters.ts"
import { encodeSafetensors } from "../../../src/engine/weights/safetensors.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"

const scratch = scratchFolder("links")

const file = (name: string, content: string | Uint8Array) => {
  fs.mkdirSync(path.dirname(path.join(scratch, name)), { recursive: true })
  fs.writeFileSync(path.join(scratch, name), content)
}
const link = (target: string, name: string) => {
  fs.mkdirSync(path.dirname(path.join(scratch, name)), { recursive: true })
  fs.symlinkSync(path.relative(path.dirname(path.join(scratch, name)), path.join(scratch, target)), path.join(scratch, name))
}
const shard = (name: string, data: ReadonlyArray<number>) =>
  encodeSafetensors(new Map([[name, { shape: [data.length], data: Float32Array.from(data) }]]))

it.each(["mapped", "prepared"] as const)("reads shards through links to other names in other folders (%s)", async (weights) => {
  const at = (name: string) => path.join(weights, name)
  file(at("repo/blobs/4a1b"), shard("a", [1, 2, 3]))
  file(at("shared/blobs.d/77/9c0d"), shard("b", [10, 20, 30])) // a store that repositories share
  link(at("shared/blobs.d/77/9c0d"), at("repo/blobs/9c0d"))
  link(at("repo/blobs/4a1b"), at("repo/snapshots/c0ffee/model-00001-of-00002.safetensors"))
  link(at("repo/blobs/9c0d"), at("repo/snapshots/c0ffee/model-00002-of-00002.safetensors"))
  const weight_map = { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" }
  file(at("repo/snapshots/c0ffee/model.safetensors.index.json"), JSON.stringify({ weight_map }))
  link(at("repo/snapshots/c0ffee"), at("mine")) // and a link to the folder itself

  const files = await Effect.runPromise(openWeights(path.join(scratch, at("mine"))))
  const g = new Graph()
  const { get } = parameterSource(g, frozen(files.index))
  g.output("sum", g.add(get("a", [3]), get("b", [3])))
  const session = await createSession(g, { device: "cpu", threads: 1, weights, weightsFolder: files.folder })
  const { sum } = await session.run({})
  await session.release()
  assert.deepStrictEqual(Array.from(sum!.data, Number), [11, 22, 33])
})
