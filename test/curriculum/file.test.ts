import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { openCurriculum } from "../../src/curriculum/file.ts"
import { embeddedPrompts } from "../../src/prompts.ts"
import { isHeldOut, parseCaption } from "../../src/scenes/index.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("curriculum")
let made = 0
const fileOf = (content: string, name = `${made++}.yaml`) => {
  fs.writeFileSync(path.join(work, name), content)
  return path.join(work, name)
}
const opened = (content: string, evalPrompts = 50) => openCurriculum(fileOf(content), evalPrompts)
const said = (content: string) => Effect.map(Effect.flip(opened(content)), ({ message }) => message.replaceAll(work, "there"))
const textsOf = (prompts: ReadonlyArray<{ readonly text: string }>) => prompts.map(({ text }) => text)
const many = Array.from({ length: 30 }, (_, n) => `thing number ${n}`)

describe("the embedded curriculum", () => {
  it.effect("goes from pelicans alone to all of the grammar, and holds out what the default run does", () =>
    Effect.gen(function*() {
      const { prompts, stages, stored } = yield* openCurriculum("embedded", 100)
      const first = textsOf(stages[0]!.prompts)
      assert.include(first, "a pelican")
      assert.isTrue(first.every((text) => /^an? (drawing of an? )?([a-z]+ )?pelican$/.test(text)), first.join())
      assert.isTrue(stages[1]!.prompts.every(({ text }) => text.includes("pelican") && text.includes("bicycle")))
      const kinds = stages.map(({ prompts }) => new Set(prompts.map(({ text }) => parseCaption(text)!.kind)).size)
      assert.deepStrictEqual(kinds.slice(0, 4), [1, 1, 3, 3])
      assert.isAbove(kinds.at(-1)!, 4)
      const usual = embeddedPrompts(100)
      assert.deepStrictEqual(prompts.heldOut, usual.heldOut)
      assert.deepStrictEqual(stored.map(({ measure }) => measure), stages.map(() => "right"))
      assert.isAtMost(stages.reduce((sum, { max_steps = 0 }) => sum + max_steps, 0), 400)
    }))

  it.effect("trains no prompt that is held out in any stage, nor a combination that the grammar holds out", () =>
    Effect.gen(function*() {
      const { prompts, stages } = yield* openCurriculum("embedded", 512)
      const held = new Set(textsOf([...prompts.heldOut, ...stages.flatMap(({ heldOut }) => heldOut)]))
      assert.isAbove(held.size, 500)
      assert.deepStrictEqual(textsOf(prompts.train).filter((text) => held.has(text) || isHeldOut(parseCaption(text)!)), [])
    }))
})

describe("a curriculum file", () => {
  it.effect("names texts, files beside it, and prompts of the grammar; YAML or JSON", () =>
    Effect.gen(function*() {
      fileOf(many.join("\n"), "many.txt")
      const { prompts, stages } = yield* opened(`
stages:
  - name: listed
    prompts: ["a pelican", "embedded:count/three/star"]
    held_out: ["a drawing of a pelican"]
    threshold: 0.5
  - { name: from a file, prompts: many.txt, measure: validity, threshold: 0.9, evaluations: 3, every: 2, drawings: 8, keep: 0.5, max_steps: 20, otherwise: stop }
`)
      const [listed, file] = stages
      assert.deepStrictEqual(textsOf(listed!.heldOut), ["a drawing of a pelican"])
      assert.include(textsOf(listed!.prompts), "a pelican")
      assert.isTrue(textsOf(listed!.prompts).slice(0).filter((text) => text !== "a pelican").every((text) => /^(three|3) \w+ stars$/.test(text)))
      assert.deepInclude(listed!, { measure: "right", evaluations: 2, every: 5, drawings: 32, keep: 0.25, otherwise: "widen" })
      assert.deepInclude(file!, { measure: "validity", threshold: 0.9, evaluations: 3, every: 2, drawings: 8, keep: 0.5, max_steps: 20, otherwise: "stop" })
      assert.strictEqual(file!.prompts.length + file!.heldOut.length, 30)
      assert.deepStrictEqual(textsOf(prompts.heldOut), [...textsOf(file!.heldOut), "a drawing of a pelican"]) // the last stage's first
      const json = JSON.stringify({ stages: [{ name: "one", prompts: many, threshold: 1, measure: "score" }] })
      assert.deepStrictEqual((yield* opened(json)).stages[0]!.heldOut, file!.heldOut)
    }))

  it.effect("is what examples/ has one of", () =>
    Effect.gen(function*() {
      const { stages } = yield* openCurriculum(path.join(import.meta.dirname, "../../examples/curriculum.yaml"), 50)
      assert.deepStrictEqual(stages.map(({ measure }) => measure), ["right", "right", "right", "validity"])
    }))

  it.effect("changes its hash with every term and every prompt", () =>
    Effect.gen(function*() {
      const of = (stage: object) => Effect.map(opened(JSON.stringify({ stages: [{ name: "one", prompts: many, threshold: 0.5, measure: "validity", ...stage }] })), ({ sha256 }) => sha256)
      const hashes = [yield* of({}), yield* of({ threshold: 0.6 }), yield* of({ keep: 0 }), yield* of({ prompts: [...many, "one more"] })]
      assert.strictEqual(new Set(hashes).size, 4)
      assert.strictEqual(yield* of({}), hashes[0])
    }))

  it.effect("that cannot be used is refused in one sentence that names the stage", () =>
    Effect.gen(function*() {
      const stage = (more: string, prompts = "embedded:rider") => said(`stages:\n  - { name: one, prompts: "embedded:all", threshold: 0.5 }\n  - { name: two, prompts: ${JSON.stringify(prompts)}, ${more} }`)
      const cases: ReadonlyArray<readonly [Effect.Effect<string, unknown>, RegExp]> = [
        [said("stages: [}"), /^there\/\d+\.yaml is neither YAML nor JSON: /],
        [said("a: 1"), /^there\/\d+\.yaml must hold a list of stages/],
        [said("stages: []"), /must hold a list of stages/],
        [said(""), /must hold a list of stages/],
        [stage("treshold: 0.5"), /^there\/\d+\.yaml, stage 2: there is no "treshold": a stage has name, measure, threshold, .*\.$/],
        [stage("measure: right"), /stage 2: it has no threshold\.$/],
        [said("stages: [one]"), /stage 1: it must hold its name, prompts and threshold\.$/],
        [stage("threshold: 70"), /stage 2: its threshold is 70, but right is a share: give a number over 0, at most 1\.$/],
        [stage("threshold: 0.5, every: 0"), /stage 2: its every is 0: Expected a whole number from 1 to 1000000\.$/],
        [stage("threshold: 0.5, measure: beauty"), /stage 2: its measure is "beauty": Expected "right" \| "score" \| "validity"\.$/],
        [stage("threshold: 0.5, max_steps: 9"), /stage 2: it is given up after 9 steps \(max_steps\), but 2 evaluations, one every 5 steps, need 10\.$/],
        [stage("threshold: 0.5", "embedded:dragon"), /stage 2: "embedded:dragon" names no prompts: give embedded:creature, .* or embedded:all, .*embedded:rider\/pelican\/bicycle\.$/],
        [stage("threshold: 0.5", "embedded:rider/penguin"), /stage 2: the grammar has no prompts for "embedded:rider\/penguin": check its words\.$/],
        [stage("threshold: 0.5", "nowhere.txt"), /there\/nowhere\.txt cannot be read: it does not exist\.$/],
        [said("stages: [{ name: one, prompts: [a pelican], threshold: 0.5 }]"), /stage 1: it holds out no prompt to measure it on: give more prompts .* held_out\.$/],
        [said("stages: [{ name: one, prompts: [a pelican], held_out: [a pelican], threshold: 0.5 }]"), /stage 1: all its prompts are held out, so there is nothing to train: give more\.$/],
        [said("stages: [{ name: one, prompts: [a pelican], held_out: [a castle], threshold: 0.5 }]"), /stage 1: it measures what is right, but the scene check does not know the prompt "a castle": measure score or validity\.$/]
      ]
      for (const [message, expected] of cases) {
        const text = yield* message
        assert.match(text, expected)
        assert.notMatch(text, /\n|undefined|\[object/)
      }
      assert.match((yield* Effect.flip(openCurriculum(path.join(work, "no.yaml"), 9))).message, /no\.yaml cannot be read: it does not exist/)
    }))
})
