/**
 * Trains a byte-level BPE tokenizer (Sennrich et al. 2016, arXiv:1508.07909, on bytes as in GPT-2) and writes it as the
 * tokenizer.json that Hugging Face's libraries read. Their library (`@huggingface/tokenizers`) reads it; they have no
 * trainer outside Rust, so this file trains.
 */

export interface BpeOptions {
  /** Tokens in all, special ones included; at least 256 + specials. */
  readonly vocabSize: number
  /** Kept whole wherever they appear; they get the first ids, in order. */
  readonly specialTokens: ReadonlyArray<string>
  /** Text is cut into pieces by this regular expression first; merges never cross a cut. JavaScript and Oniguruma syntax. */
  readonly split: string
}

/** GPT-2's printable stand-in for each of the 256 bytes. */
const byteAlphabet: ReadonlyArray<string> = (() => {
  const printable = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174
  let shifted = 256
  return Array.from({ length: 256 }, (_, b) => String.fromCharCode(printable(b) ? b : shifted++))
})()

const toAlphabet = (text: string): Array<string> => Array.from(new TextEncoder().encode(text), (b) => byteAlphabet[b]!)

/**
 * Learns merges from texts, most frequent pair first. Equal counts are ordered by text, so the result depends only on
 * the texts.
 *
 * @returns the JSON value of a tokenizer.json
 */
export const trainBpe = (texts: Iterable<string>, options: BpeOptions) => {
  const counts = new Map<string, number>()
  const cut = new RegExp(options.split, "gu")
  for (const text of texts) {
    for (const [piece] of text.matchAll(cut)) counts.set(piece, (counts.get(piece) ?? 0) + 1)
  }
  const pieces = [...counts].map(([piece, count]) => ({ symbols: toAlphabet(piece), count }))
  const vocab = [...options.specialTokens, ...byteAlphabet]
  const known = new Set(vocab)
  const merges: Array<[string, string]> = []
  while (vocab.length < options.vocabSize) {
    const best = mostFrequentPair(pieces)
    if (best === undefined) break
    const [left, right] = best
    merges.push([left, right])
    if (!known.has(left + right)) {
      known.add(left + right)
      vocab.push(left + right)
    }
    for (const piece of pieces) piece.symbols = merged(piece.symbols, left, right)
  }
  return tokenizerJson(options, Object.fromEntries(vocab.map((token, id) => [token, id])), merges)
}

const mostFrequentPair = (
  pieces: ReadonlyArray<{ readonly symbols: ReadonlyArray<string>; readonly count: number }>
): readonly [string, string] | undefined => {
  const pairs = new Map<string, number>()
  for (const { count, symbols } of pieces) {
    for (let i = 1; i < symbols.length; i++) {
      const key = `${symbols[i - 1]}\n${symbols[i]}`
      pairs.set(key, (pairs.get(key) ?? 0) + count)
    }
  }
  let best: string | undefined
  let most = 1 // a pair seen once teaches nothing
  for (const [key, count] of pairs) {
    if (count > most || (count === most && best !== undefined && key < best)) {
      best = key
      most = count
    }
  }
  return best === undefined ? undefined : best.split("\n") as [string, string]
}

const merged = (symbols: ReadonlyArray<string>, left: string, right: string): Array<string> => {
  const out: Array<string> = []
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) {
      out.push(left + right)
      i++
    } else out.push(symbols[i]!)
  }
  return out
}

const tokenizerJson = (
  options: BpeOptions,
  vocab: Readonly<Record<string, number>>,
  merges: ReadonlyArray<readonly [string, string]>
) => ({
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: options.specialTokens.map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true
  })),
  normalizer: null,
  pre_tokenizer: {
    type: "Sequence",
    pretokenizers: [
      { type: "Split", pattern: { Regex: options.split }, behavior: "Isolated", invert: false },
      { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false }
    ]
  },
  post_processor: null,
  decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
  model: {
    type: "BPE",
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: false,
    vocab,
    merges: merges.map(([left, right]) => `${left} ${right}`)
  }
})
