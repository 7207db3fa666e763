/** From token sequences to the feeds of `forward`: padding, masks, and which positions predict what. */
import { causalMask, type DecoderConfig } from "../../src/numerics/transformer.ts"
import { type Feeds, float32, int64 } from "./session.ts"

/** Prompt tokens, then completion tokens. Only the completion is scored and trained. */
export interface Sequence {
  readonly ids: ReadonlyArray<number>
  /** Tokens of the prompt, assistant prefill included; at least 1. */
  readonly promptLength: number
}

export const completionLength = (s: Sequence): number => s.ids.length - s.promptLength

/** Keeps the first `maxLength` tokens (TRL's truncation_mode "keep_start"). */
export const truncated = (s: Sequence, maxLength: number): Sequence =>
  s.ids.length <= maxLength ? s : { ids: s.ids.slice(0, maxLength), promptLength: Math.min(s.promptLength, maxLength) }

/** The masks of whole sequences: one for layers that see all that came before, one for sliding layers if there are any. */
export const maskFeeds = (c: DecoderConfig, time: number): Feeds => {
  const groups = c.heads / c.kvHeads
  const of = (window = time) => float32([1, 1, groups * time, time], causalMask(groups, time, window))
  return { mask: of(), ...(c.sliding === undefined ? {} : { sliding_mask: of(c.sliding.window) }) }
}

/**
 * Feeds for one run over these sequences, right-padded to the longest. A token's target counts when it belongs to a
 * completion; `segments` names its sequence, `zeros` has one place a sequence.
 */
export const sequenceFeeds = (c: DecoderConfig, sequences: ReadonlyArray<Sequence>): Feeds => {
  const time = Math.max(...sequences.map(({ ids }) => ids.length))
  const ids = new BigInt64Array(sequences.length * time)
  const positions = new BigInt64Array(ids.length)
  const rows: Array<number> = []
  const targets: Array<number> = []
  const segments: Array<number> = []
  sequences.forEach((sequence, n) => {
    for (let t = 0; t < time; t++) positions[n * time + t] = BigInt(t)
    sequence.ids.forEach((id, t) => {
      ids[n * time + t] = BigInt(id)
      if (t < sequence.promptLength) return
      rows.push(n * time + t - 1)
      targets.push(id)
      segments.push(n)
    })
  })
  return {
    ids: { dtype: "int64", shape: [sequences.length, time], data: ids },
    positions: { dtype: "int64", shape: [sequences.length, time], data: positions },
    ...maskFeeds(c, time),
    rows: int64([rows.length], rows),
    targets: int64([targets.length], targets),
    segments: int64([segments.length], segments),
    zeros: float32([sequences.length], new Float32Array(sequences.length))
  }
}

/**
 * Splits items into runs whose padded size (items * longest, in tokens) stays within `budget`; an item over the budget
 * runs alone. Items of similar length share a run, so little is spent on padding.
 */
export const microBatches = <A>(
  items: ReadonlyArray<A>,
  sizeOf: (item: A) => { readonly rows: number; readonly length: number },
  budget: number
): Array<Array<A>> => {
  const sorted = items.map((item, i) => ({ item, i, ...sizeOf(item) })).sort((a, b) => a.length - b.length || a.i - b.i)
  const batches: Array<Array<A>> = []
  let rows = 0
  for (const { item, length, rows: more } of sorted) {
    // Sorted by length: this item's length is the longest so far.
    if (batches.length === 0 || (rows + more) * length > budget) {
      batches.push([])
      rows = 0
    }
    batches[batches.length - 1]!.push(item)
    rows += more
  }
  return batches
}
