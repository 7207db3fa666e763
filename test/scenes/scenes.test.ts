import { assert, describe, it } from "@effect/vitest"
import { Resvg } from "@resvg/resvg-js"
import { SaxesParser } from "saxes"
import { random } from "../../src/engine/random.ts"
import { checkScene } from "../../src/scenes/check.ts"
import { drawScene } from "../../src/scenes/draw.ts"
import { drawFlawed, type FlawName, flawsFor, perturbCaption, withSwappedFigures } from "../../src/scenes/flaws.ts"
import {
  caption,
  captions,
  colours,
  combination,
  figures,
  isHeldOut,
  parseCaption,
  sampleScene,
  satisfies,
  type Scene
} from "../../src/scenes/grammar.ts"
import { drawHabit, habitOf, shownByHabit } from "../../src/scenes/habits.ts"
import { filled, place, polygon, svgOpen, toSvg } from "../../src/scenes/shape.ts"

const sampled = (n: number, seed: number): ReadonlyArray<Scene> =>
  Array.from({ length: n }, (_, i) => sampleScene(random(seed, i), i % 4 === 0 ? "heldout" : "train"))

const render = (svg: string, side = 64) => {
  const image = new Resvg(svg, {
    fitTo: { mode: "width", value: side },
    background: "#ffffff",
    font: { loadSystemFonts: false }
  }).render()
  return { width: image.width, height: image.height, rgba: new Uint8Array(image.pixels) }
}

const isWellFormed = (xml: string): boolean => {
  let fine = true
  const parser = new SaxesParser()
  parser.on("error", () => {
    fine = false
  })
  parser.write(xml).close()
  return fine
}

describe("grammar", () => {
  it("parses every paraphrase back to its scene", () => {
    for (const scene of sampled(1000, 1)) {
      for (const text of captions(scene)) assert.deepStrictEqual(parseCaption(text), scene, text)
    }
  })

  it("says the scenes in plain English", () => {
    const said = (text: string) => {
      const scene = parseCaption(text)
      return scene === undefined ? undefined : caption(scene)
    }
    assert.strictEqual(said("a red pelican on a blue bicycle"), "a red pelican riding a blue bicycle")
    assert.strictEqual(said("an orange owl riding a unicycle"), "an orange owl riding a unicycle")
    assert.strictEqual(said("3 green circles"), "three green circles")
    assert.strictEqual(said("a small blue star and a big red circle"), "a big red circle and a small blue star")
    for (const text of ["", "pelican", "a teal pelican", "two red circle", "one red circles", "a pelican ", "6 red stars"]) {
      assert.isUndefined(parseCaption(text), text)
    }
  })

  it("shares no combination between the splits", () => {
    const keys = (split: "train" | "heldout") =>
      new Set(Array.from({ length: 3000 }, (_, i) => combination(sampleScene(random(2, i), split))))
    const [train, heldout] = [keys("train"), keys("heldout")]
    for (const key of heldout) assert.isFalse(train.has(key), key)
    const kinds = new Set([...heldout].map((key) => key.split("/")[0]))
    assert.strictEqual(kinds.size, 6)
    for (const text of ["a pelican", "a bicycle", "a pelican riding a bicycle"]) {
      assert.isFalse(isHeldOut(parseCaption(text)!), text)
    }
  })

  it("holds back one number of each figure in half of the colours, every number equally often", () => {
    const missed = figures.flatMap((figure) => {
      const of = ([1, 2, 3, 4, 5] as const).flatMap((count) =>
        colours.filter((colour) => isHeldOut({ kind: "count", count, thing: { figure, colour } })).map(() => count)
      )
      assert.strictEqual(of.length, colours.length / 2)
      assert.strictEqual(new Set(of).size, 1)
      return of.slice(0, 1)
    })
    for (const count of [1, 2, 3, 4, 5]) assert.closeTo(missed.filter((of) => of === count).length, figures.length / 5, 1)
  })

  it("knows which scenes are also another one", () => {
    const are = (shown: string, asked: string) => satisfies(parseCaption(shown)!, parseCaption(asked)!)
    for (const [shown, asked] of [
      ["a red pelican", "a pelican"],
      ["a red pelican riding a blue bicycle", "a pelican riding a blue bicycle"],
      ["a red star below a blue heart", "a blue heart over a red star"],
      ["a red star right of a blue heart", "a blue heart left of a red star"],
      ["a small red star and a big blue hat", "a big blue hat and a small red star"],
      ["3 red trees", "three red trees"]
    ] as const) assert.isTrue(are(shown, asked), `${shown}: ${asked}`)
    for (const [shown, asked] of [
      ["a pelican", "a red pelican"],
      ["a red pelican", "a red cat"],
      ["a red pelican riding a blue bicycle", "a red pelican riding a scooter"],
      ["a red star above a blue heart", "a blue heart over a red star"],
      ["a red star inside a blue heart", "a red star above a blue heart"],
      ["a big red star and a small blue hat", "a big blue hat and a small red star"],
      ["3 red trees", "2 red trees"],
      ["a red pelican", "one red star"]
    ] as const) assert.isFalse(are(shown, asked), `${shown}: ${asked}`)
  })

  it("treats converse relations as one combination", () => {
    const key = (text: string) => combination(parseCaption(text)!)
    assert.strictEqual(key("a red star below a blue heart"), key("a red heart above a blue star"))
    assert.strictEqual(key("a red star right of a blue heart"), key("a red heart left of a blue star"))
    assert.notStrictEqual(key("a red star above a blue heart"), key("a red heart above a blue star"))
  })
})

describe("drawings", () => {
  it("repeat from the same seed and vary with it", () => {
    for (const scene of sampled(50, 3)) {
      assert.strictEqual(drawScene(scene, random(5)), drawScene(scene, random(5)))
      assert.deepStrictEqual(drawFlawed(scene, random(5)), drawFlawed(scene, random(5)))
      assert.isAbove(new Set(Array.from({ length: 8 }, (_, k) => drawScene(scene, random(6, k)))).size, 1)
    }
  })

  it("are short well-formed XML with integers in 0..64", () => {
    for (const [i, scene] of sampled(500, 4).entries()) {
      const svg = drawScene(scene, random(7, i))
      assert.isTrue(svg.startsWith(svgOpen) && svg.endsWith("</svg>"))
      assert.isTrue(isWellFormed(svg), svg)
      const numbers = svg.slice(svgOpen.length).match(/-?\d+(\.\d+)?/g) ?? []
      assert.isTrue(numbers.every((n) => /^-?\d+$/.test(n) && Math.abs(Number(n)) <= 64), svg)
      assert.isBelow(svg.length - svgOpen.length, 720, svg)
      assert.isAtMost(svg.split("<").length - 3, 12)
    }
  })

  it("have the same numbers wherever they stand", () => {
    const shape = [polygon("thing", [10, 4, 16, 20, 0, 20], "red"), filled("body", "M3 4Q6 1 9 4L6 12Z", "blue")]
    const shifted = toSvg(place(shape, 1, 20, 30))
    assert.strictEqual(toSvg(shape).slice(svgOpen.length), `<path d="M10 4l6 16-16 0z" fill="red"/><path d="M3 4q3-3 6 0l-3 8z" fill="blue"/></svg>`)
    assert.strictEqual(shifted, toSvg(shape).replace("M10 4", "M30 34").replace("M3 4", "M23 34"))
  })

  it("with broken XML do not parse", () => {
    for (const [i, scene] of sampled(60, 5).entries()) {
      assert.isFalse(isWellFormed(drawFlawed(scene, random(8, i), "broken-xml").svg))
    }
  })
})

describe("habits", () => {
  const scenes = sampled(400, 30)

  it("are one wrong way for each kind of prompt, which the check tells from the right one", { timeout: 60_000 }, () => {
    let [good, habitual] = [0, 0]
    const some = scenes.slice(0, 160)
    for (const [i, scene] of some.entries()) {
      const draw = random(31, i)
      const right = checkScene(scene, render(drawScene(scene, draw))).score
      const wrong = checkScene(scene, render(drawHabit(scene, draw))).score
      assert.isAbove(right, wrong, caption(scene))
      if (right >= 0.9) good++
      if (wrong >= 0.9) habitual++
    }
    assert.isAbove(good / some.length, 0.98)
    assert.isBelow(habitual / some.length, 0.04)
  })

  it("cannot be told by length or by the number of shapes", () => {
    let [longer, shapes] = [0, 0]
    const sums = { good: 0, habit: 0 }
    for (const [i, scene] of scenes.entries()) {
      const [good, habit] = [drawScene(scene, random(32, i)), drawHabit(scene, random(33, i))]
      sums.good += good.length
      sums.habit += habit.length
      longer += Math.sign(good.length - habit.length)
      shapes += Math.sign(good.split("<").length - habit.split("<").length)
    }
    assert.closeTo(sums.habit / sums.good, 1, 0.02)
    // Of five numbers each moved by one, an odd one is left over: three habits draw one thing fewer, two one more.
    assert.closeTo(longer / scenes.length, 0, 0.3)
    assert.closeTo(shapes / scenes.length, 0, 0.1)
  })

  it("carry over to combinations that training never shows", () => {
    const habits = (split: "train" | "heldout") =>
      new Set(Array.from({ length: 1500 }, (_, i) => {
        const scene = sampleScene(random(34, i), split)
        return `${scene.kind} ${habitOf(scene)}`
      }))
    assert.deepStrictEqual([...habits("heldout")].toSorted(), [...habits("train")].toSorted())
  })
})

describe("the other scene that a wrong drawing shows", () => {
  it("is another one than was asked for, and drawn right", { timeout: 60_000 }, () => {
    const shown = sampled(120, 40).flatMap((scene, i) => {
      const draw = random(41, i)
      const { flaw, shows, svg } = drawFlawed(scene, draw)
      const flawed = shows === undefined ? [] : [{ scene, name: flaw as string, shows, svg }]
      const byHabit = shownByHabit(scene)
      return byHabit === undefined ? flawed : [...flawed, { scene, name: habitOf(scene) as string, shows: byHabit, svg: drawHabit(scene, draw) }]
    })
    const names = new Set(shown.map(({ name }) => name))
    for (const name of ["wrong-colour", "swapped-colours", "wrong-count", "wrong-relation", "number", "relation", "colours", "sizes"]) {
      assert.isTrue(names.has(name), name)
    }
    let right = 0
    for (const { scene, shows, svg } of shown) {
      assert.isFalse(satisfies(shows, scene), caption(scene))
      if (checkScene(shows, render(svg)).score >= 0.9) right++
    }
    assert.isAbove(right / shown.length, 0.97)
  })
})

describe("two figures exchanged", () => {
  it("make another scene of the same colours, sizes and places, and none of a scene that has not two", { timeout: 30_000 }, () => {
    let right = 0
    const two = sampled(200, 42).filter((scene) => scene.kind === "sizes" || scene.kind === "relation")
    const swapped = two.flatMap((scene) => withSwappedFigures(scene) ?? [])
    for (const [i, shows] of swapped.entries()) {
      assert.deepStrictEqual(withSwappedFigures(withSwappedFigures(shows)!)!, shows)
      if (checkScene(shows, render(drawScene(shows, random(43, i)))).score >= 0.9) right++
    }
    assert.isAbove(right / swapped.length, 0.97)
    assert.strictEqual(withSwappedFigures(parseCaption("a red flag inside a blue circle")!), undefined)
    assert.strictEqual(withSwappedFigures(parseCaption("three red stars")!), undefined)
    assert.deepStrictEqual(withSwappedFigures(parseCaption("a big red flag and a small blue star")!), parseCaption("a big red star and a small blue flag"))
  })
})

describe("perturbCaption", () => {
  it("means another scene, and stays within the training split", () => {
    for (const [i, scene] of sampled(400, 6).entries()) {
      const near = parseCaption(perturbCaption(scene, random(9, i)))
      assert.isDefined(near)
      assert.notDeepEqual(near, scene)
      if (!isHeldOut(scene)) assert.isFalse(isHeldOut(near!))
    }
  })
})

describe("checkScene", () => {
  it("rates good drawings high and above flawed ones", { timeout: 30_000 }, () => {
    const scenes = sampled(300, 10)
    const tally = new Map<FlawName, { pairs: number; right: number }>()
    let sum = 0
    for (const [i, scene] of scenes.entries()) {
      const draw = random(11, i)
      const good = checkScene(scene, render(drawScene(scene, draw))).score
      sum += good
      const visible = flawsFor(scene).filter((flaw) => flaw !== "broken-xml")
      // Two flaws a scene, in turn, keep this quick.
      for (const flaw of [visible[i % visible.length]!, visible[(i + 3) % visible.length]!]) {
        const row = tally.get(flaw) ?? { pairs: 0, right: 0 }
        tally.set(flaw, row)
        row.pairs += 1
        if (good > checkScene(scene, render(drawFlawed(scene, draw, flaw).svg)).score) row.right += 1
      }
    }
    assert.isAbove(sum / scenes.length, 0.9)
    const rows = [...tally.values()]
    assert.isAbove(rows.reduce((n, r) => n + r.right, 0) / rows.reduce((n, r) => n + r.pairs, 0), 0.95)
    for (const [flaw, { pairs, right }] of tally) assert.isAtLeast(right / pairs, 0.9, flaw)
  })

  it("rates a drawing of another scene lower", () => {
    const scenes = sampled(80, 12)
    let right = 0
    for (const [i, scene] of scenes.entries()) {
      const other = parseCaption(perturbCaption(scene, random(13, i)))!
      const own = checkScene(scene, render(drawScene(scene, random(14, i)))).score
      if (own > checkScene(scene, render(drawScene(other, random(15, i)))).score) right += 1
    }
    assert.isAbove(right / scenes.length, 0.9)
  })

  it("gives nothing for an empty picture and little for noise", () => {
    const draw = random(16)
    const noise = { width: 64, height: 64, rgba: Uint8Array.from({ length: 64 * 64 * 4 }, () => Math.floor(256 * draw())) }
    const filled = (v: number) => ({ width: 64, height: 64, rgba: new Uint8ClampedArray(64 * 64 * 4).fill(v) })
    for (const scene of sampled(20, 17)) {
      assert.strictEqual(checkScene(scene, filled(255)).score, 0)
      assert.isBelow(checkScene(scene, noise).score, 0.35, caption(scene))
      assert.isBelow(checkScene(scene, filled(0)).score, 0.3, caption(scene))
    }
  })

  it("reads larger pictures alike", () => {
    for (const [i, scene] of sampled(16, 18).entries()) {
      const svg = drawScene(scene, random(19, i))
      assert.closeTo(checkScene(scene, render(svg, 128)).score, checkScene(scene, render(svg)).score, 0.12, caption(scene))
    }
  })
})
