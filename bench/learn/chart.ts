/** Curves as an SVG file that reads on a light and on a dark page: it takes the reader's colour scheme. */

export interface Line {
  readonly name: string
  /** From 0 to 7; a line keeps its colour in every panel. */
  readonly colour: number
  /** y in [0, 1], with its interval where there is one. */
  readonly points: ReadonlyArray<{ readonly x: number; readonly y: number; readonly lower?: number; readonly upper?: number }>
}

export interface Panel {
  readonly title: string
  readonly lines: ReadonlyArray<Line>
}

/** Told apart by the colour-blind too (Okabe & Ito 2008); the last two for lines that few have. */
const colours = {
  light: ["#0072b2", "#d55e00", "#009e73", "#aa4499", "#b8860b", "#56a0c8", "#6b6b6b", "#882255"],
  dark: ["#56b4e9", "#ff8c42", "#2fd3a3", "#e39ac8", "#f0e442", "#9ecae1", "#bdbdbd", "#ff7fa7"]
}

const rules = (ink: string, quiet: string, page: string, lines: ReadonlyArray<string>): string =>
  [
    `text{fill:${ink}}`,
    `.page{fill:${page}}`,
    `.grid{stroke:${quiet}}`,
    ...lines.map((colour, n) => `.l${n}{stroke:${colour}}.b${n}{fill:${colour}}`)
  ].join("")

const style = "text{font:12px system-ui,sans-serif}.title{font-weight:600}.line{fill:none;stroke-width:2}.band{opacity:.16}.grid{stroke-width:1}" +
  rules("#1f2328", "#d1d9e0", "#ffffff", colours.light) +
  `@media (prefers-color-scheme:dark){${rules("#e6edf3", "#3d444d", "#0d1117", colours.dark)}}`

const [width, height] = [300, 210]
const inner = { left: 40, top: 30, width: 244, height: 146 }

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
const at = (n: number): string => n.toFixed(1)

const text = (x: number, y: number, content: string, rest = ""): string => `<text x="${at(x)}" y="${at(y)}"${rest}>${escape(content)}</text>`

const drawPanel = ({ lines, title }: Panel, most: number): string => {
  const px = (x: number) => inner.left + inner.width * x / Math.max(1, most)
  const py = (y: number) => inner.top + inner.height * (1 - y)
  const grid = [0, 0.25, 0.5, 0.75, 1].map((y) =>
    `<line class="grid" x1="${inner.left}" x2="${inner.left + inner.width}" y1="${at(py(y))}" y2="${at(py(y))}"/>` +
    text(inner.left - 6, py(y) + 4, String(y), " text-anchor=\"end\""))
  const drawn = lines.map(({ colour, points }) => {
    const path = points.map(({ x, y }) => `${at(px(x))},${at(py(y))}`)
    const upper = points.map(({ upper, x, y }) => `${at(px(x))},${at(py(upper ?? y))}`)
    const lower = points.map(({ lower, x, y }) => `${at(px(x))},${at(py(lower ?? y))}`).reverse()
    return `<polygon class="band b${colour}" points="${[...upper, ...lower].join(" ")}"/>` +
      `<polyline class="line l${colour}" points="${path.join(" ")}"/>`
  })
  return [
    text(inner.left, 18, title, " class=\"title\""),
    ...grid,
    ...drawn,
    text(inner.left, height - 16, "0"),
    text(inner.left + inner.width, height - 16, `${most.toLocaleString("en")} drawings`, " text-anchor=\"end\"")
  ].join("\n")
}

/** Panels of one size, `columns` beside one another, and below them what each colour is. */
export const chart = (title: string, panels: ReadonlyArray<Panel>, columns: number): string => {
  const most = Math.max(...panels.flatMap(({ lines }) => lines.flatMap(({ points }) => points.map(({ x }) => x))))
  const names = new Map(panels.flatMap(({ lines }) => lines.map(({ colour, name }) => [name, colour] as const)))
  const rows = Math.ceil(panels.length / columns)
  const each = 150
  const perRow = Math.max(1, Math.floor(columns * width / each))
  const size = { width: columns * width, height: rows * height + 24 * Math.ceil(names.size / perRow) }
  const keys = [...names].map(([name, colour], n) => {
    const [x, y] = [inner.left + each * (n % perRow), rows * height + 14 + 24 * Math.floor(n / perRow)]
    return `<line class="line l${colour}" x1="${x}" x2="${x + 18}" y1="${y - 4}" y2="${y - 4}"/>${text(x + 24, y, name)}`
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" width="${size.width}" role="img" aria-label="${escape(title)}">`,
    `<style>${style}</style>`,
    `<rect class="page" width="${size.width}" height="${size.height}"/>`,
    ...panels.map((panel, n) => `<g transform="translate(${width * (n % columns)} ${height * Math.floor(n / columns)})">\n${drawPanel(panel, most)}\n</g>`),
    ...keys,
    "</svg>",
    ""
  ].join("\n")
}
