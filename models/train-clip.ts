/**
 * Trains a small CLIP on the scene grammar: captions, good drawings of them, flawed drawings of the same captions and
 * wrong captions of the same drawings as hard negatives. Both towers also learn to tell what a scene says (facts.ts), the
 * text tower first, alone.
 *
 * With `--from` it goes on from an earlier training of the same shape, with AdamW anew.
 *
 * Stopped, it goes on from its last checkpoint (OUT.partial, every 250 steps) when it is called again alike.
 *
 * Usage: node models/train-clip.ts --out FOLDER [--from FOLDER] [--seed N] [--fact-weight X] [--text-steps N] [--steps N] [--lr X]
 *        [--image N] [--patch N] [--hidden N] [--layers N] [--text-hidden N] [--text-layers N] [--threads N]
 */
import { parseArgs } from "node:util"
import { Resvg } from "@resvg/resvg-js"
import { Tokenizer } from "@huggingface/tokenizers"
import { createSession, type Feeds, float32, type Session } from "../layers/onnx/session.ts"
import { adamwStep, type AdamWState, clipGradients, initialState, schedule } from "../src/engine/training/adamw.ts"
import { clipShapes, contrastiveLoss, encodeImages, encodeTexts } from "../src/engine/nets/clip.ts"
import { gradients } from "../src/engine/graph/gradients.ts"
import { Graph, type Value } from "../src/engine/graph/graph.ts"
import { initialParameters } from "../src/engine/weights/parameters.ts"
import { pick, type Random, random } from "../src/engine/random.ts"
import type { Tensor } from "../src/engine/weights/tensor.ts"
import {
  caption,
  drawFlawed,
  drawHabit,
  drawScene,
  type FlawName,
  flawsFor,
  habitOf,
  isHeldOut,
  perturbScene,
  sampleScene,
  satisfies,
  type Scene,
  shownByHabit,
  type Split,
  withSwappedFigures
} from "../src/scenes/index.ts"
import { jittered } from "../src/evaluation/known-pairs.ts"
import { trainBpe } from "../src/model/tokenizer/bpe.ts"
import { alsoRight, checkpoints, pictureFeeds, textFeeds } from "./clip-batches.ts"
import { clipConfig, readClip, tokenizerConfig, tokenizerOptions, writeClip } from "./clip-folder.ts"
import { factFeeds, factLoss, type Fault, faults, headShapes } from "./facts.ts"

const { values } = parseArgs({
  options: {
    out: { type: "string" },
    from: { type: "string" },
    seed: { type: "string", default: "1" },
    "text-steps": { type: "string", default: "800" },
    steps: { type: "string", default: "1000" },
    batch: { type: "string", default: "32" },
    image: { type: "string", default: "64" },
    patch: { type: "string", default: "8" },
    hidden: { type: "string", default: "160" },
    layers: { type: "string", default: "4" },
    "text-hidden": { type: "string", default: "128" },
    "text-layers": { type: "string", default: "2" },
    lr: { type: "string", default: "1e-3" },
    "fact-weight": { type: "string", default: "1" },
    threads: { type: "string", default: "1" }
  }
})
const number = (name: keyof typeof values): number => Number(values[name])
const out = values.out
if (out === undefined) throw new Error("usage: node models/train-clip.ts --out FOLDER")
const { out: _, threads: __, ...settings } = values
const kept = checkpoints(out, settings)
const resumed = kept.read()
const seed = number("seed")
const pairs = number("batch")
const steps = number("steps")
const size = number("image")

const earlier = values.from === undefined ? undefined : await readClip(values.from)
const tokenizerJson = earlier?.tokenizer ?? trainBpe(
  (function*() {
    for (let n = 0; n < 20_000; n++) {
      const draw = random(seed, 0x70c, n)
      yield caption(sampleScene(draw, "train"), draw)
    }
  })(),
  { ...tokenizerOptions, vocabSize: 512 }
)
const tokenizer = new Tokenizer(tokenizerJson, tokenizerConfig)
const config = clipConfig({
  vocab: Object.keys(tokenizerJson.model.vocab).length,
  text: { hidden: number("text-hidden"), layers: number("text-layers") },
  vision: { hidden: number("hidden"), layers: number("layers"), imageSize: size, patchSize: number("patch") }
})

/** Pixels of a drawing, or undefined where it cannot be rendered. */
const render = (svg: string): Uint8Array | undefined => {
  try {
    const picture = new Resvg(svg, {
      fitTo: { mode: "width", value: size },
      background: "#ffffff",
      font: { loadSystemFonts: false }
    }).render()
    return picture.width === size && picture.height === size ? new Uint8Array(picture.pixels) : undefined
  } catch {
    return undefined
  }
}

type Flaw = FlawName | "habit" | "jitter" | "swapped-figures"

interface Example {
  readonly scene: Scene
  readonly text: string
  readonly wrongScene: Scene
  readonly wrongText: string
  readonly good: Uint8Array
  readonly flawed: Uint8Array
  readonly flaw: Flaw
  /** What is wrong with the flawed drawing, if it is no good one of another scene. */
  readonly fault: Fault | undefined
  /** The other scene of which the flawed drawing is a good one. */
  readonly shows: Scene | undefined
}

/** Shares of the flawed drawings that are wrong in the prompt's habitual way (scenes/habits.ts), and jittered. */
const habitual = 0.3
const moved = 0.07

/** Of the flawed drawings of a relation, how many show another one: that takes longest to learn. */
const turned = 0.3
/** Of those of any two things, how many have their colours exchanged, and how many their figures. */
const exchanged = { colours: 0.1, figures: 0.25 }

/** Small things are wrong: such flaws are drawn three times as often as the others. */
const subtle: ReadonlyArray<FlawName> = ["missing-part", "unequal-wheels", "detached", "stray-object"]

interface WrongDrawing {
  readonly svg: string
  readonly flaw: Flaw
  readonly shows: Scene | undefined
}

const wrongDrawing = (scene: Scene, draw: Random): WrongDrawing => {
  const roll = draw()
  if (scene.kind === "relation" || scene.kind === "sizes") {
    const own = draw()
    if (own < exchanged.colours) return drawFlawed(scene, draw, "swapped-colours")
    const shows = withSwappedFigures(scene)
    if (own < exchanged.colours + exchanged.figures && shows !== undefined) return { svg: drawScene(shows, draw), flaw: "swapped-figures", shows }
    if (scene.kind === "relation" && own > 1 - turned) return drawFlawed(scene, draw, "wrong-relation")
  }
  if (roll < habitual) return { svg: drawHabit(scene, draw), flaw: "habit", shows: shownByHabit(scene) }
  if (posed(scene) && roll < habitual + moved) return { svg: jittered(scene, draw), flaw: "jitter", shows: undefined }
  const visible = flawsFor(scene).filter((flaw) => flaw !== "broken-xml")
  return drawFlawed(scene, draw, pick(draw, visible.flatMap((flaw) => (subtle.includes(flaw) ? [flaw, flaw, flaw] : [flaw]))))
}

const posed = ({ kind }: Scene): boolean => kind === "creature" || kind === "vehicle" || kind === "rider"

const faultOf = (scene: Scene, { flaw, shows }: WrongDrawing): Fault | undefined => {
  if (shows !== undefined) return undefined
  if (flaw === "habit") return habitOf(scene) === "beside" ? "beside" : "misshapen"
  return flaw === "wrong-relation" ? "overturned" : faults.find((fault) => fault === flaw)
}

/** Another scene that differs in one thing, or in who is drawn as what, where training may show that. */
const nearScene = (scene: Scene, draw: Random): Scene => {
  const near = withSwappedFigures(scene)
  return near !== undefined && !isHeldOut(near) && draw() < 0.2 ? near : perturbScene(scene, draw)
}

/** A caption with a good and a flawed drawing; both laid out anew, so that only the flaw tells them apart. */
const exampleOf = (scene: Scene, draw: Random): Example => {
  for (;;) {
    const wrong = wrongDrawing(scene, draw)
    const good = render(drawScene(scene, draw))
    const flawed = render(wrong.svg)
    if (good === undefined || flawed === undefined) continue
    const wrongScene = nearScene(scene, draw)
    return {
      scene,
      text: caption(scene, draw),
      wrongScene,
      wrongText: caption(wrongScene, draw),
      good,
      flawed,
      flaw: wrong.flaw,
      fault: faultOf(scene, wrong),
      shows: wrong.shows
    }
  }
}

/** Scenes of one batch that differ from one another in a single fact: they are each other's hard negatives. */
const kin = 4

/** What takes longest to learn makes up half of the scenes. */
const practised: ReadonlyArray<Scene["kind"] | undefined> = ["count", undefined, "relation", undefined]

/** The two things of a relation exchanged, where training may show that. */
const turnedRound = (scene: Scene): Scene | undefined => {
  if (scene.kind !== "relation" || scene.relation === "inside") return undefined
  const other: Scene = { ...scene, first: scene.second, second: scene.first }
  return isHeldOut(other) ? undefined : other
}

const batch = (split: Split, ...key: ReadonlyArray<number>): ReadonlyArray<Example> =>
  Array.from({ length: pairs / kin }, (_, n) => {
    const draw = random(seed, split === "train" ? 1 : 2, ...key, n)
    // Held-out examples are counted one by one, so each has a scene of its own.
    if (split === "heldout") return Array.from({ length: kin }, () => exampleOf(sampleScene(draw, split), draw))
    const scene = sampleScene(draw, "train", practised[n % practised.length])
    const near = (k: number): Scene => (k === 1 ? turnedRound(scene) : undefined) ?? nearScene(scene, draw)
    return Array.from({ length: kin }, (_, k) => exampleOf(k === 0 ? scene : near(k), draw))
  }).flat()

const feedsOf = (examples: ReadonlyArray<Example>): Feeds => ({
  ...pictureFeeds([...examples.map(({ good }) => good), ...examples.map(({ flawed }) => flawed)], size),
  ...textFeeds(tokenizer, [...examples.map(({ text }) => text), ...examples.map(({ wrongText }) => wrongText)])
})

/** What the loss alone wants to know: which other pictures a text describes, and which other texts a picture shows. */
const matchesOf = (examples: ReadonlyArray<Example>): Feeds => {
  const shown = [...examples.map(({ scene }) => scene), ...examples.map(({ shows }) => shows)]
  const asked = [...examples.map(({ scene }) => scene), ...examples.map(({ wrongScene }) => wrongScene)]
  const shows = (image: number, text: number): boolean => shown[image] !== undefined && satisfies(shown[image], asked[text]!)
  return {
    alsoRightImages: alsoRight(examples.length, shown.length, (text, image) => shows(image, text)),
    alsoRightTexts: alsoRight(examples.length, asked.length, (image, text) => shows(image, text)),
    ...factFeeds([
      ...asked.map((scene) => ({ scene })),
      ...examples.map(({ scene }) => ({ scene, fault: "none" }) as const),
      // What a faulty drawing shows is still what was asked, but for two things, of which one may be out of sight.
      ...examples.map(({ fault, scene, shows }) => ({ scene: shows ?? (posed(scene) ? scene : undefined), fault: fault ?? "none" as const }))
    ])
  }
}

const shapes = clipShapes(config)
const parameters = initialParameters(new Map([...shapes, ...headShapes(config.projection)]), seed)
parameters.set("logit_scale", { shape: [], data: Float32Array.of(Math.log(1 / 0.07)) })
for (const [name, tensor] of earlier?.parameters ?? []) parameters.set(name, tensor)

const open = (g: Graph): Promise<Session> => createSession(g, { device: "cpu", threads: number("threads"), weights: "mapped" })
const inputsOf = (g: Graph, names: ReadonlyArray<string>) => {
  const inputs = new Map(names.map((name) => [name, g.input(name, "float32", parameters.get(name)!.shape)]))
  return { inputs, get: (name: string): Value => inputs.get(name)! }
}
const withGradients = (g: Graph, loss: Value, inputs: ReadonlyMap<string, Value>): Promise<Session> => {
  const names = [...inputs.keys()]
  gradients(g, loss, g.scalar(1), [...inputs.values()]).forEach((dx, i) => g.output(`grad.${names[i]}`, dx!))
  return open(g)
}
const textsOf = (g: Graph, get: (name: string) => Value, rows: number): Value =>
  encodeTexts(g, get, config, g.input("ids", "int64", [rows, config.text.maxPositions]), g.input("ends", "int64", [rows]))

const both = 2 * pairs
const towers = (g: Graph, get: (name: string) => Value) => ({
  texts: textsOf(g, get, both),
  images: encodeImages(g, get, config, g.input("pixels", "float32", [both, 3, size, size]))
})
const openTraining = (): Promise<Session> => {
  const g = new Graph()
  const { get, inputs } = inputsOf(g, [...parameters.keys()])
  const { images, texts } = towers(g, get)
  const loss = contrastiveLoss(g, texts, images, get("logit_scale"), {
    pairs,
    margin: 1,
    alsoRight: { images: g.input("alsoRightImages", "float32", [pairs, both]), texts: g.input("alsoRightTexts", "float32", [pairs, both]) }
  })
  g.output("loss", loss)
  const told = factLoss(g, get, g.concat([texts, images], 0), 2 * both, config.projection)
  return withGradients(g, g.add(loss, g.scale(told, number("fact-weight"))), inputs)
}
const openEncoding = (): Promise<Session> => {
  const g = new Graph()
  const { images, texts } = towers(g, inputsOf(g, [...shapes.keys()].filter((name) => name !== "logit_scale")).get)
  g.output("texts", texts)
  g.output("images", images)
  return open(g)
}

const parameterFeeds = (names: Iterable<string>): Feeds =>
  Object.fromEntries([...names].map((name) => [name, float32(parameters.get(name)!.shape, parameters.get(name)!.data)]))
const update = (names: ReadonlyArray<string>, result: Awaited<ReturnType<Session["run"]>>, state: AdamWState, rate: number): void => {
  const grads = new Map(names.map((name) => [name, result[`grad.${name}`]!.data as Float32Array]))
  clipGradients(grads, 1)
  adamwStep(new Map(names.map((name) => [name, parameters.get(name)!])), grads, state, {
    learningRate: rate,
    beta1: 0.9,
    beta2: 0.98,
    epsilon: 1e-6,
    weightDecay: 0.05
  })
}

/** The text tower learns the facts of captions, half of them relations: drawings would be a slow teacher of word order. */
const teachTexts = async (textSteps: number): Promise<void> => {
  const rows = both
  const g = new Graph()
  const { get, inputs } = inputsOf(g, [...parameters.keys()].filter((name) => /^(text|facts)/.test(name)))
  const loss = factLoss(g, get, textsOf(g, get, rows), rows, config.projection)
  g.output("loss", loss)
  const session = await withGradients(g, loss, inputs)
  const state = initialState()
  for (let step = 0; step < textSteps; step++) {
    const draw = random(seed, 3, step)
    const scenes = Array.from({ length: rows }, (_, n) => sampleScene(draw, "train", n % 2 === 0 ? "relation" : undefined))
    const result = await session.run({ ...parameterFeeds(inputs.keys()), ...textFeeds(tokenizer, scenes.map((scene) => caption(scene, draw))), ...factFeeds(scenes.map((scene) => ({ scene }))) })
    update([...inputs.keys()], result, state, number("lr") * schedule("cosine", step, 100, textSteps))
    if (step % 100 === 99) console.log(`texts ${step + 1}/${textSteps}  loss ${Number(result["loss"]!.data[0]).toFixed(3)}`)
  }
  await session.release()
}

const training = await openTraining()
const encoding = await openEncoding()
const towersOnly = [...shapes.keys()].filter((name) => name !== "logit_scale")

/** How often the good drawing and the right caption win, on held-out scenes. */
const evaluate = async (batches: number) => {
  const flaws = new Map<Flaw, { right: number; of: number }>()
  let captions = 0
  for (let b = 0; b < batches; b++) {
    const examples = batch("heldout", b)
    const { images, texts } = await encoding.run({ ...parameterFeeds(towersOnly), ...feedsOf(examples) })
    const dot = (text: number, image: number): number => {
      let sum = 0
      for (let d = 0; d < config.projection; d++) {
        sum += Number(texts!.data[text * config.projection + d]) * Number(images!.data[image * config.projection + d])
      }
      return sum
    }
    examples.forEach(({ flaw }, i) => {
      const known = flaws.get(flaw) ?? { right: 0, of: 0 }
      flaws.set(flaw, { right: known.right + (dot(i, i) > dot(i, pairs + i) ? 1 : 0), of: known.of + 1 })
      if (dot(i, i) > dot(pairs + i, i)) captions++
    })
  }
  const all = [...flaws.values()].reduce((n, { of, right }) => ({ right: n.right + right, of: n.of + of }), { right: 0, of: 0 })
  return {
    pairAccuracy: all.right / all.of,
    captionAccuracy: captions / all.of,
    byFlaw: Object.fromEntries([...flaws].sort().map(([name, { of, right }]) => [name, Number((right / of).toFixed(3))]))
  }
}

for (const [name, tensor] of resumed?.parameters ?? []) parameters.set(name, tensor)
if (resumed === undefined) await teachTexts(number("text-steps"))
/** A new head would mislead towers that an earlier training left able: for the first steps it learns alone. */
const headSteps = earlier === undefined ? 0 : 100
const headRate = 1e-2
const headState = initialState()
const state = { ...initialState(), ...resumed && { step: resumed.step - headSteps, moments: resumed.moments as Map<string, Tensor> } }
const started = performance.now() - 1000 * (resumed?.seconds ?? 0)
const seconds = () => Math.round((performance.now() - started) / 100) / 10
const curve = resumed?.curve ?? []
let smooth = resumed?.smooth
const count = [...shapes.keys()].reduce((n, name) => n + parameters.get(name)!.data.length, 0)
console.log(`${out}: ${(count / 1e6).toFixed(2)} M parameters`)
for (let step = resumed?.step ?? 0; step < steps; step++) {
  const examples = batch("train", step)
  const result = await training.run({ ...parameterFeeds(parameters.keys()), ...feedsOf(examples), ...matchesOf(examples) })
  if (step < headSteps) update(["facts.weight", "facts.bias"], result, headState, headRate)
  else update([...parameters.keys()], result, state, number("lr") * schedule("cosine", step - headSteps, 100, steps - headSteps))
  const scale: Tensor = parameters.get("logit_scale")!
  scale.data[0] = Math.min(scale.data[0]!, Math.log(100))
  const loss = Number(result["loss"]!.data[0])
  smooth = smooth === undefined ? loss : 0.95 * smooth + 0.05 * loss
  if (step % 50 === 49) {
    curve.push({ step: step + 1, loss: Number(smooth.toFixed(4)), seconds: seconds() })
    const left = Math.round((steps - step - 1) * seconds() / (step + 1))
    console.log(`step ${step + 1}/${steps}  loss ${smooth.toFixed(3)}  ${seconds()} s, ${left} s left`)
  }
  if (step % 250 === 249) {
    kept.write({ step: step + 1, seconds: seconds(), smooth, curve, parameters, moments: state.moments })
    console.log(JSON.stringify(await evaluate(8)))
  }
}
const accuracy = await evaluate(Math.ceil(1024 / pairs))
console.log(JSON.stringify(accuracy))
await training.release()
await encoding.release()
writeClip(out, {
  config,
  parameters: new Map([...shapes.keys()].map((name) => [name, parameters.get(name)!])),
  tokenizer: tokenizerJson,
  record: {
    seed,
    steps,
    pairs,
    seconds: seconds(),
    parameters: count,
    heldOut: accuracy,
    curve,
    ...(earlier === undefined ? {} : { earlier: earlier.record })
  }
})
kept.remove()
