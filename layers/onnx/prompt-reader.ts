/** Reads the prompts that sequences continue. */
import { padTo } from "../../src/engine/weights/tensor.ts"
import type { Asked, Decoding, Sequence } from "./decoding-batch.ts"
import { maskFeeds } from "./sequences.ts"
import { int64 } from "./session.ts"
import type { ReadPrompt } from "./shared-prompts.ts"
import { readingOf, type Scores, scoresOf } from "./token-choice.ts"

/** A prompt that was read: its number among those read with it, and the scores of its first new token. */
export interface Read extends ReadPrompt {
  readonly scores: Scores
}

/** Prompt tokens, padding included, that are read in one run. */
const tokensARun = 2048

/** Reads prompts as they are needed, several in one run, and keeps them until all their sequences have begun. */
export class PromptReader {
  readonly #with: Decoding
  #known = new Map<Asked, Read>()

  constructor(decoding: Decoding) {
    this.#with = decoding
  }

  async read(sequences: ReadonlyArray<Sequence>, later: ReadonlyArray<Sequence>): Promise<(prompt: Asked) => Read> {
    const wanted = new Set([...sequences, ...later].map(({ asked }) => asked))
    this.#known = new Map([...this.#known].filter(([asked]) => wanted.has(asked)))
    const missing = [...new Set(sequences.map(({ asked }) => asked))].filter((asked) => !this.#known.has(asked))
    for (let from = 0; from < missing.length;) {
      let to = from + 1
      let time = missing[from]!.ids.length
      for (; to < missing.length; to++) {
        const longer = Math.max(time, missing[to]!.ids.length)
        if (longer * (to + 1 - from) > tokensARun) break
        time = longer
      }
      await this.#run(missing.slice(from, to), time)
      from = to
    }
    return this.known
  }

  readonly known = (prompt: Asked): Read => this.#known.get(prompt)!

  async #run(wanted: ReadonlyArray<Asked>, time: number): Promise<void> {
    const { config, filters, parameters, prefill } = this.#with
    const shape = [wanted.length, time]
    const { feeds, outputs } = readingOf(wanted.map(({ options }) => options), filters)
    const out = await prefill.run({
      ...parameters,
      ...feeds,
      ids: int64(shape, wanted.flatMap(({ ids }) => padTo(ids, time))),
      positions: int64(shape, wanted.flatMap(() => Array.from({ length: time }, (_, t) => t))),
      ...maskFeeds(config, time),
      last: int64([wanted.length], wanted.map(({ ids }, n) => n * time + ids.length - 1))
    }, [...outputs, "keys", "values"])
    const scores = scoresOf(out, config.vocab)
    const prompts = {
      keys: out["keys"]!.data as Float32Array,
      values: out["values"]!.data as Float32Array,
      count: wanted.length,
      time
    }
    wanted.forEach((asked, at) => this.#known.set(asked, { prompts, at, scores: scores(at) }))
  }
}
