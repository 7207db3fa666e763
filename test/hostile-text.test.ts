/**
 * Whatever strangers wrote (a model, a file, a server), reading it takes time in proportion to its length. Each reader is a
 * row: it is given families of hostile texts of length n and 8 n. A quadratic reader takes 64 times as long for the second.
 */
import { assert, describe, it } from "@effect/vitest"
import { asksForText, promptOf } from "../src/prompts.ts"
import { extractSvg, gate } from "../src/drawing/gate.ts"
import { TimeLimitPassed, within } from "../src/system/time-limit.ts"
import { jsonIn } from "../layers/guide/json-in.ts"

interface Reader {
  /** Reads the text, and may refuse it: throw, or return anything. */
  readonly read: (text: string) => unknown
  /** What is repeated, beside `pieces`. */
  readonly pieces?: ReadonlyArray<string>
  /** What stands around the repeated piece. Default: nothing. */
  readonly around?: ReadonlyArray<readonly [before: string, after: string]>
  /** Length of the shorter text. Default 4,000: eight times that is the longest drawing that is read. */
  readonly length?: number
}

const svg = (before: string, after: string) =>
  [`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">${before}`, `${after}</svg>`] as const

/** Repeated to make a hostile text. */
const pieces = [
  ..." \t\n\r\"'`<>&;:,.()[]{}/\\-=!?%#@|0aé“”",
  "\r\n", "\\\"", "\"\"", "a ", "a:", "a: ", ": ", "a-", "0.", "-.0", "1e", ";a:0", "{a:0}", "{}", "[]", "{\"", "[\"", "{\"a\":", "[[{", ",\"",
  "<a", "</a", "<a ", "<a>", "</a>", "<a/>", "<a b=\"", "a=\"\" ", "<svg", "<svg ", "<svg>", "</svg", "</svg>", "<svg \"", "<svg '",
  "<!--", "<!-- -", "-->", "<![CDATA[", "]]>", "<?", "&a;", "&amp;", "&#0;", "&#x", "<think>", "</think>",
  "url(", "URL( ", "url('", "url(\"", "url(#a", "url('#a'", "url(\"a') ", "url(#a)", "url('#a' ", "filter:", "filter ", "none ", "nan", "infinit"
] as const

const readers: Readonly<Record<string, Reader>> = {
  "extractSvg": { read: extractSvg, around: [["", ""], ["<svg>", ""], ["<svg ", "</svg>"], ["<svg><!--", ""]] },
  "gate": {
    read: (text) => gate(text, { allowText: true }),
    around: [
      ["", ""],
      svg("", ""),
      svg("<title>", "</title>"),
      ...["fill", "style", "filter", "d", "stroke-dasharray", "viewBox"].map((name) => svg(`<path ${name}="`, "\"/>")),
      svg("<path fill='url(", "'/>"),
      svg("<path style='fill:url(", "'/>"),
      svg("<style>a{fill:", "}</style>"),
      svg("<style>", "</style>"),
      svg("<path style='a", "'/>")
    ]
  },
  "asksForText": { read: (text) => asksForText(promptOf(text)), around: [["", ""], ["“", ""], ["\"", ""], [" '", ""]] },
  "jsonIn": { read: jsonIn, around: [["", ""], ["", "}"], ["", "]"], ["{", "}"], ["<think>", ""], ["</think>", ""], ["{\"", "\"}"]] }
}

/** Times as long as for the shorter text, at most: 8 is linear, 64 quadratic. */
const most = 24
/** Milliseconds below which no time counts as longer. */
const floor = 0.5

/** Milliseconds, of the quickest of some tries: whatever else the machine does only adds to them. */
const timeOf = (read: () => unknown, tries: number): number => {
  let least = Infinity
  for (let i = 0; i < tries; i++) {
    const start = performance.now()
    try {
      within(1, read)
    } catch (cause) {
      if (cause instanceof TimeLimitPassed) return Infinity
      // Any other is the reader's, which refuses the text.
    }
    least = Math.min(least, performance.now() - start)
  }
  return least
}

const isLinear = ({ length = 4000, read }: Reader, make: (length: number) => string): boolean => {
  const [short, long] = [make(length), make(8 * length)]
  for (const tries of [1, 3, 10]) {
    const time = timeOf(() => read(long), tries)
    if (time <= most * floor || time < Infinity && time <= most * timeOf(() => read(short), tries)) return true
  }
  return false
}

describe("text of strangers is read in linear time", () => {
  for (const [name, reader] of Object.entries(readers)) {
    it(name, () => {
      const slow: Array<string> = []
      for (const [before, after] of reader.around ?? [["", ""]]) {
        for (const piece of [...pieces, ...reader.pieces ?? []]) {
          const make = (length: number) => before + piece.repeat(Math.max(1, (length - before.length - after.length) / piece.length)) + after
          if (!isLinear(reader, make)) slow.push(JSON.stringify(`${before}${piece}...${after}`))
          if (slow.length === 3) break
        }
        if (slow.length === 3) break
      }
      assert.deepStrictEqual(slow, [])
    })
  }
})
