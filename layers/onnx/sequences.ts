/** From token sequences to the feeds of `forward`: padding, masks, and which positions predict what. */
import { causalMask, type DecoderConfig, modulesOf } from "../../src/engine/nets/transformer.ts"
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

/**
 * The masks of whole sequences: one for layers that see everything before, and one for sliding layers if there are any.
 */
export const maskFeeds = (c: DecoderConfig, time: number): Feeds => {
  const groups = c.heads / c.kvHeads
  const of = (window = time) => float32([1, 1, groups * time, time], causalMask(groups, time, window))
  return { mask: of(), ...(c.sliding === undefined ? {} : { sliding_mask: of(c.sliding.window) }) }
}

/**
 * Feeds for one run over these sequences. A token's target counts if it belongs to a completion; `segments` names its
 * sequence, `zeros` has one place for each sequence.
 */
export const sequenceFeeds = (c: DecoderConfig, sequences: ReadonlyArray<Sequence>): Feeds => {
  const time = Math.max(...sequences.map(({ ids }) => ids.length))
  const places = sequences.length * time
  const ids: Array<number> = []
  const pad = Array.from({ length: places }, () => 0)
  const unpad: Array<number> = []
  const rows: Array<number> = []
  const targets: Array<number> = []
  const segments: Array<number> = []
  sequences.forEach((sequence, n) =>
    sequence.ids.forEach((id, t) => {
      if (t >= sequence.promptLength) {
        rows.push(ids.length - 1)
        targets.push(id)
        segments.push(n)
      }
      pad[n * time + t] = ids.length
      unpad.push(n * time + t)
      ids.push(id)
    })
  )
  const real = new Float32Array(places)
  for (const place of unpad) real[place] = 1
  return {
    ids: int64([ids.length], ids),
    pad: int64([places], pad),
    unpad: int64([unpad.length], unpad),
    real: float32([places, 1], real),
    positions: int64([sequences.length, time], Array.from({ length: places }, (_, place) => place % time)),
    ...maskFeeds(c, time),
    rows: int64([rows.length], rows),
    targets: int64([targets.length], targets),
    segments: int64([segments.length], segments),
    zeros: float32([sequences.length], new Float32Array(sequences.length))
  }
}

/**
 * Share of the layers' multiplications that padding costs, in [0, 1). The rows of the attention are as long as the
 * longest sequence of a run; everything else is computed for tokens only.
 */
export const paddingShare = (c: DecoderConfig, runs: ReadonlyArray<ReadonlyArray<Sequence>>): number => {
  const ofToken = modulesOf(c).reduce((n, { in: width, out }) => n + width * out, 0)
  const ofPair = 2 * c.layers * c.heads * c.headDim // a query with a key, and the value's share
  let tokens = 0
  let pairs = 0
  let computed = 0
  for (const run of runs) {
    const lengths = run.map(({ ids }) => ids.length)
    computed += lengths.length * Math.max(...lengths) ** 2
    for (const length of lengths) {
      tokens += length
      pairs += length ** 2
    }
  }
  return computed === 0 ? 0 : (computed - pairs) * ofPair / (tokens * ofToken + computed * ofPair)
}

/**
 * Splits items into runs whose padded size (items * longest, in tokens) stays within `budget`; an item over the budget
 * runs alone. Items of similar length share a run, so little is padded.
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
