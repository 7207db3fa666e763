/** The judges by scores of SigLIP, PickScore, HPSv2, ImageReward and DINOv2, on the tiny random checkpoints of test/golden. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it, layer } from "@effect/vitest"
import { createHash } from "node:crypto"
import * as JudgeClip from "../../../layers/judge/clip.ts"
import * as JudgeDino from "../../../layers/judge/dino.ts"
import * as Scorers from "../../../layers/judge/scorers.ts"
import { OnnxRuntime } from "../../../layers/onnx/runtime.ts"
import { judgeOf, scoreJudge } from "../../../layers/judge/scores.ts"
import { Picture } from "../../../src/domain.ts"
import { encodePng } from "../../../src/drawing/png.ts"
import { Judge } from "../../../src/stages/Judge.ts"
import { judgeContract } from "../../stages/Judge.contract.ts"
import { inked, prompt } from "../../stages/make.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"
import { Context, Effect, Layer } from "effect"
import { hostile } from "../renderer/hostile.ts"

const golden = (name: string) => path.join(import.meta.dirname, "../../golden", name)
const runtime = OnnxRuntime.layer("cpu", 0, { threads: 1 })
const work = scratchFolder("scorers")
const write = (name: string, content: string | Uint8Array) => {
  fs.mkdirSync(path.dirname(path.join(work, name)), { recursive: true })
  fs.writeFileSync(path.join(work, name), content)
  return path.join(work, name)
}

const pictureOf = (n: number, size = 24): Picture => {
  const rgba = Uint8Array.from({ length: size * size * 4 }, (_, i) => i % 4 === 3 ? 255 : (i * (n + 3) * 13 + (i >> 4) * 71) % 256)
  return new Picture({ hash: createHash("sha256").update(rgba).digest("hex"), width: size, height: size, rgba })
}
const shown = pictureOf(0)
write("pictures/cat.png", encodePng(24, 24, shown.rgba))
const wide = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 40 20\"><circle cx=\"20\" cy=\"10\" r=\"8\" fill=\"red\"/></svg>"
write("pictures/dot.svg", wide)
const references = write("references.jsonl", [
  { prompt: "a cat", image: "pictures/cat.png" },
  { prompt: "a dot", image: "pictures/dot.svg" },
  { prompt: "nothing", image: write("broken.png", "no picture") },
  { prompt: "a crash", image: write("crash.svg", hostile["filtered far away"]!) },
  { prompt: "a page", image: write("page.svg", "<html/>") },
  { prompt: "a leak", image: write("leak.svg", `<svg xmlns="http://www.w3.org/2000/svg"><image href="pictures/cat.png"/></svg>`) },
  { prompt: "a dot from an editor", image: write("editor.svg", `<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "svg11.dtd">${wide}`) }
].map((line) => `${JSON.stringify(line)}\n`).join("\n"))

const siglip = (name: string) => Scorers.layer("siglip", { model: golden(name), tieMargin: 1e-3 }).pipe(Layer.provide(runtime))
const pickscore = Scorers.layer("pickscore", { model: golden("pickscore") }).pipe(Layer.provide(runtime))
const dino = JudgeDino.layer({ model: golden("dinov2"), references }).pipe(Layer.provide(runtime))
/** Its files do not say how wide a head is; a published model's is known. */
const tiny = (name: Scorers.ModelName, open: Parameters<typeof scoreJudge>[0]["open"]) =>
  scoreJudge({ open, name, tieMargin: 0, version: `${name}-1` })
const hps = tiny("hps", Scorers.models.hps.open(golden("hps"), { vision: 4, text: 2 })).pipe(Layer.provide(runtime))
const imageReward = tiny("imagereward", Scorers.models.imagereward.open(golden("image-reward"), 4)).pipe(Layer.provide(runtime))

type Scores = ReadonlyArray<ReadonlyArray<number>>
const few = [0.05, 0.4, 0.95].map((share) => inked(share))
judgeContract("siglip", siglip("siglip"), few)
judgeContract("pickscore", pickscore, few)
judgeContract("dino", dino, few)
judgeContract("hps", hps, few)
judgeContract("imagereward", imageReward, few)

const noise = JSON.parse(fs.readFileSync(path.join(golden("pickscore"), "golden.json"), "utf8"))
/** make.py's pictures, whose scores are known. */
const known = (n: number): Picture => {
  const side = noise.picture
  const rgba = Uint8Array.from({ length: side * side * 4 }, (_, i) =>
    i % 4 === 3 ? 255 : Math.floor((i * i * 31 + i * 7919 + n * 104_729) / 7) % 251)
  return new Picture({ hash: `known ${n}`, width: side, height: side, rgba })
}

layer(pickscore)("pickscore", (it) => {
  it.effect("is as sure as the softmax of its model card", () =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      for (const [n, text] of (noise.texts as Array<string>).entries()) {
        const { confidence, outcome, scores } = yield* compare(prompt(text), known(0), known(1))
        const [a, b] = noise.probabilities[n]
        assert.strictEqual(outcome, a > b ? "A" : "B", text)
        assert.approximately((1 + confidence) / 2, Math.max(a, b), 1e-4, text)
        scores!.forEach((score, i) => assert.approximately(score, noise.logits_per_text[n][i], 1e-4))
      }
    }))
})

describe.each([
  { name: "hps", judge: hps, of: (scores: Scores, text: number, picture: number) => 100 * scores[picture]![text]!, tolerance: 1e-2 },
  { name: "image-reward", judge: imageReward, of: (scores: Scores, text: number, picture: number) => scores[text]![picture]!, tolerance: 1e-4 }
])("$name", ({ judge, name, of, tolerance }) => {
  it.effect("gives its authors' scores, and prefers what they prefer", () =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      const { pictures, prompts, scores: expected } = JSON.parse(fs.readFileSync(path.join(golden(name), "golden.json"), "utf8"))
      const [a, b] = pictures.map(({ rgb, size }: { rgb: string; size: number }, n: number) => {
        const bytes = Buffer.from(rgb, "base64")
        const rgba = Uint8Array.from({ length: size * size * 4 }, (_, i) => (i % 4 === 3 ? 255 : bytes[Math.floor(i / 4) * 3 + i % 4]!))
        return new Picture({ hash: `${name} ${n}`, width: size, height: size, rgba })
      })
      for (const [n, text] of (prompts as Array<string>).entries()) {
        const { outcome, scores } = yield* compare(prompt(text), a, b)
        assert.strictEqual(outcome, of(expected, n, 0) > of(expected, n, 1) ? "A" : "B")
        scores!.forEach((score, i) => assert.approximately(score, of(expected, n, i), tolerance))
      }
    }).pipe(Effect.provide(judge)))
})

it.effect("scores nearer than the margin are a tie, and equal ones always", () =>
  Effect.gen(function*() {
    const ask = (a: number, b: number, tieMargin: number) => {
      const { compare } = judgeOf((_, { hash }) => Effect.succeed(hash === "a" ? a : b), { name: "n", identity: "i", tieMargin })
      const square = (hash: string) => new Picture({ hash, width: 1, height: 1, rgba: new Uint8Array(4) })
      return Effect.map(compare(prompt("a cat"), square("a"), square("b")), ({ outcome }) => outcome)
    }
    assert.strictEqual(yield* ask(1, 1.9, 1), "tie")
    assert.strictEqual(yield* ask(1, 2, 1), "B")
    assert.strictEqual(yield* ask(1.1, 1, 0), "A")
    assert.strictEqual(yield* ask(1, 1, 0), "tie")
  }))

layer(siglip("siglip2"))("siglip", (it) => {
  it.effect("shows its logits, bias included", () =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      const { logits_per_text, texts } = JSON.parse(fs.readFileSync(path.join(golden("siglip2"), "golden.json"), "utf8"))
      const { outcome, scores } = yield* compare(prompt(texts[1]), known(2), known(0))
      const [a, b] = [logits_per_text[1][2], logits_per_text[1][0]]
      assert.strictEqual(outcome, a > b ? "A" : "B")
      assert.approximately(scores![0], a, 1e-4)
      assert.approximately(scores![1], b, 1e-4)
    }))
})

layer(dino)("dino", (it) => {
  it.effect("likes the reference itself best, cosine 1", () =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      const { outcome, scores } = yield* compare(prompt("a cat"), pictureOf(1), shown)
      assert.strictEqual(outcome, "B")
      // 1 / 0.05: the PNG went through resvg and came out pixel by pixel.
      assert.approximately(scores![1], 20, 1e-4)
      assert.isBelow(scores![0], 19.9)
    }))

  it.effect("draws an SVG reference as drawings are drawn: centred on white", () =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      const size = 24
      const rgba = new Uint8Array(size * size * 4).fill(255)
      const dot = (red: boolean) => {
        const out = rgba.slice()
        for (let y = 0; y < size; y++) {
          for (let x = 0; x < size; x++) {
            if (Math.hypot(x + 0.5 - 12, y + 0.5 - 12) < 4.8) out.set(red ? [255, 0, 0] : [0, 0, 255], (y * size + x) * 4)
          }
        }
        return new Picture({ hash: `dot ${red}`, width: size, height: size, rgba: out })
      }
      const { outcome, scores } = yield* compare(prompt("a dot"), dot(true), dot(false))
      assert.strictEqual(outcome, "A")
      assert.isAbove(scores![0], 19.9)
    }))

  it.effect("refuses a prompt without a reference, and a reference that is no picture", () =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      const missing = yield* Effect.flip(compare(prompt("a dog"), shown, pictureOf(1)))
      assert.strictEqual(missing._tag, "JudgeRefused")
      assert.include(missing.message, "There is no reference picture for \"a dog\"")
      const broken = yield* Effect.flip(compare(prompt("nothing"), shown, pictureOf(1)))
      assert.strictEqual(broken._tag, "JudgeRefused")
      assert.match(broken.message, /broken\.png cannot be drawn: it is not a PNG/)
    }))

  it.effect("refuses a reference that ends the process that draws it, and draws the others", () =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      const cases = [
        ["a crash", /^The reference \S+crash\.svg cannot be drawn: the renderer ended with SIG[A-Z]+\.$/],
        ["a page", /^The reference \S+page\.svg cannot be drawn: there is no <svg> element, or it is cut off\.$/],
        ["a leak", /^The reference \S+leak\.svg cannot be drawn: it holds a declaration or an image\.$/]
      ] as const
      for (const [text, expected] of cases) {
        const refused = yield* Effect.flip(compare(prompt(text), shown, pictureOf(1)))
        assert.strictEqual(refused._tag, "JudgeRefused")
        assert.match(refused.message, expected)
      }
      const { outcome } = yield* compare(prompt("a dot from an editor"), pictureOf(1), shown)
      assert.include(["A", "B", "tie"], outcome)
    }))
})

it.effect("a held-out scorer has no score where a judge would refuse", () =>
  Effect.gen(function*() {
    const { score } = yield* JudgeDino.scorer("likeness", { model: golden("dinov2"), references })
    assert.approximately((yield* score(prompt("a cat"), shown))!, 20, 1e-4)
    assert.isUndefined(yield* score(prompt("a dog"), shown))
  }).pipe(Effect.scoped, Effect.provide(runtime)))

describe("what cannot be used is said in one sentence", () => {
  const failure = <E extends { readonly message: string }>(judge: Layer.Layer<Judge, E, OnnxRuntime>) =>
    Effect.map(Effect.flip(Effect.scoped(Layer.build(judge.pipe(Layer.provide(runtime))))), ({ message }) => message)
  /** The tiny SigLIP with some files rewritten. */
  const broken = (name: string, change: (folder: string) => void) => {
    const folder = path.join(work, name)
    fs.cpSync(golden("siglip"), folder, { recursive: true })
    change(folder)
    return Scorers.layer("siglip", { model: folder })
  }
  const edit = (file: string, change: (json: any) => void) => (folder: string) => {
    const at = path.join(folder, file)
    const json = JSON.parse(fs.readFileSync(at, "utf8"))
    change(json)
    fs.writeFileSync(at, JSON.stringify(json))
  }
  const cases: ReadonlyArray<readonly [string, Layer.Layer<Judge, { readonly message: string }, OnnxRuntime>, RegExp]> = [
    ["another family", Scorers.layer("siglip", { model: golden("dinov2") }), /is of the family "dinov2", not "siglip": give a folder such as google\//],
    ["a SigLIP as CLIP", JudgeClip.layer({ model: golden("siglip") }), /is of the family "siglip", not "clip"/],
    ["a CLIP as DINOv2", JudgeDino.layer({ model: golden("pickscore"), references }), /is of the family "clip", not "dinov2"/],
    ["shapes that disagree", broken("shapes", edit("config.json", (json) => json.vision_config.intermediate_size++)),
      /mlp\.fc1\.weight is \[24,16\] in the weights, but config\.json asks for \[25,16\]/],
    ["heads that do not divide", broken("heads", edit("config.json", (json) => json.text_config.num_attention_heads = 3)),
      /the sizes in config\.json do not make a model/],
    ["widths that cannot be compared", broken("widths", edit("config.json", (json) => json.text_config.projection_size = 8)),
      /makes texts 8 wide and pictures 16/],
    ["a size that is not the model's", broken("side", edit("preprocessor_config.json", (json) => json.size = 32)),
      /makes pictures of 32 pixels, but config\.json asks for 16/],
    ["a size that is not square", broken("square", edit("preprocessor_config.json", (json) => json.size.width = 8)),
      /asks for 8 x 16 pixels as size: only square sizes/],
    ["no tokenizer", broken("tokenizer", (folder) => fs.rmSync(path.join(folder, "tokenizer.json"))), /has no readable tokenizer\.json/],
    ["a reference that is missing", JudgeDino.layer({ model: golden("dinov2"), references: write("a.jsonl", "{\"prompt\":\"a\",\"image\":\"b.png\"}") }),
      /b\.png cannot be read: it does not exist/],
    ["a reference line that is none", JudgeDino.layer({ model: golden("dinov2"), references: write("b.jsonl", "\n[]") }), /b\.jsonl, line 2: it is not an object/],
    ["a reference given twice", JudgeDino.layer({
      model: golden("dinov2"),
      references: write("c.jsonl", "{\"prompt\":\"a\",\"image\":\"pictures/cat.png\"}\n{\"prompt\":\"a\",\"image\":\"pictures/dot.svg\"}")
    }), /c\.jsonl, line 2: "a" already has a reference/]
  ]
  it.effect("a text that its tokenizer never comes to an end with", () =>
    Effect.gen(function*() {
      const endless = { type: "Split", pattern: { Regex: "(([a-z])*)*!" }, behavior: "Isolated", invert: false }
      const judge = broken("endless", edit("tokenizer.json", (json) => json.pre_tokenizer = endless)).pipe(Layer.provide(runtime))
      const refused = yield* Effect.scoped(Effect.flatMap(Layer.build(judge), (context) =>
        Effect.flip(Context.get(context, Judge).compare(prompt("a".repeat(60)), shown, pictureOf(1)))))
      assert.strictEqual(refused._tag, "JudgeRefused")
      assert.match(refused.message, /endless: the tokenizer took longer than 4 s for one text: take another model, or repair it\.$/)
    }))

  it.effect.each(cases)("%s", ([, judge, expected]) =>
    Effect.map(failure(judge), (message) => {
      assert.match(message, expected)
      assert.notInclude(message, "\n")
    }))
})

it.effect("other references are another judge", () =>
  Effect.gen(function*() {
    const other = write("other.jsonl", "{\"prompt\":\"a cat\",\"image\":\"pictures/dot.svg\"}")
    const identity = (judge: Layer.Layer<Judge, unknown>) => Effect.map(Judge, ({ identity }) => identity).pipe(Effect.provide(judge))
    const [one, two] = yield* Effect.all([
      identity(dino),
      identity(JudgeDino.layer({ model: golden("dinov2"), references: other }).pipe(Layer.provide(runtime)))
    ], { concurrency: 2 })
    assert.notStrictEqual(one, two)
  }))
