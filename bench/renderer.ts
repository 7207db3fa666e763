/** Drawings a second in child processes beside the same drawings in this process: what isolation costs. */
import * as v8 from "node:v8"
import * as vm from "node:vm"
import { Resvg } from "@resvg/resvg-js"
import { RendererPool } from "../layers/renderer/pool.ts"
import { defaults } from "../layers/renderer/resvg.ts"
import { random } from "../src/engine/random.ts"
import { drawScene, sampleScene } from "../src/scenes/index.ts"
import { median } from "./median.ts"

/** No two alike: the pool draws once what it is asked for twice. */
const drawings = [...new Set(Array.from({ length: 1000 }, (_, n) => {
  const draw = random(0xbe7c, n)
  return drawScene(sampleScene(draw, "train"), draw)
}))]

v8.setFlagsFromString("--expose-gc")
const collect = vm.runInNewContext("gc") as () => void
/** A round is so many times all drawings. */
const passes = 3

/** Drawings a second. Each round pays for its own garbage: what resvg leaves here would else be cleared away at the pool's cost. */
const rate = async (work: () => Promise<void>): Promise<number> => {
  const start = performance.now()
  for (let pass = 0; pass < passes; pass++) await work()
  collect()
  return passes * drawings.length / (performance.now() - start) * 1000
}

export const benchRenderer = async (processes = 2) => {
  const rows = []
  for (const size of [64, 224, 512]) {
    const pool = new RendererPool({ ...defaults, processes, size })
    const isolated = () => rate(async () => void await Promise.all(drawings.map((svg) => pool.render(svg).then(() => {}))))
    const inProcess = () =>
      rate(async () => {
        for (const svg of drawings) {
          // As the child does: pixels out, nothing kept.
          void new Resvg(svg, {
            fitTo: { mode: "width", value: size },
            background: "#ffffff",
            font: { loadSystemFonts: false }
          }).render().pixels
        }
      })
    await isolated()
    await inProcess()
    const both: Array<readonly [number, number]> = []
    for (let i = 0; i < 5; i++) both.push([await isolated(), await inProcess()])
    await pool.close()
    const [a, b] = [median(both.map(([x]) => x)), median(both.map(([, y]) => y))]
    rows.push({ size, isolated: Math.round(a), inProcess: Math.round(b), ratio: Math.round(100 * a / b) / 100 })
  }
  return rows
}
