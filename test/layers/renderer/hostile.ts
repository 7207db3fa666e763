/**
 * Drawings that are known to crash, hang or fill a renderer, one or more of each kind, and every kind of attack in as many
 * sizes as one likes. For tests only.
 */

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

const of = <A>(n: number, all: ReadonlyArray<A>): A => all[n % all.length]!
const link = (n: number) => of(n, ["href", "xlink:href"])
const shape = (n: number, attributes = "") =>
  of(n, [
    `<rect width="90" height="90" ${attributes}/>`,
    `<circle cx="50" cy="50" r="40" ${attributes}/>`,
    `<path d="M5 5L95 50L5 95z" ${attributes}/>`
  ])
const primitive = (n: number): string => {
  const huge = of(n, [1e4, 1e9, 2_147_483_647, 1e30])
  return of(n, [
    `<feTurbulence numOctaves="${huge}" baseFrequency=".1"/>`,
    times(10 + n % 90, () => `<feMorphology operator="${of(n, ["dilate", "erode"])}" radius="${10 + n % 60}"/>`),
    `<feConvolveMatrix order="${of(n, [65_536, 100, 201])}" kernelMatrix="1"/>`,
    times(100 + 50 * (n % 20), () => `<feGaussianBlur stdDeviation="${n % 9}"/>`),
    `<feGaussianBlur stdDeviation="${huge}"/>`,
    `<feOffset dx="${huge}" dy="${-huge}"/>`,
    `<feDropShadow dx="${huge}" dy="1" stdDeviation="2"/>`,
    `<feImage ${link(n)}="#f"/>`,
    `<feSpecularLighting surfaceScale="9"><fePointLight x="1" y="2" z="${n}"/></feSpecularLighting>`,
    `<feFlood x="${huge}" width="NaN" flood-color="#f00"/>`
  ])
}

/** Each kind of attack, in sizes and details that `n` chooses: a file of some hundred bytes to some hundred kB. */
export const attacks: Readonly<Record<string, (n: number) => string>> = {
  "nested elements": (n) => {
    const [deep, name] = [of(n, [30, 60, 300, 3000]), of(n >> 1, ["g", "svg", "symbol", "a", "switch", "defs"])]
    return svg(`<${name}>`.repeat(deep) + shape(n) + `</${name}>`.repeat(deep))
  },
  "nested letters": (n) => svg(`<text y="50">${"<tspan>".repeat(of(n, [10, 500, 10_000]))}x${"</tspan>".repeat(of(n, [10, 500, 10_000]))}</text>`),
  "chain of references": (n) => {
    const [long, name] = [of(n, [9, 50, 1000, 3000]), of(n >> 2, ["clipPath", "mask"])]
    const property = name === "mask" ? "mask" : "clip-path"
    return svg(times(long, (i) => `<${name} id="c${i}" ${property}="url(#c${i + 1})">${shape(n)}</${name}>`) + shape(n, `${property}="url(#c0)"`))
  },
  "use of itself": (n) => svg(`<g id="a"><use ${link(n)}="#${of(n, ["a", "b", "a"])}"/><g id="b"><use ${link(n)}="#a"/></g></g>`),
  "paint of itself": (n) =>
    svg(
      `<pattern id="p" width="${2 + n % 9}" height="9" patternUnits="userSpaceOnUse">${shape(n, `${of(n, ["fill", "stroke"])}="url(#${of(n, ["p", "q"])})"`)}</pattern>
      <pattern id="q" width="9" height="9" patternUnits="userSpaceOnUse">${shape(n, `fill="url(#p)" stroke="url(#p)"`)}</pattern>
      <linearGradient id="g" ${link(n)}="#h"/><radialGradient id="h" ${link(n)}="#g"/>${shape(n, `fill="url(#${of(n, ["p", "q", "g"])})"`)}`
    ),
  "mixed cycle": (n) =>
    svg(
      `<mask id="m">${shape(n, `clip-path="url(#c)" filter="url(#f)"`)}</mask><clipPath id="c"><use href="#u"/></clipPath>
      <filter id="f"><feImage href="#u"/></filter><marker id="k"><g marker-start="url(#k)">${shape(n)}</g></marker>
      <g id="u" mask="url(#m)" ${of(n, ["", `marker-mid="url(#k)"`])}>${shape(n, `stroke="url(#p)"`)}</g><pattern id="p" width="3" height="3"><use href="#u"/></pattern>`
    ),
  "doubling": (n) => {
    const kind = of(n, ["g", "mask", "clipPath", "pattern", "filter"])
    const property = { g: "", mask: "mask", clipPath: "clip-path", pattern: "fill", filter: "filter" }[kind]
    return svg(doubling(
      6 + n % 14,
      (id, body) => `<${kind} id="${id}" width="50" height="50">${kind === "filter" ? "<feGaussianBlur/>" : body}</${kind}>`,
      (id) => kind === "g" ? `<use ${link(n)}="#${id}"/>` : shape(n, `${property}="url(#${id})"`),
      shape(n)
    ))
  },
  "too many": (n) => svg(times(of(n, [200, 1499, 1600, 6000]), (i) => shape(i, of(n, ["", `opacity=".5"`, `stroke="#000" stroke-dasharray="1"`])))),
  "entities": (n) =>
    `<!DOCTYPE svg [${
      of(n, [
        `<!ENTITY a "${"x".repeat(1000)}"><!ENTITY b "${"&a;".repeat(100)}"><!ENTITY c "${"&b;".repeat(100)}">`,
        `<!ENTITY c "&d;"><!ENTITY d "&c;">`,
        `<!ENTITY % p SYSTEM "file:///etc/passwd">%p;<!ENTITY c "">`
      ])
    }]>${svg(`<desc>${"&c;".repeat(1 + n % 50)}</desc>${shape(n)}`)}`,
  "bad XML": (n) => {
    const whole = svg(shape(n, `fill="#135"`) + "<g><desc>&amp;</desc></g>")
    return of(n, [
      whole.replace("</g>", ""),
      whole.replace("<g>", "<g <"),
      whole.replace("fill=", `fill="red" fill=`),
      whole.replace("&amp;", `&#x${(n * 7919).toString(16)};`),
      whole.replace("<desc>", "<desc>]]>"),
      whole.replace("<g>", `<g id="\u0000\ufffe">`),
      whole.replace("<g>", `<g a:b="">`),
      whole.replace("<g>", `<!-- ${"-".repeat(n)} --><g>`),
      `\ufeff${whole}`,
      whole.replace("<g>", `<?php ${n} ?><g>`)
    ])
  },
  "too long": (n) => svg(of(n, [`<!--${"x".repeat(200_000)}-->`, `<g style="${"a:b;".repeat(30_000)}"/>`, `<g ${times(9000, (i) => `a${i}="" `)}/>`, `<desc>${"&#120;".repeat(20_000)}</desc>`])),
  "canvas": (n) => {
    const odd = of(n, ["0", "-1", "1e9", "1e38", "NaN", "1e-30", "99999", "100%", "", "Infinity"])
    const other = of(n >> 3, ["1", "100", "1e9"])
    return svg(shape(n), of(n, [`viewBox="0 0 ${odd} ${other}"`, `width="${odd}" height="${other}"`, `viewBox="${odd} 0 100 100" width="${other}"`]))
  },
  "odd numbers": (n) => {
    const odd = of(n, ["1e38", "-1e38", "1e-38", "NaN", "1e999", "-28808594", "2147483648", "99999", "1e5", ".1e-9"])
    return svg(of(n >> 1, [
      `<rect x="${odd}" width="${odd}" height="9" rx="${odd}"/>`,
      `<circle r="${odd}" cx="${odd}"/>`,
      `<path d="M10 10h${odd}v50h30z" stroke="#000" stroke-width="${odd}"/>`,
      `<g transform="scale(${odd})rotate(${odd})">${shape(n)}</g>`,
      `<path d="M0 0A${odd} ${odd} 0 1 1 50 50" fill="none" stroke="red"/>`,
      `<linearGradient id="g" x1="${odd}" gradientTransform="scale(${odd})"><stop offset="${odd}"/></linearGradient>${shape(n, `fill="url(#g)"`)}`
    ]))
  },
  "huge tile": (n) =>
    svg(`<pattern id="p" width="${of(n, ["1e9", "99999", "1e-9"])}" height="${of(n >> 1, ["1e9", "99999", "1e-9"])}" patternUnits="userSpaceOnUse">${shape(n)}</pattern>${shape(n, `fill="url(#p)"`)}`),
  "filter": (n) => filtered(primitive(n), shape(n, `filter="url(#f)"`)),
  "filter region": (n) => svg(`<filter id="f" x="${of(n, ["-1e9", "NaN", "0"])}" width="${of(n, ["2e6", "1e9", "-1"])}" height="2e6" filterUnits="userSpaceOnUse"><feGaussianBlur stdDeviation="1"/></filter>${shape(n, `filter="url(#f)"`)}`),
  "filter scaled": (n) => filtered(`<feGaussianBlur stdDeviation="2"/>`, `<g transform="scale(${of(n, [50, 1e4, 1e-6])})">${shape(n, `filter="url(#f)"`)}</g>`),
  "filter by style": (n) => svg(shape(n, `style="filter:blur(${of(n, ["1e9px", "9px"])})"`) + shape(n, `filter="drop-shadow(${n} 9 1e9)"`)),
  "filtered off the canvas": (n) =>
    filtered(`<feDropShadow dx="1" dy="1" stdDeviation="1"/>`, `<g transform="translate(${of(n, [900, 5000, -2000, 350])} ${(n * 37) % 900})">${shape(n, `filter="url(#f)"`)}</g>`),
  "long path": (n) => {
    const d = times(of(n, [2000, 5900, 20_000]), (i) => of(n, ["L", "Q9 9 ", "C1 2 3 4 "]) + `${(i * 37) % 100} ${(i * 61) % 100}`)
    return svg(`<path fill="${of(n, ["none", "#000"])}" stroke="#000" d="M0 0${d}"/>`)
  },
  "dashes": (n) => svg(times(1 + n % 100, (i) => `<path d="M0 ${i}h${of(n, [100, 10_000, 99_999])}" stroke="#000" stroke-dasharray="${of(n, [".01", "1e-4 1e-4", ".1", "0 0", "-1"])}"/>`)),
  "letters": (n) =>
    svg(`<text font-size="${of(n, ["1e9", "12", "-1", "9999"])}" y="50" rotate="${n}" textLength="${of(n, ["1e9", "1"])}">${of(n, ["a".repeat(3000), "Z\u0301\u0302\u0303".repeat(300), "\u202e\u2066abc", "\u0000", "\ud800"])}</text>`),
  "pictures": (n) => {
    const inner = btoa(svg(shape(n)))
    return svg(`<${of(n, ["image", "svg:image", "IMAGE"])} xmlns:svg="http://www.w3.org/2000/svg" width="99" height="99" ${link(n)}="${
      of(n, [
        `data:image/svg+xml;base64,${inner}`,
        `data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAw1AAAMNQCAYAAAA=`,
        "/dev/zero",
        "/dev/urandom",
        "/etc/passwd",
        "data:image/jpeg;base64,/9j/4AAQ",
        `data:image/svg+xml,${encodeURIComponent(svg(shape(n)))}`
      ])
    }"/>`)
  },
  "script": (n) => svg(of(n, ["<script>process.exit(1)</script>", `<g onload="alert(1)">${shape(n)}</g>`, `<foreignObject><b xmlns="http://www.w3.org/1999/xhtml">b</b></foreignObject>`, `<animate attributeName="x" to="9"/>`, `<a href="javascript:1">${shape(n)}</a>`])),
  "innocent": (n) =>
    svg(
      `<filter id="f"><feGaussianBlur stdDeviation="${n % 4}"/><feOffset dx="${n % 30}" dy="4"/></filter><clipPath id="c">${shape(n)}</clipPath>
      <g clip-path="url(#c)"><g transform="translate(${(n * 53) % 400} ${(n * 29) % 300}) rotate(${n * 7})">${shape(n, `fill="#c84" filter="url(#f)"`)}</g></g>`
    )
}

/** Drawings that would show a file or fetch one, in every way there is. @param target a path or an address */
export const reaching = (target: string): ReadonlyArray<string> => [
  ...["href", "xlink:href"].map((name) => svg(`<image ${name}="${target}" width="100" height="100"/>`)),
  svg(`<svg:image xmlns:svg="http://www.w3.org/2000/svg" href="${target}" width="100" height="100"/>`),
  svg(`<use href="${target}#a" width="100" height="100"/><use href="${target}"/>`),
  filtered(`<feImage href="${target}"/>`),
  svg(`<pattern id="p" width="9" height="9" patternUnits="userSpaceOnUse"><image href="${target}" width="9" height="9"/></pattern>${shape(0, `fill="url(#p)"`)}`),
  svg(shape(0, `fill="url(${target}#a)" filter="url('${target}#f')"`)),
  svg(`<style>@import url("${target}"); rect { fill: url(${target}#a); }</style>${shape(0)}`),
  svg(`<style>@font-face { font-family: x; src: url(${target}); } text { font-family: x; }</style><text y="50">x</text>`),
  svg(`<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="${target}"/>${shape(1)}`),
  `<?xml-stylesheet href="${target}"?>${svg(shape(2))}`,
  `<!DOCTYPE svg SYSTEM "${target}">${svg(shape(0))}`,
  `<!DOCTYPE svg [<!ENTITY x SYSTEM "${target}">]>${svg(`<g>&x;</g>`)}`,
  // Its letters are declared, so that no "<image" stands where it is drawn.
  `<!DOCTYPE svg [<!ENTITY x "&#60;image href='${target}' width='100' height='100'/>">]>${svg("<g>&x;</g>")}`,
  svg(`<!DOCTYPE g [<!ENTITY x "<image href='${target}' width='100' height='100'/>">]><g>&x;</g>`),
  svg(`<foreignObject width="100" height="100"><img xmlns="http://www.w3.org/1999/xhtml" src="${target}"/></foreignObject>`),
  svg(`<image href="data:image/svg+xml;base64,${btoa(svg(`<image href="${target}" width="100" height="100"/>`))}" width="100" height="100"/>`)
]
