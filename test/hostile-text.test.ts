/**
 * Whatever strangers wrote (a model, a file, a server), reading it takes time in proportion to its length. Each reader is a
 * row: it is given families of hostile texts of length n and 8 n. A quadratic reader takes 64 times as long for the second.
 * What a library reads, or runs, and no reading bounds (chat templates, tokenizers, patterns of adapters) has a limit of time
 * instead, with tests beside those of its folder.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { decoderConfig } from "../src/model/decoder-config.ts"
import { readRows } from "../src/system/files.ts"
import { retryAfter } from "../src/system/http-failure.ts"
import { isRevision, parseModelId } from "../src/model/hub/model-id.ts"
import { parseHeader } from "../src/engine/weights/safetensors.ts"
import { asksForText, promptOf, readPrompts } from "../src/prompts.ts"
import { readRequirements } from "../layers/guide/requirements.ts"
import { parseCaption } from "../src/scenes/index.ts"
import { complexityOf, drawingOf } from "../src/rows/complexity.ts"
import { promptKey } from "../src/rows/hold-out.ts"
import { readTrainingRows } from "../src/rows/read.ts"
import { readReferences } from "../src/scorers/references.ts"
import { extractSvg, gate } from "../src/drawing/gate.ts"
import { TimeLimitPassed, within } from "../src/system/time-limit.ts"
import { readCritique } from "../src/roles/roles.ts"
import { jsonIn } from "../src/system/json-in.ts"
import { scratchFolder } from "./support/scratch-folder.ts"

interface Reader {
  /** Reads the text, and may refuse it: throw, or return anything. */
  readonly read: (text: string) => unknown
  /** What is repeated, beside `pieces`. */
  readonly pieces?: ReadonlyArray<string>
  /** What stands around the repeated piece. Default: nothing. */
  readonly around?: ReadonlyArray<readonly [before: string, after: string]>
  /** Length of the shorter text. Default 2,000: eight times that is no longer than the longest drawing that is read. */
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

const scratch = scratchFolder("hostile-text")

/** Reads the text from a file. */
const file = (name: string, read: (file: string) => Effect.Effect<unknown, unknown>) => (text: string) => {
  const at = path.join(scratch, name)
  fs.writeFileSync(at, text)
  return Effect.runSync(Effect.exit(read(at)))
}

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
  "jsonIn": { read: jsonIn, around: [["", ""], ["", "}"], ["", "]"], ["{", "}"], ["<think>", ""], ["</think>", ""], ["{\"", "\"}"]] },
  "critiques": { read: readCritique, around: [["", ""], ["{\"score\":", "}"], ["{\"score\":1,\"critique\":\"", "\",\"suggestions\":\"\"}"]] },
  "prompts, lines": { read: file("a.txt", (at) => readPrompts(at, 2)) },
  "prompts, CSV": { read: file("a.csv", (at) => readPrompts(at, 2)), around: [["", ""], ["prompt\n", ""], ["prompt,b\n\"", "\""]] },
  "prompts, JSONL": { read: file("a.jsonl", (at) => readPrompts(at, 2)), around: [["", ""], ["{\"prompt\":\"", "\"}"]], pieces: ["{\"prompt\":\"a\"}\n", "{\"conversations\":[{\"value\":\"a\"}]}\n"] },
  "prompts, JSON": { read: file("a.json", (at) => readPrompts(at, 2)), around: [["[", "]"]], pieces: ["\"a\","] },
  "rows": { read: file("rows.jsonl", (at) => readRows(at, Schema.Struct({ a: Schema.Finite }))), pieces: ["{\"a\":0}\n"] },
  "rows to train on": {
    read: file("training.jsonl", (at) => Effect.map(readTrainingRows(at), (rows) => rows.map((row) => [promptKey(row), complexityOf(drawingOf(row), "numbers", () => 0)]))),
    around: [["{\"prompt\":\"", "\",\"completion\":\"\"}"], ["{\"prompt\":\"\",\"completion\":\"\\\"score\\\"", "\"}"], ["[", "]"]],
    pieces: ["{\"instruction\":\"a\",\"output\":\"b\"}\n", "<svg ", "`", "\\nSeen:", "{\\\"", "9."]
  },
  "requirements": { read: file("q.json", readRequirements), around: [["", ""], ["[", "]"]], pieces: ["{\"prompt\":\"a\",\"requirements\":[\"b\"]}\n"] },
  "references": { read: file("references.jsonl", readReferences), around: [["", ""], ["{\"prompt\":\"a\",\"image\":\"", "\"}"]] },
  "captions": { read: parseCaption, around: [["", ""], ["a red ", ""]], pieces: ["a red circle and ", "an "] },
  "safetensors headers": {
    read: (text) => parseHeader(new TextEncoder().encode(text), 1e6),
    around: [["", ""], ["{\"", "\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}"]]
  },
  "config.json": { read: (text) => Effect.runSync(Effect.exit(decoderConfig({ model_type: text, architectures: [text] }))) },
  "models on the Hub": { read: (text) => [parseModelId(text), isRevision(text)], around: [["", ""], ["a/", ""], ["a/b@", ""]] },
  "retry-after": { read: (text) => retryAfter({ get: () => text } as unknown as Headers) }
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

const isLinear = ({ length = 2000, read }: Reader, make: (length: number) => string): boolean => {
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
