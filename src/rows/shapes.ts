/**
 * A training row as it stands in somebody's file. The shape is decided for each row by its keys:
 *
 * - `{prompt, completion, kind?}`: ours; with lists of messages, TRL's conversational rows
 * - `{messages: [{role, content}], images?}`: OpenAI's, LLaMA-Factory's, and IntroSVG's three files for sft
 * - `{conversations: [{from, value}], system?}`: ShareGPT's
 * - `{instruction, input?, output, system?, history?}`: Alpaca's
 *
 * Deviations: messages after the last answer are dropped; of earlier answers none is trained (LLaMA-Factory trains each);
 * rows with tools, video or sound are refused.
 */
import type { Message } from "../model/tokenizer/tokenizer.ts"

export interface Conversation {
  /** What stands before the answer, with a user's message at least. */
  readonly context: ReadonlyArray<Message>
  /** The last answer: what is trained. */
  readonly answer: string
  /** The prompt of a row of ours. It is put into the form that the flags say; messages are taken as they are. */
  readonly prompt: string | undefined
  /** Files, as the row names them. */
  readonly images: ReadonlyArray<string>
  /** As the row names it. */
  readonly kind: unknown
}

/** The message says what is wrong with a row, as the end of a sentence. */
export class RowRefused extends Error {}

const refuse = (why: string): never => {
  throw new RowRefused(why)
}

/** Most characters of a row: a hundred times the longest that any policy here reads. */
const longest = 1e6

type Fields = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value)

const textOf = (value: unknown, name: string): string => typeof value === "string" ? value : refuse(`${name} is no text`)

const listOf = (value: unknown, name: string): ReadonlyArray<unknown> =>
  value === undefined || value === null ? [] : Array.isArray(value) ? value : refuse(`${name} is no list`)

const isTextPart = (part: unknown): part is Fields => isObject(part) && part["type"] === "text"

/** OpenAI's content may be a list of parts. */
const contentOf = (value: unknown, name: string): string => {
  if (!Array.isArray(value)) return textOf(value, name)
  if (!value.every(isTextPart)) return refuse(`${name} has a part that is no text: name pictures in images, and put <image> into the text`)
  return value.map(({ text }) => textOf(text, name)).join("")
}

const roleNames = new Map([
  ["system", "system"],
  ["user", "user"],
  ["human", "user"],
  ["assistant", "assistant"],
  ["gpt", "assistant"]
])

const messagesOf = (value: unknown, name: string): ReadonlyArray<Message> =>
  listOf(value, name).map((message, n) => {
    const at = `message ${n + 1} of ${name}`
    if (!isObject(message)) return refuse(`${at} is no object`)
    const given = textOf(message["role"] ?? message["from"], `the role of ${at}`)
    const role = roleNames.get(given) ?? refuse(`${at} has the role ${JSON.stringify(given.slice(0, 40))}, which sft does not know: system, user or assistant`)
    return { role, content: contentOf(message["content"] ?? message["value"], `the content of ${at}`) }
  })

const systemOf = ({ system }: Fields): ReadonlyArray<Message> =>
  system === undefined || system === null || system === "" ? [] : [{ role: "system", content: textOf(system, "system") }]

const user = (content: string): Message => ({ role: "user", content })
const assistant = (content: string): Message => ({ role: "assistant", content })

const alpaca = (row: Fields): ReadonlyArray<Message> => {
  const history = listOf(row["history"], "history").flatMap((turn) => {
    const [asked, answered] = listOf(turn, "a turn of history")
    return [user(textOf(asked, "a turn of history")), assistant(textOf(answered, "a turn of history"))]
  })
  const parts = [row["instruction"], row["input"] ?? ""].map((part, n) => textOf(part, n === 0 ? "instruction" : "input"))
  return [...systemOf(row), ...history, user(parts.filter((part) => part !== "").join("\n")), assistant(textOf(row["output"], "output"))]
}

const promptAndCompletion = ({ completion, prompt }: Fields): ReadonlyArray<Message> => [
  ...typeof prompt === "string" ? [user(prompt)] : messagesOf(prompt, "prompt"),
  ...typeof completion === "string" ? [assistant(completion)] : messagesOf(completion, "completion")
]

const messagesIn = (row: Fields): ReadonlyArray<Message> => {
  if ("prompt" in row && "completion" in row) return promptAndCompletion(row)
  if ("chosen" in row || "rejected" in row) {
    return refuse("it is a row of preferences (chosen, rejected), and sft learns from single answers: make it {prompt, completion} with the chosen answer as the completion")
  }
  if ("messages" in row) return [...systemOf(row), ...messagesOf(row["messages"], "messages")]
  if ("conversations" in row) return [...systemOf(row), ...messagesOf(row["conversations"], "conversations")]
  if ("instruction" in row && "output" in row) return alpaca(row)
  return refuse("it has none of the shapes {prompt, completion}, {messages}, {conversations} and {instruction, output}")
}

/** Throws `RowRefused`. Time: linear in the row. */
export const conversationOf = (row: unknown): Conversation => {
  if (!isObject(row)) return refuse("it is no object")
  const messages = messagesIn(row)
  const { completion, images, kind, prompt } = row
  const at = messages.findLastIndex(({ role }) => role === "assistant")
  if (at < 0) return refuse("it has no answer of an assistant")
  const context = messages.slice(0, at)
  if (!context.some(({ role }) => role === "user")) return refuse("no message of a user stands before the answer")
  const length = messages.reduce((sum, { content }) => sum + content.length, 0)
  if (length > longest) return refuse(`it has ${length} characters, and ${longest} are the most`)
  return {
    context,
    answer: messages[at]!.content,
    prompt: typeof prompt === "string" && typeof completion === "string" ? prompt : undefined,
    images: (typeof images === "string" ? [images] : listOf(images, "images")).map((image) => textOf(image, "an image")),
    kind
  }
}
