/** The golden models have no tokenizer: a byte-level one of exactly as many tokens as the model has rows. */
import * as fs from "node:fs"
import * as path from "node:path"

/** A copy of a golden model with such a tokenizer. */
export const withTokenizer = (model: string, to: string): string => {
  fs.cpSync(model, to, { recursive: true })
  const { vocab_size: size } = JSON.parse(fs.readFileSync(path.join(model, "config.json"), "utf8"))
  const vocab = Object.fromEntries(Array.from({ length: size - 1 }, (_, id) => [String.fromCodePoint(0x21 + id), id]))
  fs.writeFileSync(path.join(to, "tokenizer.json"), JSON.stringify({
    version: "1.0",
    added_tokens: [{ id: size - 1, content: "<end>", single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: { type: "BPE", vocab, merges: [], byte_fallback: false, ignore_merges: false }
  }))
  fs.writeFileSync(path.join(to, "tokenizer_config.json"), JSON.stringify({ eos_token: "<end>", chat_template: "{{ messages[0].content }}" }))
  return to
}
