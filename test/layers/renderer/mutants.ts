/** Seeded damage to drawings: numbers, elements and attributes exchanged, repeated, lost. For tests only. */
import { random } from "../../../src/engine/random.ts"

const numbers = ["0", "-1", "1e9", "1e38", "-1e38", "1e-30", "NaN", "-28808594", "2147483648", "99999", "-5000", "900", ".001", "50%", "1e", ""]
const names = ["g", "path", "rect", "circle", "use", "mask", "clipPath", "pattern", "filter", "marker", "text", "tspan", "symbol", "svg", "linearGradient", "feGaussianBlur", "feTurbulence", "image", "style", "defs"]
const attributes = [
  `transform="translate(900 0)"`, `transform="scale(1e4)"`, `transform="rotate(1e9)"`, `filter="url(#f)"`, `mask="url(#a)"`, `clip-path="url(#a)"`,
  `fill="url(#a)"`, `stroke="#000" stroke-width="5000"`, `stroke-dasharray=".06"`, `stroke="red" stroke-linejoin="round" stroke-width="40"`,
  `id="a"`, `href="#a"`, `opacity="-1"`, `width="0"`, `viewBox="0 0 1 8"`, `style="mix-blend-mode:hue;isolation:isolate"`, `display="none"`
]

/** One to five changes. Equal seeds give equal mutants; most are still XML. @param svg any text */
export const mutant = (svg: string, seed: number): string => {
  const draw = random(0x3a7a, seed)
  const below = (n: number) => Math.floor(draw() * n)
  const pick = <A>(all: ReadonlyArray<A>): A => all[below(all.length)]!
  const place = (text: string, pattern: RegExp) => {
    const found = [...text.matchAll(pattern)]
    return found.length === 0 ? undefined : pick(found)
  }
  const exchange = (text: string, found: RegExpExecArray | undefined, by: (old: string) => string): string =>
    found === undefined ? text : text.slice(0, found.index) + by(found[0]) + text.slice(found.index + found[0].length)
  const changes: ReadonlyArray<(text: string) => string> = [
    (text) => exchange(text, place(text, /-?\d+(?:\.\d+)?/g), () => pick(numbers)),
    (text) => exchange(text, place(text, /-?\d+(?:\.\d+)?/g), (old) => String(Number(old) * pick([-1, 10, 100, 1e4, 1e-3]))),
    (text) => exchange(text, place(text, /<[\w:]+(?=[^<>]*\/>)/g), () => `<${pick(names)}`), // closes itself: no end to match
    (text) => exchange(text, place(text, /<[\w:]+(?=[\s/>])/g), (old) => `${old} ${pick(attributes)}`),
    (text) => exchange(text, place(text, /\s[\w:-]+="[^"]*"/g), () => ""),
    (text) => exchange(text, place(text, /<[\w:]+[^<>]*\/>/g), (old) => old.repeat(2 + below(4))),
    (text) => exchange(text, place(text, /<[\w:]+[^<>]*\/>/g), (old) => `<g ${pick(attributes)}>${old}</g>`),
    (text) => exchange(text, place(text, /<[\w:]+[^<>]*\/>/g), (old) => `<filter id="f"><feGaussianBlur stdDeviation="2"/></filter><g id="a" filter="url(#f)">${old}</g>`),
    (text) => exchange(text, place(text, /[<>"'=/&;]/g), () => pick(["<", ">", "\"", "&", "", "\u00e9", "&#0;"]))
  ]
  let text = svg
  // The last change breaks the XML, so it is rare.
  for (let i = 1 + below(5); i > 0; i--) text = (draw() < 0.03 ? changes.at(-1)! : pick(changes.slice(0, -1)))(text)
  return text
}
