/**
 * Trains a small CLIP on icons: texts and renderings, with broken drawings, other icons and wrong texts as hard
 * negatives. `--judge clip --judge-model FOLDER` reads what it writes.
 *
 * Stopped, it goes on from its last checkpoint (OUT.partial, every 100 steps) when it is called again alike.
 *
 * Usage: node examples/icons/train-clip.ts --out FOLDER [--reads "training words" | "all words"] [--seed N] [--steps N]
 *        [--batch N] [--image N] [--patch N] [--hidden N] [--layers N] [--text-hidden N] [--text-layers N] [--lr X] [--threads N]
 */
import { parseArgs } from "node:util"
import { Tokenizer } from "@huggingface/tokenizers"
import { createSession, type Feeds, float32, type Session } from "../../layers/onnx/session.ts"
import { Graph, type Value } from "../../src/engine/graph/graph.ts"
import { gradients } from "../../src/engine/graph/gradients.ts"
import { clipShapes, contrastiveLoss, encodeImages, encodeTexts } from "../../src/engine/nets/clip.ts"
import { pick, random } from "../../src/engine/random.ts"
import { adamwStep, clipGradients, initialState, schedule } from "../../src/engine/training/adamw.ts"
import { initialParameters } from "../../src/engine/weights/parameters.ts"
import type { Tensor } from "../../src/engine/weights/tensor.ts"
import { trainBpe } from "../../src/model/tokenizer/bpe.ts"
import { alsoRight, checkpoints, pictureFeeds, textFeeds } from "../../models/clip-batches.ts"
import { clipConfig, type ClipTokenizer, tokenizerConfig, tokenizerOptions, writeClip } from "../../models/clip-folder.ts"
import { type Example, exampleOf, iconsFor, kinOf, type Reads, says, textOf, type Worded } from "./clip-pairs.ts"
import { readIcons } from "./icons.ts"

const { values } = parseArgs({
  options: {
    out: { type: "string" },
    reads: { type: "string", default: "training words" },
    seed: { type: "string", default: "1" },
    steps: { type: "string", default: "2000" },
    batch: { type: "string", default: "32" },
    image: { type: "string", default: "64" },
    patch: { type: "string", default: "8" },
    hidden: { type: "string", default: "160" },
    layers: { type: "string", default: "4" },
    "text-hidden": { type: "string", default: "128" },
    "text-layers": { type: "string", default: "2" },
    lr: { type: "string", default: "1e-3" },
    threads: { type: "string", default: "1" }
  }
})
const number = (name: keyof typeof values): number => Number(values[name])
const { out, reads } = values
if (out === undefined || (reads !== "training words" && reads !== "all words")) {
  throw new Error(`usage: node examples/icons/train-clip.ts --out FOLDER [--reads "training words" | "all words"]`)
}
const { out: _, threads: __, ...settings } = values
const kept = checkpoints(out, settings)
const resumed = kept.read()
const [seed, pairs, steps, size] = [number("seed"), number("batch"), number("steps"), number("image")]

const { tests, train } = iconsFor(readIcons(), reads satisfies Reads)
const kin = kinOf(train)

const tokenizerJson: ClipTokenizer = trainBpe(
  train.flatMap((worded, n) => Array.from({ length: 4 }, (_, k) => textOf(worded, random(seed, 0x70c, n, k)))),
  { ...tokenizerOptions, vocabSize: 2048 }
)
const tokenizer = new Tokenizer(tokenizerJson, tokenizerConfig)
const config = clipConfig({
  vocab: Object.keys(tokenizerJson.model.vocab).length,
  text: { hidden: number("text-hidden"), layers: number("text-layers") },
  vision: { hidden: number("hidden"), layers: number("layers"), imageSize: size, patchSize: number("patch") }
})

const batch = (step: number): ReadonlyArray<Example> =>
  Array.from({ length: pairs }, (_, n) => {
    const draw = random(seed, 1, step, n)
    return exampleOf(pick(draw, train), kin, size, true, draw)
  })

const feedsOf = (examples: ReadonlyArray<Example>): Feeds => ({
  ...pictureFeeds([...examples.map(({ good }) => good), ...examples.map(({ flawed }) => flawed)], size),
  ...textFeeds(tokenizer, [...examples.map(({ text }) => text), ...examples.map(({ wrongText }) => wrongText)])
})

const matchesOf = (examples: ReadonlyArray<Example>): Feeds => {
  const shown: ReadonlyArray<Worded | undefined> = [...examples.map(({ of }) => of), ...examples.map(({ shows }) => shows)]
  const texts = [...examples.map(({ text }) => text), ...examples.map(({ wrongText }) => wrongText)]
  const shows = (image: number, text: number): boolean => shown[image] !== undefined && says(texts[text]!, shown[image])
  return {
    alsoRightImages: alsoRight(pairs, 2 * pairs, (text, image) => shows(image, text)),
    alsoRightTexts: alsoRight(pairs, 2 * pairs, shows)
  }
}

const shapes = clipShapes(config)
const parameters = initialParameters(shapes, seed).set("logit_scale", { shape: [], data: Float32Array.of(Math.log(1 / 0.07)) })

const build = (withGradients: boolean): Promise<Session> => {
  const g = new Graph()
  const inputs = new Map([...shapes].map(([name, shape]) => [name, g.input(name, "float32", shape)]))
  const get = (name: string): Value => inputs.get(name)!
  const both = 2 * pairs
  const texts = encodeTexts(g, get, config, g.input("ids", "int64", [both, config.text.maxPositions]), g.input("ends", "int64", [both]))
  const images = encodeImages(g, get, config, g.input("pixels", "float32", [both, 3, size, size]))
  if (withGradients) {
    const columns = (name: string) => g.input(name, "float32", [pairs, both])
    const loss = contrastiveLoss(g, texts, images, get("logit_scale"), {
      pairs,
      margin: 1,
      alsoRight: { images: columns("alsoRightImages"), texts: columns("alsoRightTexts") }
    })
    g.output("loss", loss)
    const names = [...inputs.keys()]
    gradients(g, loss, g.scalar(1), names.map(get)).forEach((dx, i) => g.output(`grad.${names[i]}`, dx!))
  } else {
    g.output("texts", texts)
    g.output("images", images)
  }
  return createSession(g, { device: "cpu", threads: number("threads"), weights: "mapped" })
}
const training = await build(true)
const encoding = await build(false)
const parameterFeeds = (): Feeds => Object.fromEntries([...parameters].map(([name, { data, shape }]) => [name, float32(shape, data)]))

const share = (all: ReadonlyArray<boolean>): number => Number((all.filter(Boolean).length / Math.max(1, all.length)).toFixed(3))

/** Texts that a picture's own is ranked among. */
const rivals = 20

/** How often the good drawing, the right text, and the right text among 20 win. */
const measure = async (icons: ReadonlyArray<Worded>, batches: number) => {
  const won: Record<string, Array<boolean>> = {}
  const texts: Array<boolean> = []
  const first: Array<boolean> = []
  const kinOfAll = kinOf([...train, ...icons])
  for (let b = 0; b < batches && b * pairs < icons.length; b++) {
    // The last batch is filled up with icons that were counted before.
    const examples = Array.from({ length: pairs }, (_, n) =>
      exampleOf(icons[(b * pairs + n) % icons.length]!, kinOfAll, size, false, random(seed, 2, b, n)))
    const encoded = await encoding.run({ ...parameterFeeds(), ...feedsOf(examples) })
    const row = (of: "texts" | "images", n: number) => encoded[of]!.data.subarray(n * config.projection, (n + 1) * config.projection) as Float32Array
    const dot = (text: number, image: number): number => row("texts", text).reduce((sum, x, d) => sum + x * row("images", image)[d]!, 0)
    examples.slice(0, icons.length - b * pairs).forEach(({ flaw, of }, i) => {
      ;(won[flaw] ??= []).push(dot(i, i) > dot(i, pairs + i))
      texts.push(dot(i, i) > dot(pairs + i, i))
      const others = examples.map((_, k) => k).filter((k) => k !== i && !says(examples[k]!.text, of)).slice(0, rivals - 1)
      if (others.length === rivals - 1) first.push(others.every((k) => dot(i, i) > dot(k, i)))
    })
  }
  const all = Object.values(won).flat()
  return {
    icons: all.length,
    goodBeatsFlawed: share(all),
    byFlaw: Object.fromEntries(Object.entries(won).sort().map(([name, of]) => [name, share(of)])),
    rightTextBeatsWrong: share(texts),
    ...first.length > 0 && { [`rightTextFirstOf${rivals}`]: share(first) } // a batch of 16 has too few texts
  }
}
/** Spread over the list, so that a few batches are of all kinds. */
const spread = (icons: ReadonlyArray<Worded>): ReadonlyArray<Worded> => Array.from(icons, (_, n) => icons[(n * 7919) % icons.length]!)
const evaluate = async (batches: number) => {
  const found: Record<string, unknown> = {}
  for (const [name, icons] of Object.entries(tests)) found[name] = await measure(spread(icons), batches)
  return found
}

for (const [name, tensor] of resumed?.parameters ?? []) parameters.set(name, tensor)
const state = { ...initialState(), ...resumed && { step: resumed.step, moments: resumed.moments as Map<string, Tensor> } }
const started = performance.now() - 1000 * (resumed?.seconds ?? 0)
const seconds = () => Math.round((performance.now() - started) / 100) / 10
const curve = resumed?.curve ?? []
let smooth = resumed?.smooth
const count = [...parameters.values()].reduce((n, { data }) => n + data.length, 0)
console.log(`${out}: ${(count / 1e6).toFixed(2)} M parameters, ${train.length} icons`)
for (let step = resumed?.step ?? 0; step < steps; step++) {
  const examples = batch(step)
  const result = await training.run({ ...parameterFeeds(), ...feedsOf(examples), ...matchesOf(examples) })
  const grads = new Map([...parameters.keys()].map((name) => [name, result[`grad.${name}`]!.data as Float32Array]))
  clipGradients(grads, 1)
  adamwStep(parameters, grads, state, {
    learningRate: number("lr") * schedule("cosine", step, Math.min(100, steps / 4), steps),
    beta1: 0.9,
    beta2: 0.98,
    epsilon: 1e-6,
    weightDecay: 0.1
  })
  const scale: Tensor = parameters.get("logit_scale")!
  scale.data[0] = Math.min(scale.data[0]!, Math.log(100))
  const loss = Number(result["loss"]!.data[0])
  smooth = smooth === undefined ? loss : 0.95 * smooth + 0.05 * loss
  if (step % 25 === 24) {
    curve.push({ step: step + 1, loss: Number(smooth.toFixed(4)), seconds: seconds() })
    console.log(`step ${step + 1}/${steps}  loss ${smooth.toFixed(3)}  ${seconds()} s, ${Math.round((steps - step - 1) * seconds() / (step + 1))} s left`)
  }
  if (step % 100 === 99) {
    kept.write({ step: step + 1, seconds: seconds(), smooth, curve, parameters, moments: state.moments })
  }
  if (step % 500 === 499) console.log(JSON.stringify(await evaluate(4)))
}
const accuracy = await evaluate(Infinity)
console.log(JSON.stringify(accuracy))
await training.release()
await encoding.release()
writeClip(out, { config, parameters, tokenizer: tokenizerJson, record: { ...settings, seconds: seconds(), parameters: count, icons: train.length, accuracy, curve } })
kept.remove()
