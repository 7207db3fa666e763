import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Template } from "@huggingface/jinja"
import { Effect } from "effect"
import { openTemplate, strftime } from "../../../src/model/tokenizer/chat-template.ts"
import { tokenizing } from "../../../src/model/tokenizer/limits.ts"
import { openTokenizer } from "../../../src/model/tokenizer/tokenizer.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"

const embedded = path.join(import.meta.dirname, "../../../models/policy")
const scratch = scratchFolder("chat-template")
const messages = [{ role: "user", content: "a pelican" }]

/** The embedded tokenizer with changed files. */
const tokenizerWith = (name: string, template: string, change: (json: { pre_tokenizer: unknown; normalizer: unknown }) => void = () => {}) => {
  const folder = path.join(scratch, name.replaceAll(" ", "-"))
  fs.mkdirSync(folder)
  fs.copyFileSync(path.join(embedded, "tokenizer_config.json"), path.join(folder, "tokenizer_config.json"))
  const json = JSON.parse(fs.readFileSync(path.join(embedded, "tokenizer.json"), "utf8"))
  change(json)
  fs.writeFileSync(path.join(folder, "tokenizer.json"), JSON.stringify(json))
  fs.writeFileSync(path.join(folder, "chat_template.jinja"), template)
  return openTokenizer(folder)
}

const double = (times: number, what: string) => Array.from({ length: times }, () => what).join("")

/** None of these comes to an end, or to an end within memory, where nothing is counted. */
const endless: Readonly<Record<string, string>> = {
  "loops within loops": double(9, "{% for i in range(1000) %}") + "x" + double(9, "{% endfor %}"),
  "a range without end": "{% for i in range(10 ** 15) %}x{% endfor %}",
  "a range whose numbers do not grow": "{{ range(0, 1, 0.00000000000000000001) }}",
  "a macro that calls itself twice": "{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
  "a text that doubles": `{% set ns = namespace(s="x") %}${double(60, "{% set ns.s = ns.s + ns.s %}")}{{ ns.s }}`,
  "a text that doubles by replacement": `{% set ns = namespace(s="xx") %}${double(40, `{% set ns.s = ns.s | replace("x", "xx") %}`)}{{ ns.s }}`,
  "a list that doubles": `{% set ns = namespace(l=[1]) %}${double(60, "{% set ns.l = ns.l + ns.l %}")}{{ ns.l }}`,
  "lists within lists, written out": `{% set ns = namespace(l=[1]) %}${double(60, "{% set ns.l = [ns.l, ns.l] %}")}{{ ns.l | tojson }}`,
  "namespaces within namespaces, written out":
    Array.from({ length: 60 }, (_, i) => `{% set n${i} = namespace(a=1, b=1) %}`).join("") +
    Array.from({ length: 59 }, (_, i) => `{% set n${i}.a = n${i + 1} %}{% set n${i}.b = n${i + 1} %}`).join("") + "{{ n0 | tojson }}",
  "a namespace that holds itself": "{% set n = namespace() %}{% set n.a = n %}{{ n | tojson }}",
  "an indent without end": "{{ messages | tojson(indent=10 ** 9) }}",
  "a long look for a tag": `${" ".repeat(200_000)}x{{ messages }}`,
  "a template without end": "{{ messages }}".repeat(100_000)
}

describe("a chat template of a stranger's", () => {
  for (const [name, template] of Object.entries(endless)) {
    it.effect(`comes to an end: ${name}`, () =>
      Effect.gen(function*() {
        const start = performance.now()
        const { message } = yield* Effect.flip(Effect.flatMap(tokenizerWith(name, template), (tokenizer) =>
          tokenizing(() => tokenizer.chat(messages))))
        assert.match(message, /: the chat template (does not take this text|took longer than \d s|is broken)[^\n]*\.$/)
        assert.isBelow(performance.now() - start, 20_000)
      }))
  }

  it("has what the library gives templates, and renders as it does", () => {
    const template = "{% for n in range(2, 9, 3) %}{{ n }}{% endfor %}{{ range(3) }}{{ range(3, 0, -1) }}{{ True and not False }}{{ None is none }}" +
      "{% set ns = namespace(a=[1]) %}{% set ns.a = ns.a + [messages] %}{{ ns.a | tojson }}{% for m in messages %}{{ m.content | upper }}{{ loop.index }}{% endfor %}"
    assert.strictEqual(openTemplate(template)({ messages }), new Template(template).render({ messages }))
    assert.throws(() => openTemplate("{{ raise_exception('no system role') }}")({ messages }), /no system role/)
  })

  it("writes dates as the library does", () => {
    const format = "%Y-%m-%d %H:%M %b %B %% %q"
    assert.strictEqual(strftime(new Date(), format), new Template(`{{ strftime_now("${format}") }}`).render({}))
  })

  it("may be given long conversations", () => {
    const long = Array.from({ length: 500 }, (_, i) => ({ role: "user", content: "word ".repeat(i) }))
    const template = "{% set ns = namespace(all=messages, out='') %}{% for m in ns.all %}{% if not loop.first and messages[loop.index0 - 1].role == m.role %}-{% endif %}" +
      "{{ '<' + m['role'] + '>' + m.content | trim + ns.all | length | string }}{% endfor %}"
    assert.strictEqual(openTemplate(template)({ messages: long }), new Template(template).render({ messages: long }))
  })
})

describe("a tokenizer of a stranger's", () => {
  const endlessPattern = { type: "Split", pattern: { Regex: "(([a-z])*)*!" }, behavior: "Isolated", invert: false }
  const text = "a".repeat(60)

  it.effect("whose pattern never matches is ended", () =>
    Effect.gen(function*() {
      const tokenizer = yield* tokenizerWith("a pattern", "{{ messages }}", (json) => (json.pre_tokenizer = endlessPattern))
      const { message } = yield* Effect.flip(tokenizing(() => tokenizer.encode(text)))
      assert.match(message, /a-pattern: the tokenizer took longer than 4 s for one text: take another model, or repair it\.$/)
    }))
})
