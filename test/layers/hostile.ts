/** Drawings that are known to crash, hang or fill a renderer, one or more of each kind. For tests only. */

const svg = (body: string, attributes = `viewBox="0 0 100 100"`) =>
  `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ${attributes}>${body}</svg>`
const times = (n: number, part: (i: number) => string) => Array.from({ length: n }, (_, i) => part(i)).join("")

/** `a` holds two of `b`, which holds two of `c`, ... */
const doubling = (n: number, define: (id: string, body: string) => string, refer: (id: string) => string, last: string) =>
  define("d0", last) + times(n, (i) => define(`d${i + 1}`, refer(`d${i}`) + refer(`d${i}`))) + refer(`d${n}`)

const filtered = (filter: string, body = `<rect width="90" height="90" filter="url(#f)"/>`) =>
  svg(`<filter id="f" x="-1" y="-1" width="3" height="3">${filter}</filter>${body}`)

export const hostile: Readonly<Record<string, string>> = {
  "nested tspans": svg(`<text>${"<tspan>".repeat(10_000)}x${"</tspan>".repeat(10_000)}</text>`),
  "nested groups": svg("<g>".repeat(10_000) + "</g>".repeat(10_000)),
  "use bomb": svg(doubling(20, (id, body) => `<g id="${id}">${body}</g>`, (id) => `<use href="#${id}"/>`, `<circle r="9"/>`)),
  "mask bomb": svg(doubling(
    14,
    (id, body) => `<mask id="${id}">${body}</mask>`,
    (id) => `<rect width="99" height="99" fill="#fff" mask="url(#${id})"/>`,
    `<circle r="99" fill="#fff"/>`
  )),
  "nested patterns": svg(doubling(
    14,
    (id, body) => `<pattern id="${id}" width="99" height="99" patternUnits="userSpaceOnUse">${body}</pattern>`,
    (id) => `<rect width="99" height="99" fill="url(#${id})"/>`,
    `<circle r="99"/>`
  )),
  "patterns of each other": svg(
    `<pattern id="p" width="9" height="9" patternUnits="userSpaceOnUse"><rect width="9" height="9" fill="url(#q)" stroke="url(#q)"/></pattern>
    <pattern id="q" width="9" height="9" patternUnits="userSpaceOnUse"><rect width="9" height="9" fill="url(#p)" stroke="url(#p)"/></pattern>
    <rect width="99" height="99" fill="url(#p)"/>`
  ),
  "chain of clip paths": svg(
    times(10_000, (i) => `<clipPath id="c${i}" clip-path="url(#c${i + 1})"><rect width="99" height="99"/></clipPath>`) +
      `<rect width="99" height="99" clip-path="url(#c0)"/>`
  ),
  "billion laughs": `<!DOCTYPE svg [<!ENTITY l0 "lol">${
    times(9, (i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`)
  }]>${svg("<desc>&l9;</desc>")}`,
  "quadratic blow-up": `<!DOCTYPE svg [<!ENTITY a "${"x".repeat(50_000)}">]>${svg(`<desc>${"&a;".repeat(50_000)}</desc>`)}`,
  "turbulence without end": filtered(`<feTurbulence numOctaves="2147483647" baseFrequency=".5"/>`),
  "wide morphology": filtered(times(90, () => `<feMorphology operator="dilate" radius="50"/>`)),
  "convolution of 65536": filtered(`<feConvolveMatrix order="65536" kernelMatrix="1"/>`),
  "filtered far away": filtered(
    `<feDropShadow dx="1" dy="1" stdDeviation="1"/>`,
    `<g transform="translate(900 0)"><circle cx="50" cy="50" r="9" filter="url(#f)"/></g>`
  ),
  "offset to nowhere": filtered(`<feOffset dx="1e30" dy="1e30"/>`),
  "tall canvas": svg(`<rect width="1" height="99"/>`, `viewBox="0 0 1 1000000000"`),
  "wide canvas": svg(`<rect width="1" height="99"/>`, `viewBox="0 0 1000000000 1"`),
  "huge pattern tile": svg(
    `<pattern id="p" width="1e9" height="1e9" patternUnits="userSpaceOnUse"><rect width="9" height="9"/></pattern><rect width="99" height="99" fill="url(#p)"/>`
  ),
  "infinite numbers": svg(`<rect x="1e999" y="NaN" width="-1e999" height="1e38"/>`, `viewBox="0 0 1e38 1e38"`),
  "path of 100 000 segments": svg(`<path fill="none" stroke="#000" d="M0 0${times(100_000, (i) => `L${(i * 37) % 100} ${(i * 61) % 100}`)}"/>`),
  "fine dashes": svg(times(100, (i) => `<path d="M0 ${i}h10000" stroke="#000" stroke-dasharray=".01"/>`)),
  "known abort of the rasteriser": svg(`<path d="M10 10h-28808594v50h30z"/>`),
  "a local file": svg(`<image href="secret.svg" width="99" height="99"/>`),
  "an endless device": svg(`<image href="/dev/zero" width="99" height="99"/>`),
  "a data URI": svg(`<image href="data:image/svg+xml;base64,${btoa(svg(`<rect width="99" height="99" fill="#0f0"/>`))}" width="99" height="99"/>`),
  script: svg("<script>process.exit(1)</script>"),
  "a hundred thousand attributes": svg(`<g ${times(100_000, (i) => `a${i}="" `)}/>`),
  "characters that are none": svg(`<g id="\u0000\uffff\ud800"/>`),
  "a huge comment": svg(`<!--${"x".repeat(5_000_000)}-->`)
}
