/** The graphs of any family's scorer, in a worker thread (layers/onnx/runtime.ts): plain promises, its own sessions. */
import { Graph } from "../../src/engine/graph/graph.ts"
import { frozen, parameterSource } from "../../src/engine/weights/parameters.ts"
import { toPixels } from "../../src/scorers/pixels.ts"
import { type Graphs, graphsOf, inputsOf, type ScorerCheckpoint, type Tokens } from "../../src/scorers/graphs.ts"
import { createSession, type Device, type Feeds, float32, int64, type Session, Sessions } from "./session.ts"

export interface ScorerSpec {
  readonly checkpoint: ScorerCheckpoint
  readonly device: Device
  readonly threads: number
  readonly spinning?: boolean | undefined
}

/** What one row of a run is made from: the parts that the graph reads. */
export interface Item {
  /** Square, RGBA [size, size, 4]. */
  readonly picture?: { readonly rgba: Uint8Array; readonly size: number }
  readonly text?: Tokens
}

/**
 * Most rows of one run, and most pixels of its pictures together: a large picture is many patches, and each attends to
 * every other.
 */
const most = { rows: 64, pixels: 2 ** 20 }

/** Bytes of weights below which a model is small. */
const small = 1e9

export class ScorerProgram {
  readonly #spec: ScorerSpec
  readonly #sessions = new Sessions((graph: keyof Graphs) => this.#open(graph))

  constructor(spec: ScorerSpec) {
    this.#spec = spec
  }

  /** One row of the graph's output an item. */
  async run(graph: keyof Graphs, items: ReadonlyArray<Item>): Promise<Array<Float32Array>> {
    const { side } = this.#spec.checkpoint.preprocessing
    const session = await this.#sessions.get(graph)
    const rows = graph === "texts" ? most.rows : Math.max(1, Math.min(most.rows, Math.floor(most.pixels / side ** 2)))
    const out: Array<Float32Array> = []
    for (let at = 0; at < items.length; at += rows) {
      const part = items.slice(at, at + rows)
      const { result } = await session.run(this.#feeds(part))
      const data = result!.data as Float32Array
      const width = data.length / part.length
      part.forEach((_, i) => out.push(data.slice(i * width, (i + 1) * width)))
    }
    return out
  }

  release(): Promise<void> {
    return this.#sessions.release()
  }

  async #open(graph: keyof Graphs): Promise<Session> {
    const { checkpoint, device, spinning, threads } = this.#spec
    const build = graphsOf(checkpoint)[graph]
    if (build === undefined) throw new Error(`${checkpoint.family} has no graph of ${graph}`)
    const g = new Graph()
    g.output("result", build(g, parameterSource(g, frozen(checkpoint.index)).get, inputsOf(g, checkpoint)))
    const bytes = [...checkpoint.index.values()].reduce((sum, { length }) => sum + length, 0)
    // Prepared weights run faster but are a copy; a large model's weights stay in their files.
    return createSession(g, { device, spinning, threads, weights: bytes < small ? "prepared" : "mapped", weightsFolder: checkpoint.folder })
  }

  #feeds(items: ReadonlyArray<Item>): Feeds {
    const { preprocessing, textLength } = this.#spec.checkpoint
    const { side } = preprocessing
    const pictures = items.flatMap(({ picture }) => picture ?? [])
    const texts = items.flatMap(({ text }) => text ?? [])
    const pixels = new Float32Array(pictures.length * 3 * side ** 2)
    pictures.forEach(({ rgba, size }, i) => toPixels(rgba, size, preprocessing, pixels, i * 3 * side ** 2))
    const mask = new Float32Array(texts.length * textLength)
    texts.forEach(({ length }, i) => mask.fill(1, i * textLength, i * textLength + length))
    return {
      pixels: float32([pictures.length, 3, side, side], pixels),
      ids: int64([texts.length, textLength], texts.flatMap(({ ids }) => ids)),
      ends: int64([texts.length], texts.map(({ length }, i) => i * textLength + length - 1)),
      mask: float32([texts.length, textLength], mask)
    }
  }
}
