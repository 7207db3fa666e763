import { assert, it } from "@effect/vitest"
import { type Answer, decodeAnswers, encodeAnswer } from "../../../layers/renderer/wire.ts"

const flat = new Uint8Array(40 * 40 * 4).fill(255)
const speckled = Uint8Array.from({ length: 30 * 30 * 4 }, (_, i) => (i % 4 === 3 ? 255 : (i * 7919) % 251))
const answers: ReadonlyArray<Answer> = [
  { _tag: "Ready" },
  { _tag: "Pixels", id: 7, rgba: flat },
  { _tag: "Error", id: 8, message: "kein Pfad: «ü»" },
  { _tag: "Pixels", id: 9, rgba: speckled }
]

it("understands its answers wherever the stream is cut", () => {
  const bytes = Buffer.concat(answers.map((answer) => Buffer.from(encodeAnswer(answer))))
  for (const size of [1, 3, 11, 13, 500, bytes.length]) {
    const heard: Array<Answer> = []
    const decode = decodeAnswers((answer) => heard.push(answer))
    for (let at = 0; at < bytes.length; at += size) decode(Buffer.from(bytes.subarray(at, at + size)))
    assert.deepStrictEqual(heard, [...answers], `in pieces of ${size}`)
  }
})

it("sends flat colours as few runs, and refuses pixels one can see through", () => {
  assert.isBelow(encodeAnswer(answers[1]!).length, 60)
  const glass = encodeAnswer({ _tag: "Pixels", id: 1, rgba: new Uint8Array(16) })
  decodeAnswers((answer) => assert.strictEqual(answer._tag, "Error"))(Buffer.from(glass))
})
