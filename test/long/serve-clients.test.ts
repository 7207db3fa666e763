/** The clients that people have, against the server: they read what it sends as they read OpenAI's. */
import { execFile } from "node:child_process"
import * as path from "node:path"
import { promisify } from "node:util"
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { generateText, streamText } from "ai"
import OpenAI from "openai"
import { Effect, Exit, Scope } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { startProgram } from "../../layers/onnx/runtime.ts"
import { plain } from "../../src/engine/sampling/sampling.ts"
import { noAdapter } from "../../src/engine/weights/parameters.ts"
import { defaultFormat, promptIds } from "../../src/model/tokenizer/tokenizer.ts"
import { completionSeed } from "../../src/stages/Completions.ts"
import { checkpoint, tokenizer } from "../support/embedded-policy.ts"
import { lora, served, trained, writeAdapter } from "../support/served.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("serve")
const server = served(work)
const messages = [{ role: "user" as const, content: "a pelican" }]

/** Samplers without and with an adapter, each a thread of its own. */
const scope = Scope.makeUnsafe()
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
const sampler = (adapted: boolean) =>
  Effect.runSync(Scope.provide(startProgram("sampler", {
    checkpoint, lora: adapted ? lora : noAdapter, maxLength: 256, maxNumSeqs: 4, tokenTexts: tokenizer.tokenTexts, device: "cpu", threads: 1
  }), scope))
const samplers = { plain: sampler(false), adapted: sampler(true) }

/** What the sampler draws alone. */
const alone = async (adapter: number | undefined, seed: number, n: number, changes = {}) => {
  const [group] = await Effect.runPromise(samplers[adapter === undefined ? "plain" : "adapted"].sample({
    prompts: [{ ids: promptIds(tokenizer, defaultFormat, "a pelican"), seeds: Array.from({ length: n }, (_, i) => completionSeed(seed, i)) }],
    parameters: adapter === undefined ? new Map() : trained(adapter),
    options: { ...plain, ...changes }, maxNewTokens: 200, stop: "</svg>", eosIds: tokenizer.eosIds
  }))
  return group!
}
const drawing = (ids: ReadonlyArray<number>) => defaultFormat.prefill + tokenizer.decode(ids)

describe("openai, the npm package", () => {
  let client: OpenAI
  beforeAll(() => void (client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 })))

  it("lists models", async () => {
    const all = await client.models.list()
    assert.deepStrictEqual(all.data.map(({ id }) => id), ["embedded", "red"])
    assert.strictEqual((await client.models.retrieve("embedded:red")).id, "red")
  })

  it("gets what the sampler draws from the same seed, n times, whole", async () => {
    const { choices, usage } = await client.chat.completions.create({ model: "embedded", messages, seed: 5, n: 3 })
    const wanted = await alone(undefined, 5, 3)
    assert.deepStrictEqual(choices.map(({ message }) => message.content), wanted.map(({ ids }) => drawing(ids)))
    assert.strictEqual(usage!.completion_tokens, wanted.reduce((sum, { ids }) => sum + ids.length, 0))
    assert.strictEqual(usage!.prompt_tokens, promptIds(tokenizer, defaultFormat, "a pelican").length)
    assert.isTrue(choices.every(({ finish_reason }) => finish_reason === "stop"))
  })

  it("gets the same in a stream, with what it used", async () => {
    const stream = await client.chat.completions.create({
      model: "red", messages, seed: 9, n: 2, temperature: 0.5, stream: true, stream_options: { include_usage: true }
    })
    const texts = ["", ""]
    const roles = new Set<string>()
    let used = 0
    let ends = 0
    for await (const { choices, usage } of stream) {
      if (usage) used = usage.completion_tokens
      for (const { delta, finish_reason, index } of choices) {
        texts[index] += delta.content ?? ""
        if (delta.role !== undefined) roles.add(`${index} ${delta.role}`)
        if (finish_reason !== null) ends++
      }
    }
    const wanted = await alone(1, 9, 2, { temperature: 0.5 })
    assert.deepStrictEqual(texts, wanted.map(({ ids }) => drawing(ids)))
    assert.strictEqual(used, wanted.reduce((sum, { ids }) => sum + ids.length, 0))
    assert.deepStrictEqual([...roles], ["0 assistant", "1 assistant"])
    assert.strictEqual(ends, 2)
  })

  it("gets log-probabilities: the sampler's, and the likeliest five", async () => {
    const { choices } = await client.chat.completions.create({ model: "embedded", messages, seed: 5, logprobs: true, top_logprobs: 5, max_tokens: 12 })
    const [wanted] = await alone(undefined, 5, 1)
    const content = choices[0]!.logprobs!.content!
    assert.strictEqual(content.length, 12)
    assert.strictEqual(choices[0]!.finish_reason, "length")
    content.forEach(({ bytes, logprob, token, top_logprobs }, t) => {
      assert.closeTo(logprob, wanted!.logps[t]!, 1e-4)
      assert.strictEqual(token, tokenizer.tokenTexts[wanted!.ids[t]!])
      assert.strictEqual(Buffer.from(bytes!).toString(), token)
      assert.strictEqual(top_logprobs.length, 5)
    })
  })

  it("ends before its stop text", async () => {
    const whole = (await client.chat.completions.create({ model: "embedded", messages, seed: 5 })).choices[0]!.message.content!
    const { choices } = await client.chat.completions.create({ model: "embedded", messages, seed: 5, stop: ["/>", "nothing"] })
    assert.strictEqual(choices[0]!.message.content, whole.slice(0, whole.indexOf("/>")))
    assert.strictEqual(choices[0]!.finish_reason, "stop")
  })

  it("has the assistant's own words continued, and not told again", async () => {
    const begun = `${defaultFormat.prefill}<circle cx="32" cy="40" r="9" fill="red"/>`
    const { choices } = await client.chat.completions.create({ model: "embedded", messages: [...messages, { role: "assistant", content: begun }], seed: 1, max_tokens: 30 })
    const plain = await client.completions.create({ model: "embedded", prompt: tokenizer.chat(messages) + begun, seed: 1, max_tokens: 30 })
    assert.strictEqual(choices[0]!.message.content, plain.choices[0]!.text)
    assert.isAbove(plain.choices[0]!.text.length, 0)
  })

  it("completes plain text, several prompts, echo and tokens", async () => {
    const prompt = tokenizer.chat(messages) + defaultFormat.prefill
    const { choices } = await client.completions.create({ model: "embedded", prompt: [prompt, prompt], seed: 5, n: 2, max_tokens: 200, echo: true, logprobs: 2 })
    assert.deepStrictEqual(choices.map(({ index }) => index), [0, 1, 2, 3])
    const wanted = await alone(undefined, 5, 4)
    assert.deepStrictEqual(choices.map(({ text }) => text), wanted.map(({ ids }) => prompt + tokenizer.decode(ids)))
    const { text_offset, tokens } = choices[0]!.logprobs!
    tokens!.forEach((token, t) => assert.isTrue(choices[0]!.text.startsWith(token, text_offset![t])))
    const stream = await client.completions.create({ model: "embedded", prompt: tokenizer.encode(prompt), seed: 5, max_tokens: 200, stream: true })
    let text = ""
    for await (const { choices } of stream) text += choices[0]?.text ?? ""
    assert.strictEqual(text, tokenizer.decode(wanted[0]!.ids))
  })

  it("tells tokens by their numbers, draws under given keys, and says how likely each token was after filters", async () => {
    const ids = tokenizer.encode(tokenizer.chat(messages) + defaultFormat.prefill)
    const asked = { model: "embedded", prompt: ids, n: 2, seeds: [11, 12], min_p: 0.2, max_tokens: 200, logprobs: 0, return_token_ids: true, return_processed_logprobs: true }
    type Choice = { readonly text: string; readonly token_ids: ReadonlyArray<number>; readonly prompt_token_ids?: ReadonlyArray<number>; readonly logprobs: { readonly token_logprobs: ReadonlyArray<number>; readonly processed_logprobs: ReadonlyArray<number> } }
    const { choices } = await client.completions.create(asked as never) as unknown as { readonly choices: ReadonlyArray<Choice> }
    for (const { logprobs, prompt_token_ids, text, token_ids } of choices) {
      assert.deepStrictEqual([prompt_token_ids, text], [ids, tokenizer.decode(token_ids)])
      assert.deepStrictEqual([logprobs.token_logprobs.length, logprobs.processed_logprobs.length], [token_ids.length, token_ids.length])
      logprobs.processed_logprobs.forEach((logp, i) => assert.isAtLeast(logp, logprobs.token_logprobs[i]! - 1e-5)) // others were dropped
    }
    const second = await client.completions.create({ ...asked, n: 1, seeds: [12], stream: true } as never) as unknown as AsyncIterable<{ readonly choices: ReadonlyArray<Choice> }>
    const told: Array<number> = []
    for await (const { choices: [choice] } of second) {
      assert.strictEqual(choice?.prompt_token_ids !== undefined, told.length === 0)
      told.push(...choice?.token_ids ?? [])
    }
    assert.deepStrictEqual(told, choices[1]!.token_ids)
  })

  it("is told what is wrong as an error of its own kind", async () => {
    const refused = async (ask: Promise<unknown>) => await ask.then(() => assert.fail("it was answered"), (error: unknown) => error as InstanceType<typeof OpenAI.APIError>)
    const unknown = await refused(client.chat.completions.create({ model: "gpt-5", messages }))
    assert.instanceOf(unknown, OpenAI.NotFoundError)
    assert.strictEqual(unknown.code, "model_not_found")
    assert.include(unknown.message, "this server has embedded, red")
    const bad = await refused(client.chat.completions.create({ model: "red", messages, frequency_penalty: 1 }))
    assert.instanceOf(bad, OpenAI.BadRequestError)
    assert.strictEqual(bad.param, "frequency_penalty")
    const long = await refused(client.chat.completions.create({ model: "red", messages: [{ role: "user", content: "a ".repeat(3000) }] }))
    assert.strictEqual(long.code, "context_length_exceeded")
    const picture = await refused(client.chat.completions.create({
      model: "red", messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:," } }] }]
    }))
    assert.include(picture.message, "reads text alone")
  })

  it("frees its places when it goes away", async () => {
    const open = async () => Number(/^vequinox_completions_open (\d+)/m.exec(await (await fetch(`${server.url}/metrics`)).text())![1])
    const leave = new AbortController()
    const asking = client.chat.completions.create({ model: "embedded", messages, n: 16, stop: [] }, { signal: leave.signal }).catch(() => {})
    while (await open() < 16) await new Promise((resolve) => setTimeout(resolve, 5))
    leave.abort()
    await asking
    const from = performance.now()
    while (await open() > 0) {
      assert.isBelow(performance.now() - from, 10_000)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })
})

describe("@ai-sdk/openai-compatible", () => {
  it("generates and streams the same text", async () => {
    const provider = createOpenAICompatible({ name: "vequinox", baseURL: `${server.url}/v1`, includeUsage: true })
    const asked = { model: provider("red"), prompt: "a pelican", seed: 9, temperature: 0.5, maxRetries: 0 }
    const [wanted] = await alone(1, 9, 1, { temperature: 0.5 })
    const { finishReason, text } = await generateText(asked)
    assert.strictEqual(text, drawing(wanted!.ids))
    assert.strictEqual(finishReason, "stop")
    const { textStream, usage } = streamText(asked)
    let streamed = ""
    for await (const part of textStream) streamed += part
    assert.strictEqual(streamed, text)
    assert.strictEqual((await usage).outputTokens, wanted!.ids.length)
  })
})

describe("curl", () => {
  const curl = async (...args: ReadonlyArray<string>) => (await promisify(execFile)("curl", ["-sS", ...args])).stdout
  const json = ["-H", "content-type: application/json", "-d"]

  it("draws", async () => {
    const answer = JSON.parse(await curl(`${server.url}/v1/chat/completions`, ...json, JSON.stringify({ messages, seed: 5 })))
    const [wanted] = await alone(undefined, 5, 1)
    assert.strictEqual(answer.choices[0].message.content, drawing(wanted!.ids))
  })

  it("loads an adapter of the server's folder, asks for it, and unloads it", async () => {
    const { folder, url } = server
    writeAdapter(path.join(folder, "blue"), 2)
    const load = (body: object) => curl(`${url}/v1/load_lora_adapter`, ...json, JSON.stringify(body))
    assert.strictEqual(await load({ lora_name: "blue", lora_path: "blue" }), "Success: LoRA adapter 'blue' added successfully.")
    assert.include(await load({ lora_name: "blue", lora_path: "blue" }), "An adapter blue is loaded")
    const ask = async () => JSON.parse(await curl(`${url}/v1/chat/completions`, ...json, JSON.stringify({ model: "blue", messages, seed: 3 })))
    const [wanted] = await alone(2, 3, 1)
    assert.strictEqual((await ask()).choices[0].message.content, drawing(wanted!.ids))
    writeAdapter(path.join(folder, "blue"), 1)
    await load({ lora_name: "blue", lora_path: "blue", load_inplace: true })
    const [other] = await alone(1, 3, 1)
    assert.strictEqual((await ask()).choices[0].message.content, drawing(other!.ids))
    assert.include(await curl(`${url}/v1/unload_lora_adapter`, ...json, "{\"lora_name\":\"blue\"}"), "removed successfully")
    assert.strictEqual((await ask()).error.code, "model_not_found")
  })
})
