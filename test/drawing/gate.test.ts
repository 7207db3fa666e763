import { assert, describe, it } from "@effect/vitest"
import type { RejectReason } from "../../src/domain.ts"
import { extractSvg, gate } from "../../src/drawing/gate.ts"

const svg = (body: string, attributes = `viewBox="0 0 64 64"`) =>
  `<svg xmlns="http://www.w3.org/2000/svg" ${attributes}>${body}</svg>`
const stroke = `viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"`

describe("extractSvg", () => {
  const one = svg(`<circle r="4"/>`)
  const cases: ReadonlyArray<readonly [name: string, text: string, found: string | undefined]> = [
    ["a bare drawing", one, one],
    ["a Markdown fence", "Sure!\n```svg\n" + one + "\n```\nEnjoy.", one],
    ["a declaration and a DOCTYPE before it", `<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "b">]>${one}`, one],
    ["the first of two", one + svg(""), one],
    ["a nested svg", `${svg(one)} tail`, svg(one)],
    ["a nested svg that closes itself", svg("<svg/>"), svg("<svg/>")],
    ["an end tag in a comment", svg("<!-- </svg> -->"), svg("<!-- </svg> -->")],
    ["an end tag in CDATA", svg("<style><![CDATA[</svg>]]></style>"), svg("<style><![CDATA[</svg>]]></style>")],
    ["a > in an attribute", svg(`<g id="a>b</svg>"/>`), svg(`<g id="a>b</svg>"/>`)],
    ["prose that mentions the tag", "An <svg> element: " + one, one],
    ["an empty root", "<svg/>", "<svg/>"],
    ["cut off in the body", one.slice(0, -6), undefined],
    ["cut off in a tag", one.slice(0, 50), undefined],
    ["cut off in a comment", svg("<!-- ").slice(0, -1), undefined],
    ["another element", "<svgs></svgs>", undefined],
    ["nothing", "", undefined]
  ]
  for (const [name, text, found] of cases) it(name, () => assert.strictEqual(extractSvg(text), found))

  it("takes linear time on hostile text", () => {
    const start = performance.now()
    for (const part of ["<svg ", "<svg>", "<svg \"", "<!--", "<svg><![CDATA["]) extractSvg(part.repeat(100_000))
    assert.isBelow(performance.now() - start, 2000)
  })
})

const innocent: Readonly<Record<string, string>> = {
  "a model's circle": svg(`<circle cx="20" cy="40" r="8" fill="none" stroke="black" stroke-width="2"/>`),
  "outline icon": svg(`<path d="M15 4v7h-5l9 9 9-9h-5V4zM3 3l18 18"/><path d="M12 5-.5.5"/>`, stroke),
  "size in pixels and no viewBox": svg(`<rect width="10" height="10"/>`, `width="24px" height="24px"`),
  "size in per cent": svg(`<rect width="100%" height="50%"/>`, `width="100%" height="100%" viewBox="0 0 10 10"`),
  "compact arcs": svg(`<path d="M12 2a10 10 0 1 0 10 10A10 10 0 0012 2zm-1 15l-4-4 1.4-1.4"/>`, `viewBox="0 0 24 24"`),
  "colours that look like numbers": svg(`<path fill="#1e8449" d="M0 0h9v9z"/><path style="fill:#9e9999" d="M9 9h9v9z"/>`),
  "a style sheet": svg(`<style>.a{fill:#1e8449;stroke-width:2}</style><rect class="a" width="9" height="9"/>`),
  "a style sheet in CDATA": svg(`<style type="text/css"><![CDATA[ .a { fill: red } ]]></style><rect class="a" width="9" height="9"/>`),
  "a font nobody uses": svg(`<g style="font-family:Banana;fill:red"><rect width="9" height="9"/></g>`),
  gradient: svg(
    `<defs><linearGradient id="a"><stop offset="0%" stop-color="#fff"/><stop offset="1"/></linearGradient>
    <radialGradient id="b" href="#a" cx=".5" cy=".5" r=".5"/></defs><rect width="64" height="64" fill="url(#b)"/>`
  ),
  "gradient by xlink": svg(
    `<linearGradient id="a"/><linearGradient id="b" xlink:href="#a"/><path fill="url('#b')" d="M0 0h9v9z"/>`,
    `xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 64 64"`
  ),
  "clip path": svg(`<clipPath id="c"><circle cx="9" cy="9" r="9"/></clipPath><g clip-path="url(#c)"><rect width="30" height="30"/></g>`),
  "clip path inside what it clips": svg(
    `<g clip-path="url(#c)"><defs><clipPath id="c"><circle r="9"/></clipPath></defs><rect width="30" height="30"/></g>`
  ),
  mask: svg(`<mask id="m"><rect width="64" height="64" fill="#fff"/></mask><circle r="20" mask="url(#m)"/>`),
  pattern: svg(
    `<pattern id="p" width="8" height="8" patternUnits="userSpaceOnUse"><circle cx="4" cy="4" r="2"/></pattern>
    <rect width="64" height="64" fill="url(#p)"/>`
  ),
  marker: svg(
    `<marker id="m" markerWidth="4" markerHeight="4" refX="2" refY="2" orient="auto"><path d="M0 0l4 2-4 2z"/></marker>
    <path d="M5 5h40" stroke="#000" marker-end="url(#m)"/>`
  ),
  symbol: svg(`<symbol id="s" viewBox="0 0 8 8"><path d="M0 0h8v8z"/></symbol><use href="#s" width="8" height="8"/><use href="#s" x="20"/>`),
  "blur in a small canvas that is shown large": svg(
    `<filter id="f" x="-50%" y="-50%" width="200%" height="200%"><feGaussianBlur stdDeviation="2"/></filter>
    <circle cx="12" cy="12" r="5" filter="url(#f)"/>`,
    `width="800" height="800" viewBox="0 0 24 24"`
  ),
  "drop shadow": svg(`<filter id="f"><feDropShadow dx="1" dy="1" stdDeviation="1"/></filter><rect x="9" width="9" height="9" filter="url(#f)"/>`),
  transforms: svg(`<g transform="translate(32 32) rotate(-45) scale(1.5,-.5)"><ellipse rx="9" ry="5" transform="matrix(1 0 0 1 2 3)"/></g>`),
  dashes: svg(`<path d="M0 9h60" stroke="#000" stroke-dasharray="4 2"/><path d="M0 20h60" stroke="#000" stroke-dasharray="none"/>`),
  "solid dashes": svg(`<path d="M0 9h60" stroke="#000" stroke-dasharray="0"/>`),
  "title, description and comment": svg(`<!-- a cat --><title>Cat</title><desc>A cat.</desc><circle r="9"/>`),
  "notes of Inkscape": svg(
    `<sodipodi:namedview id="v" showgrid="false"/><metadata><rdf:RDF><rdf:li>x</rdf:li></rdf:RDF></metadata>
    <path inkscape:label="body" d="M0 0h9v9z"/>`,
    `xmlns:sodipodi="http://sodipodi.sourceforge.net/DTD/sodipodi-0.dtd" viewBox="0 0 9 9"
    xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"`
  ),
  "polygon and polyline": svg(`<polygon points="5,5 10,10 5,10"/><polyline points="1 2 3 4 5 6"/><line x1="1" x2="9"/>`),
  "an icon's hints": svg(`<path d="M0 0h24v24H0z" fill="none" stroke="none"/><path d="M5 5h9"/>`, `class="icon" role="img" aria-hidden="true" ${stroke}`),
  "300 circles": svg(Array.from({ length: 300 }, (_, i) => `<circle cx="${i % 20}" cy="${i}e-1" r="1"/>`).join(""))
}

const link = (element: string) => (n: number) =>
  Array.from({ length: n }, (_, i) => `<${element} id="l${i}"><g ${element}="url(#l${i + 1})"><rect width="9" height="9" ${element}="url(#l${i + 1})"/></g></${element}>`).join("")

const refused: ReadonlyArray<readonly [name: string, drawing: string, reason: RejectReason]> = [
  ["too many bytes", svg(`<!--${"x".repeat(40_000)}-->`), "too-large"],
  ["too many elements", svg("<g/>".repeat(1600)), "too-large"],
  ["too deep", svg("<g>".repeat(50) + "</g>".repeat(50)), "too-large"],
  ["too many attributes", svg(`<g ${Array.from({ length: 70 }, (_, i) => `a${i}=""`).join(" ")}/>`), "too-large"],
  ["a path of 7000 segments", svg(`<path d="M0 0${"h1".repeat(7000)}"/>`), "too-large"],
  ["30 filter steps", svg(`<filter id="f">${"<feFlood/>".repeat(30)}</filter>`), "too-large"],
  ["an open element", svg("<g>"), "malformed"],
  ["an attribute twice", svg(`<g id="a" id="b"/>`), "malformed"],
  ["an unknown entity", svg("<desc>&lol;</desc>"), "malformed"],
  ["an unbound prefix", svg(`<use xlink:href="#a"/>`), "malformed"],
  ["no namespace", `<svg viewBox="0 0 9 9"/>`, "not-svg"],
  ["another root", `<html xmlns="http://www.w3.org/1999/xhtml"/>`, "not-svg"],
  ["a document type", `<!DOCTYPE svg>${svg("")}`, "forbidden"],
  ["billion laughs", `<!DOCTYPE svg [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;">]>${svg("<desc>&b;</desc>")}`, "forbidden"],
  ["a processing instruction", `${svg("")}<?xml-stylesheet href="a.css"?>`, "forbidden"],
  ["script", svg("<script>alert(1)</script>"), "forbidden"],
  ["an event handler", svg(`<circle r="9" onclick="a()"/>`), "forbidden"],
  ["foreignObject", svg("<foreignObject/>"), "forbidden"],
  ["an image file", svg(`<image href="secret.png" width="9" height="9"/>`), "forbidden"],
  ["a data URI image", svg(`<image href="data:image/png;base64,AAAA"/>`), "forbidden"],
  ["feImage", svg(`<filter id="f"><feImage href="#a"/></filter>`), "forbidden"],
  ["turbulence", svg(`<filter id="f"><feTurbulence numOctaves="2147483647"/></filter>`), "forbidden"],
  ["animation", svg(`<animate attributeName="x"/>`), "forbidden"],
  ["another file", svg(`<use href="other.svg#a"/>`), "forbidden"],
  ["another file by another prefix", svg(`<use q:href="/a.svg#a"/>`, `xmlns:q="http://www.w3.org/1999/xlink" viewBox="0 0 9 9"`), "forbidden"],
  ["url() of another file", svg(`<rect width="9" height="9" fill="url(http://a.example/b#c)"/>`), "forbidden"],
  ["url() of another file in a style", svg(`<rect width="9" height="9" style="fill: URL( 'a.svg#b' )"/>`), "forbidden"],
  ["an import", svg(`<style>@import "a.css";</style>`), "forbidden"],
  ["a filter function", svg(`<rect width="9" height="9" style="filter:blur(999px)"/>`), "forbidden"],
  ["a filter in a style sheet", svg(`<style>rect{filter:blur(9px)}</style>`), "forbidden"],
  ["an escape in a style", svg(`<rect style="f\\69lter:blur(9px)"/>`), "forbidden"],
  ["another namespace", svg(`<x:a xmlns:x="urn:x"/>`), "forbidden"],
  ["text", svg("<text>cat</text>"), "text"],
  ["text in the description", svg("<desc><text>cat</text></desc>"), "text"],
  ["text within an editor's notes", svg(`<i:a xmlns:i="http://www.inkscape.org/namespaces/inkscape"><text>cat</text></i:a>`), "text"],
  ["text after a comment", svg(`<!-- <g> --><g><tspan>cat</tspan></g>`), "text"],
  ["an endless number", svg(`<rect x="1e999" width="9" height="9"/>`), "bad-number"],
  ["a huge number", svg(`<path d="M0 0 H1e6"/>`), "bad-number"],
  ["NaN", svg(`<rect x="NaN" width="9" height="9"/>`), "bad-number"],
  ["a huge number in a style", svg(`<path d="M0 0h9" style="stroke-width:1e9"/>`), "bad-number"],
  ["a wide line", svg(`<path d="M0 0h9" stroke-width="20000"/>`), "bad-number"],
  ["a tall canvas", svg("", `viewBox="0 0 1 1000"`), "bad-number"],
  ["a tall canvas, half by height", svg("", `height="1000" viewBox="0 0 10 10"`), "bad-number"],
  ["no area", svg("", `viewBox="0 0 0 10"`), "bad-number"],
  ["fine dashes", svg(`<path d="M0 0h99" stroke-dasharray=".001"/>`), "bad-number"],
  ["fine dashes in a style", svg(`<path d="M0 0h99" style="stroke-dasharray:.001,.001"/>`), "bad-number"],
  ["a wide blur", svg(`<filter id="f"><feGaussianBlur stdDeviation="500"/></filter>`), "bad-number"],
  [
    "a filtered element off the canvas",
    svg(`<filter id="f"><feGaussianBlur stdDeviation="1"/></filter><g transform='translate(900 0)'><circle r="9" filter="url(#f)"/></g>`),
    "bad-number"
  ],
  ["use of itself", svg(`<g id="a"><use href="#a"/></g>`), "cycle"],
  ["a mask of itself", svg(`<mask id="m"><rect width="9" height="9" mask="url(#m)"/></mask>`), "cycle"],
  [
    "two patterns of each other",
    svg(`<pattern id="p"><rect fill="url(#q)"/></pattern><pattern id="q"><rect fill="url(#p)"/></pattern><rect fill="url(#p)"/>`),
    "cycle"
  ],
  [
    "a use bomb",
    svg(`<g id="u0"/>${Array.from({ length: 16 }, (_, i) => `<g id="u${i + 1}"><use href="#u${i}"/><use href="#u${i}"/></g>`).join("")}`),
    "cycle"
  ],
  ["a mask bomb", svg(link("mask")(14)), "cycle"],
  ["a clip-path bomb", svg(link("clip-path")(14).replaceAll("<clip-path", "<clipPath").replaceAll("</clip-path", "</clipPath")), "cycle"]
]

describe("gate: innocent drawings pass", () => {
  for (const [name, drawing] of Object.entries(innocent)) {
    it(name, () => assert.deepStrictEqual(gate(drawing), { ok: true }))
  }
  it("text, where the prompt asks for it", () =>
    assert.deepStrictEqual(gate(svg(`<text x="5" y="9" font-size="8">a<tspan>b</tspan></text>`), { allowText: true }), { ok: true }))
})

describe("gate: what it refuses, and why", () => {
  for (const [name, drawing, reason] of refused) {
    it(name, () => {
      const result = gate(drawing)
      assert.strictEqual(result.ok ? "passed" : `${result.reason}`, reason, JSON.stringify(result))
    })
  }
  it("every prefix of a drawing gets an answer", () => {
    const whole = innocent["notes of Inkscape"]!
    for (let i = 0; i < whole.length; i++) assert.isFalse(gate(whole.slice(0, i)).ok)
  })
})
