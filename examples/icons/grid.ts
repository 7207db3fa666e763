/** A picture of drawings in rows, with the prompts above: to be looked at. */
import * as path from "node:path"
import { Resvg } from "@resvg/resvg-js"

export interface Row {
  readonly title: string
  /** One a prompt; undefined where it did not render. */
  readonly svgs: ReadonlyArray<string | undefined>
}

const [cell, gap, head, margin] = [64, 12, 34, 90]
const escaped = (text: string): string => text.replace(/[<>&]/g, (c) => `&#${c.charCodeAt(0)};`)
const font = path.resolve(import.meta.dirname, "../../models/font/DejaVuSans.ttf")

const line = (text: string, x: number, y: number, size: number) => `<text x="${x}" y="${y}" font-size="${size}" font-family="DejaVu Sans">${escaped(text)}</text>`

/** The bytes of a PNG. Prompts are cut into two short lines. */
export const gridOf = (prompts: ReadonlyArray<string>, rows: ReadonlyArray<Row>): Uint8Array => {
  const x = (n: number) => margin + n * (cell + gap)
  const y = (n: number) => head + n * (cell + gap)
  const labels = prompts.flatMap((prompt, n) => {
    const words = prompt.replace(/ icon$/, "").split(" ")
    return [words[0]!, words.slice(1).join(" ")].map((text, i) => line(text.slice(0, 12), x(n), 12 + 12 * i, 10))
  })
  const drawings = rows.flatMap(({ svgs, title }, r) => [
    line(title, 4, y(r) + cell / 2, 11),
    ...svgs.map((svg, n) =>
      svg === undefined
        ? line("–", x(n) + cell / 2 - 4, y(r) + cell / 2, 16)
        : svg.replace(/^<svg /, `<svg x="${x(n)}" y="${y(r)}" width="${cell}" height="${cell}" `))
  ])
  const [width, height] = [x(prompts.length), y(rows.length)]
  const page = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${[...labels, ...drawings].join("")}</svg>`
  return new Uint8Array(new Resvg(page, { background: "#ffffff", font: { loadSystemFonts: false, fontFiles: [font] } }).render().asPng())
}
