import { assert, it } from "vitest"
import { defaultFormat } from "../../src/model/tokenizer/tokenizer.ts"
import { kindOf } from "../../src/rows/kind.ts"
import { conversationOf } from "../../src/rows/shapes.ts"
import { tokensOf } from "../../src/rows/tokens.ts"
import { tokenizer } from "../support/embedded-policy.ts"
import { critique, drawing } from "./introsvg.ts"

const form = { ...defaultFormat, promptTemplate: "Draw {prompt}" }
const textsOf = (row: unknown, given = form) => {
  const conversation = conversationOf(row)
  const { ids, promptLength } = tokensOf(tokenizer, given, { ...conversation, kind: kindOf(conversation), file: "", where: "" })
  assert.include(tokenizer.eosIds, ids.at(-1))
  return { start: tokenizer.decode(ids.slice(0, promptLength)), rest: tokenizer.decode(ids.slice(promptLength, -1)) }
}
const chat = (...messages: ReadonlyArray<readonly [role: string, content: string]>) => ({ messages: messages.map(([role, content]) => ({ role, content })) })

it("puts a prompt into the form, and takes messages as they are", () => {
  const own = textsOf({ prompt: "a cat", completion: `${form.prefill}<path/></svg>` })
  assert.include(own.start, "Draw a cat")
  assert.isTrue(own.start.endsWith(form.prefill))
  assert.strictEqual(own.rest, "<path/></svg>")
  const messages = textsOf(chat(["user", "a cat"], ["assistant", "<path/></svg>"]))
  assert.notInclude(messages.start, "Draw")
  assert.isTrue(messages.start.endsWith(form.prefill))
  assert.strictEqual(messages.rest, "<path/></svg>")
})

it("begins a critique as critiques begin, and never trains that", () => {
  const row = { messages: [{ role: "user", content: "Seen: red" }, critique.messages[1]] }
  const { rest, start } = textsOf(row)
  assert.isTrue(start.endsWith("{\"score\":"), start)
  assert.strictEqual(start.split("<svg").length, 1)
  assert.strictEqual(rest, " 4.5, \"critique\": \"The field is missing.\", \"suggestions\": \"Add a green rectangle below.\"}")
  const other = textsOf({ prompt: "Seen: red", completion: "{ \"score\": 1 }" })
  assert.isFalse(other.start.includes("score"))
  assert.strictEqual(other.rest, "{ \"score\": 1 }")
})

it("puts the system message of the form before a conversation that has none", () => {
  const given = { ...form, systemPrompt: "Be brief", prefill: "" }
  assert.include(textsOf(chat(["user", "a cat"], ["assistant", drawing]), given).start, "Be brief")
  const own = textsOf(chat(["system", "Be long"], ["user", "a cat"], ["assistant", "one"], ["user", "again"], ["assistant", drawing]), given).start
  assert.notInclude(own, "Be brief")
  assert.match(own, /Be long[\s\S]*a cat[\s\S]*one[\s\S]*again/)
})
