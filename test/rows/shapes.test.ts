import { assert, describe, it } from "vitest"
import { kindOf } from "../../src/rows/kind.ts"
import { conversationOf } from "../../src/rows/shapes.ts"
import { correction, critique, direct, drawing, preferences } from "./introsvg.ts"

const user = (content: string) => ({ role: "user", content })
const assistant = (content: string) => ({ role: "assistant", content })
const system = (content: string) => ({ role: "system", content })
const read = (row: unknown) => {
  const { answer, context, images, prompt } = conversationOf(row)
  return { context, answer, ...images.length > 0 && { images }, ...prompt !== undefined && { prompt } }
}

describe("a row is read in the shape that it has", () => {
  const same = { context: [user("a cat")], answer: "<svg/>" }
  const cases: ReadonlyArray<readonly [string, unknown, unknown]> = [
    ["ours", { prompt: "a cat", completion: "<svg/>", other: 1 }, { ...same, prompt: "a cat" }],
    ["TRL's", { prompt: [user("a cat")], completion: [assistant("<svg/>")] }, same],
    ["TRL's, a prompt with a system message", { prompt: [system("Draw"), user("a cat")], completion: [assistant("<svg/>")] }, { ...same, context: [system("Draw"), user("a cat")] }],
    ["OpenAI's", { messages: [user("a cat"), assistant("<svg/>")] }, same],
    ["OpenAI's with parts", { messages: [user("x"), { role: "user", content: [{ type: "text", text: "a " }, { type: "text", text: "cat" }] }, assistant("<svg/>")] }, { ...same, context: [user("x"), user("a cat")] }],
    ["ShareGPT's", { system: "Draw", conversations: [{ from: "human", value: "a cat" }, { from: "gpt", value: "<svg/>" }] }, { ...same, context: [system("Draw"), user("a cat")] }],
    ["Alpaca's", { instruction: "a cat", input: "", output: "<svg/>" }, same],
    ["Alpaca's with input, system and history", { instruction: "draw", input: "a cat", output: "<svg/>", system: "S", history: [["hi", "ho"]] }, {
      answer: "<svg/>",
      context: [system("S"), user("hi"), assistant("ho"), user("draw\na cat")]
    }],
    ["several turns: the last answer counts", { messages: [system("S"), user("a cat"), assistant("one"), user("again"), assistant("two"), user("thanks")] }, {
      context: [system("S"), user("a cat"), assistant("one"), user("again")],
      answer: "two"
    }],
    ["IntroSVG's critique", critique, { context: [user(critique.messages[0]!.content)], answer: critique.messages[1]!.content, images: ["draft_image/7.png"] }]
  ]
  it.each(cases)("%s", (_name, row, expected) => assert.deepStrictEqual<unknown>(read(row), expected))
})

describe("a row that cannot be used is refused in words", () => {
  const cases: ReadonlyArray<readonly [string, unknown, RegExp]> = [
    ["a number", 3, /^it is no object$/],
    ["null", null, /^it is no object$/],
    ["another shape", { text: "a" }, /^it has none of the shapes \{prompt, completion\}/],
    ["IntroSVG's DPO row", preferences, /^it is a row of preferences \(chosen, rejected\), and sft learns from single answers: make it \{prompt, completion\}/],
    ["TRL's DPO row", { prompt: "a", chosen: "b", rejected: "c" }, /^it is a row of preferences/],
    ["no answer", { messages: [user("a")] }, /^it has no answer of an assistant$/],
    ["no question", { messages: [system("a"), assistant("b")] }, /^no message of a user stands before the answer$/],
    ["a role that is unknown", { messages: [{ role: "tool", content: "a" }] }, /^message 1 of messages has the role "tool"/],
    ["a role that is an object's own property", { messages: [{ role: "constructor", content: "a" }] }, /has the role "constructor"/],
    ["a message that is none", { messages: ["a"] }, /^message 1 of messages is no object$/],
    ["content of another kind", { messages: [user("a"), { role: "assistant", content: 3 }] }, /^the content of message 2 of messages is no text$/],
    ["a picture as a part", { messages: [{ role: "user", content: [{ type: "image_url" }] }] }, /has a part that is no text: name pictures in images/],
    ["messages that are no list", { messages: {} }, /^messages is no list$/],
    ["a completion that is no text", { prompt: "a", completion: 1 }, /^completion is no list$/],
    ["a history that is none", { instruction: "a", output: "b", history: [null] }, /^a turn of history is no text$/],
    ["too many characters", { prompt: "a".repeat(1e6), completion: "b" }, /^it has 1000001 characters, and 1000000 are the most$/]
  ]
  it.each(cases)("%s", (_name, row, expected) => assert.throws(() => conversationOf(row), expected))
})

describe("the kind of a row", () => {
  const of = (row: unknown) => kindOf(conversationOf(row))
  it("of IntroSVG's files is known from what they say", () => assert.deepStrictEqual([direct, correction, critique].map(of), ["direct", "correction", "critique"]))
  it("is the one that it names", () => assert.strictEqual(of({ prompt: `a ${drawing}`, completion: "b", kind: "direct" }), "direct"))
  it("that nobody knows is refused", () => assert.throws(() => of({ prompt: "a", completion: "b", kind: "dpo" }), /^its kind is "dpo": direct, correction, critique are known$/))
  it("is a critique in a fence too, and none without a score", () => {
    assert.strictEqual(of({ prompt: "a", completion: "```json\n{\"score\": 3}\n```" }), "critique")
    assert.strictEqual(of({ prompt: "a", completion: "{\"score\": \"high\"}" }), "direct")
    assert.strictEqual(of({ prompt: "a", completion: "{\"critique\": \"x\"}" }), "direct")
  })
  it("is a correction after an earlier answer, and not for a system message that shows how", () => {
    assert.strictEqual(of({ messages: [user("a"), assistant(drawing), user("redder"), assistant(drawing)] }), "correction")
    assert.strictEqual(of({ messages: [system(drawing), user("a"), assistant(drawing)] }), "direct")
  })
})
