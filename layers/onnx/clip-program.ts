/** CLIP's two encoders in a worker thread (onnx-runtime.ts): plain promises, sessions of its own. */
import type { ClipCheckpoint } from "../../src/clip-checkpoint.ts"
import { readTensor } from "../../src/checkpoint.ts"
import { encodeImages, encodeTexts, type Get, normalisePixels, textEnd } from "../../src/numerics/clip.ts"
import { Graph } from "../../src/numerics/graph.ts"
import { parameterSource } from "../../src/numerics/parameters.ts"
import { createSession, type Device, type Feeds, float32, int64, type Session } from "./session.ts"

export interface ClipSpec {
  readonly checkpoint: ClipCheckpoint
  readonly device: Device
  readonly threads: number
}

/** Pictures or texts of one run. */
const batch = 64

export class ClipProgram {
  readonly #spec: ClipSpec
  readonly #sessions: { images?: Promise<Session>; texts?: Promise<Session> } = {}

  constructor(spec: ClipSpec) {
    this.#spec = spec
  }

  /** What a cosine is multiplied with: exp(logit_scale). */
  async scale(): Promise<number> {
    return Math.exp(readTensor(this.#spec.checkpoint, "logit_scale").data[0]!)
  }

  /** RGBA pictures [imageSize, imageSize, 4] to embeddings [projection] of length 1. */
  async embedImages(pictures: ReadonlyArray<Uint8Array>): Promise<Array<Float32Array>> {
    const { config, mean, std } = this.#spec.checkpoint
    const { imageSize } = config.vision
    const session = await (this.#sessions.images ??= this.#open((g, get) =>
      encodeImages(g, get, config, g.input("pixels", "float32", ["image", 3, imageSize, imageSize]))
    ))
    const plane = 3 * imageSize * imageSize
    return this.#inBatches(session, pictures, (part) => {
      const pixels = new Float32Array(part.length * plane)
      part.forEach((rgba, i) => normalisePixels(rgba, mean, std, pixels, i * plane))
      return { pixels: float32([part.length, 3, imageSize, imageSize], pixels) }
    })
  }

  /** Token ids [maxPositions], padded, to embeddings [projection] of length 1. */
  async embedTexts(texts: ReadonlyArray<ReadonlyArray<number>>): Promise<Array<Float32Array>> {
    const { config } = this.#spec.checkpoint
    const { eosTokenId, maxPositions } = config.text
    const session = await (this.#sessions.texts ??= this.#open((g, get) =>
      encodeTexts(g, get, config, g.input("ids", "int64", ["text", maxPositions]), g.input("ends", "int64", ["text"]))
    ))
    return this.#inBatches(session, texts, (part) => ({
      ids: int64([part.length, maxPositions], part.flat()),
      ends: int64([part.length], part.map((ids, n) => n * maxPositions + textEnd(ids, eosTokenId)))
    }))
  }

  async release(): Promise<void> {
    for (const session of Object.values(this.#sessions)) await (await session).release()
  }

  #open(build: (g: Graph, get: Get) => ReturnType<typeof encodeImages>): Promise<Session> {
    const { checkpoint, device, threads } = this.#spec
    const g = new Graph()
    const source = parameterSource(g, checkpoint.index, "none", undefined)
    g.output("embeddings", build(g, source.get))
    return createSession(g, { device, threads, weights: "prepared", weightsFolder: checkpoint.folder })
  }

  async #inBatches<A>(session: Session, items: ReadonlyArray<A>, feeds: (part: ReadonlyArray<A>) => Feeds) {
    const width = this.#spec.checkpoint.config.projection
    const out: Array<Float32Array> = []
    for (let at = 0; at < items.length; at += batch) {
      const part = items.slice(at, at + batch)
      const { embeddings } = await session.run(feeds(part))
      const data = embeddings!.data as Float32Array
      part.forEach((_, i) => out.push(data.slice(i * width, (i + 1) * width)))
    }
    return out
  }
}
