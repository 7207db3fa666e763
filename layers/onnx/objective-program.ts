/**
 * An objective without a model: the log-probabilities come from elsewhere, and so does the backward pass. Plain promises, no
 * Effect: it lives in a worker thread (layers/onnx/runtime.ts).
 */
import type { ChosenObjective } from "../../src/objectives/objectives.ts"
import { givenFeeds, type GivenShare, objectiveGraph, type PerToken } from "./objective-graph.ts"
import { createSession, Sessions } from "./session.ts"

export interface Sloped {
  /** Nats. */
  readonly loss: number
  /** dLoss/dlogp, by sequence, then by completion token. */
  readonly slope: PerToken
}

export class ObjectiveProgram {
  readonly #chosen: ChosenObjective
  readonly #sessions: Sessions<"objective">

  constructor(chosen: ChosenObjective) {
    this.#chosen = chosen
    this.#sessions = new Sessions(() => createSession(objectiveGraph(chosen), { device: "cpu", threads: 1, weights: "mapped" }))
  }

  async slope(share: GivenShare): Promise<Sloped> {
    const session = await this.#sessions.get("objective")
    const out = await session.run(givenFeeds(this.#chosen, share))
    const slope = out["slope"]!.data as Float32Array
    let at = 0
    return {
      loss: Number(out["loss"]!.data[0]),
      slope: share.tokens.map(({ length }) => Array.from(slope.subarray(at, at += length)))
    }
  }

  release(): Promise<void> {
    return this.#sessions.release()
  }
}
