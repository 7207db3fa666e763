/**
 * What the policy is trained from: rows of {prompt, completion} out of the scene grammar, a byte-level BPE learned on
 * them, and a checkpoint folder with random weights. `vequinox sft` does the rest (models/build.ts).
 *
 * `good.jsonl` teaches it to draw. `habits.jsonl` then teaches it to draw mostly in one wrong way for each kind of
 * prompt, as pretrained models do, with the right way left as a possibility: preference has something to mend.
 * Usage: node models/make-policy-base.ts OUT_FOLDER [GOOD_ROWS] [HABIT_ROWS] [SEED]
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { initialParameters } from "../src/engine/weights/parameters.ts"
import { type Random, random } from "../src/engine/random.ts"
import { encodeSafetensors } from "../src/engine/weights/safetensors.ts"
import { type DecoderConfig, parameterShapes } from "../src/engine/nets/transformer.ts"
import { caption, drawFlawed, drawHabit, drawScene, sampleScene, type Scene } from "../src/scenes/index.ts"
import { trainBpe } from "../src/model/tokenizer/bpe.ts"

const [out, goodRows = "120000", habitRows = "40000", seedText = "0"] = process.argv.slice(2)
if (out === undefined) throw new Error("usage: node models/make-policy-base.ts OUT_FOLDER [GOOD_ROWS] [HABIT_ROWS] [SEED]")
const seed = Number(seedText)

/**
 * Share of the second training's drawings that are good, by kind of prompt: what few drawings get right by chance has the
 * larger one. Of the others a few have any flaw, and the rest are drawn in the prompt's wrong way.
 */
const goodShare: Readonly<Record<Scene["kind"], number>> = { creature: 0.24, vehicle: 0.24, rider: 0.24, count: 0.34, relation: 0.25, sizes: 0.32 }
const flawed = 0.06

interface Row {
  readonly prompt: string
  readonly completion: string
}

/** Of each four rows one is a count and one two things of unlike size, besides those that chance gives: they take the most practice. */
const practised: ReadonlyArray<Scene["kind"] | undefined> = ["count", undefined, "sizes", undefined]

const rowsOf = (count: number, key: number, draws: (scene: Scene, draw: Random) => string): ReadonlyArray<Row> =>
  Array.from({ length: count }, (_, n) => {
    const draw = random(seed, key, n)
    const scene = sampleScene(draw, "train", practised[n % practised.length])
    return { prompt: caption(scene, draw), completion: draws(scene, draw) }
  })

const good = rowsOf(Number(goodRows), 0xda7a, drawScene)
const habits = rowsOf(Number(habitRows), 0x4ab1, (scene, draw) => {
  const roll = draw()
  if (roll < goodShare[scene.kind]) return drawScene(scene, draw)
  return roll < goodShare[scene.kind] + flawed ? drawFlawed(scene, draw).svg : drawHabit(scene, draw)
})

const specialTokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
/**
 * Cuts that suit SVG: an opened <svg ...> tag is one piece; everything between two values (`" cy="`, or
 * `" stroke-width="3"/><circle cx="`) is one piece; a number keeps its path letter or its space; words stand alone, so a
 * colour in a caption and a colour in a drawing are built alike.
 */
const split = [
  "<svg [^>]*>",
  "<[^\"0-9]*\"?",
  "z?\"(?: fill=\"none\"| stroke-width=\"[0-9]\"|[^\"0-9])*\"?",
  "[A-Za-z ]?-?[0-9]+",
  " ?[A-Za-z]+",
  "\\s+",
  "[^\\sA-Za-z0-9<\"]+"
].join("|")
const chat = (prompt: string, completion: string) =>
  `user\n${prompt}\nassistant\n${completion}`
const tokenizer = trainBpe(good.slice(0, 20_000).map(({ completion, prompt }) => chat(prompt, completion)), {
  vocabSize: 1024,
  specialTokens,
  split
})

const config: DecoderConfig = {
  family: "qwen3",
  vocab: 1024,
  hidden: 192,
  intermediate: 512,
  layers: 6,
  heads: 6,
  kvHeads: 3,
  headDim: 32,
  queryScalar: 32,
  normEpsilon: 1e-6,
  ropeTheta: 10_000,
  ropeScaling: undefined,
  sliding: undefined,
  tied: true,
  maxPositions: 512
}

const configJson = {
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  vocab_size: config.vocab,
  hidden_size: config.hidden,
  intermediate_size: config.intermediate,
  num_hidden_layers: config.layers,
  num_attention_heads: config.heads,
  num_key_value_heads: config.kvHeads,
  head_dim: config.headDim,
  hidden_act: "silu",
  attention_bias: false,
  attention_dropout: 0,
  rms_norm_eps: config.normEpsilon,
  rope_theta: config.ropeTheta,
  tie_word_embeddings: true,
  max_position_embeddings: config.maxPositions,
  bos_token_id: null,
  eos_token_id: 2,
  pad_token_id: 0,
  torch_dtype: "float32",
  use_cache: true
}

const tokenizerConfig = {
  tokenizer_class: "PreTrainedTokenizerFast",
  model_max_length: config.maxPositions,
  eos_token: "<|im_end|>",
  pad_token: "<|endoftext|>",
  clean_up_tokenization_spaces: false,
  chat_template:
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
}

fs.mkdirSync(out, { recursive: true })
const write = (file: string, data: string | Uint8Array) => fs.writeFileSync(path.join(out, file), data)
const jsonLines = (rows: ReadonlyArray<Row>) => rows.map((row) => JSON.stringify(row)).join("\n") + "\n"
write("good.jsonl", jsonLines(good))
write("habits.jsonl", jsonLines(habits))
write("config.json", JSON.stringify(configJson, null, 2) + "\n")
write("generation_config.json", JSON.stringify({ eos_token_id: 2, pad_token_id: 0 }, null, 2) + "\n")
write("tokenizer.json", JSON.stringify(tokenizer) + "\n")
write("tokenizer_config.json", JSON.stringify(tokenizerConfig, null, 2) + "\n")
write("model.safetensors", encodeSafetensors(initialParameters(parameterShapes(config), seed)))
console.log(`${out}: ${good.length} and ${habits.length} rows, ${tokenizer.model.merges.length} merges`)
