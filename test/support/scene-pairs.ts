/** Pairs of drawings of the scene grammar, one right and one wrong, as pixels. */
import { createHash } from "node:crypto"
import { Resvg } from "@resvg/resvg-js"
import { Picture } from "../../src/domain.ts"
import { random } from "../../src/engine/random.ts"
import { promptOf } from "../../src/prompts.ts"
import { caption, drawFlawed, drawScene, flawsFor, sampleScene } from "../../src/scenes/index.ts"

export const picture = (svg: string): Picture => {
  const { height, pixels, width } = new Resvg(svg, {
    fitTo: { mode: "width", value: 64 },
    background: "#ffffff",
    font: { loadSystemFonts: false }
  }).render()
  const rgba = new Uint8Array(pixels)
  return new Picture({ hash: createHash("sha256").update(rgba).digest("hex"), width, height, rgba })
}

/** A scene drawn well, and with its colours or count wrong, as SVG. */
export const svgPair = (n: number) => {
  const draw = random(0xc1a0, n)
  const scene = sampleScene(draw, "train")
  const flaw = flawsFor(scene).find((name) => name === "wrong-colour" || name === "wrong-count") ?? "off-canvas"
  return { prompt: promptOf(caption(scene)), good: drawScene(scene, draw), bad: drawFlawed(scene, draw, flaw).svg }
}

export const pair = (n: number) => {
  const { bad, good, prompt } = svgPair(n)
  return { prompt, good: picture(good), bad: picture(bad) }
}
