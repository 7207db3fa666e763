/**
 * Judge that knows nothing: a seeded coin for each prompt and unordered pair of pictures. This is the control
 * experiment: training on these labels learns only noise, so a gain that also appears here is not due to the judge.
 */
import { createHash } from "node:crypto"
import { Effect, Layer } from "effect"
import { Verdict } from "../../src/domain.ts"
import { Judge } from "../../src/stages/Judge.ts"

/**
 * Identical pictures tie; swapping the pictures swaps the answer. The confidence is always 0.5.
 * @param seed any integer
 */
export const layer = (seed: number) =>
  Layer.succeed(Judge, {
    name: "coin",
    identity: `coin-1 seed=${seed}`,
    concurrency: 64,
    free: true,
    compare: (prompt, a, b) =>
      Effect.sync(() => {
        if (a.hash === b.hash) return new Verdict({ outcome: "tie", confidence: 0, by: "coin" })
        const ordered = a.hash < b.hash
        const [first, second] = ordered ? [a.hash, b.hash] : [b.hash, a.hash]
        const heads = createHash("sha256").update(JSON.stringify([seed, prompt.id, first, second])).digest()[0]! < 128
        return new Verdict({ outcome: heads === ordered ? "A" : "B", confidence: 0.5, by: "coin" })
      })
  })
