/** What must not get through, and change nothing. */
import * as fs from "node:fs"
import * as http from "node:http"
import * as net from "node:net"
import * as path from "node:path"
import { Redacted } from "effect"
import { assert, describe, it } from "vitest"
import { served, writeAdapter } from "../support/served.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("hostile-serve")
const open = served(path.join(work, "open"))
const closed = served(path.join(work, "closed"), { key: Redacted.make("a-secret-key"), hosts: undefined, origins: ["http://localhost:5173"], ratePerMinute: 20 })

const messages = [{ role: "user", content: "a pelican" }]
const post = (url: string, body: string | Uint8Array, headers: Record<string, string> = {}) =>
  new Promise<{ status: number; text: string }>((resolve, reject) => {
    const request = http.request(url, { method: "POST", headers: { "content-type": "application/json", ...headers } }, (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (part) => (text += part)).on("end", () => resolve({ status: response.statusCode!, text }))
    })
    request.on("error", reject)
    request.end(body)
  })
const chat = (body: unknown, headers?: Record<string, string>) => post(`${open.url}/v1/chat/completions`, typeof body === "string" ? body : JSON.stringify(body), headers)
const typeOf = ({ text }: { text: string }): string => JSON.parse(text).error.type

describe("a request", () => {
  it("that is no JSON, or not of the API's shape, is refused with what is wrong", async () => {
    const bad: ReadonlyArray<readonly [unknown, RegExp]> = [
      ["{\"messages\":", /valid JSON/],
      ["[]", /cannot be read/],
      [{}, /messages/],
      [{ messages: [] }, /messages/],
      [{ messages, n: 1000 }, /n/],
      [{ messages, temperature: -1 }, /temperature/],
      [{ messages, stop: Array.from({ length: 17 }, () => "a") }, /stop/],
      [{ messages, stop: "a".repeat(300) }, /stop/],
      [{ messages: [{ role: "system", content: "no user" }] }, /No message is the user's/],
      [{ messages: [{ role: "tool", content: "a" }] }, /role/],
      [{ messages, top_logprobs: 21 }, /top_logprobs/],
      [{ messages, tools: [{}] }, /tools is not supported/],
      [{ messages, response_format: { type: "json_object" } }, /response_format is not supported/]
    ]
    for (const [body, said] of bad) {
      const answer = await chat(body)
      assert.strictEqual(answer.status, 400, answer.text)
      assert.match(JSON.parse(answer.text).error.message, said)
      assert.strictEqual(typeOf(answer), "invalid_request_error")
      assert.notInclude(answer.text, work)
    }
    const text = (body: object) => post(`${open.url}/v1/completions`, JSON.stringify(body))
    for (const prompt of [[-1], [1e9], "", [], [[]], ["a", 1]]) assert.strictEqual((await text({ prompt })).status, 400)
    for (const seeds of [[1], [1, 2, 3], [0.5, 1], "1"]) assert.match((await text({ prompt: [5], n: 2, seeds })).text, /seeds/)
    assert.strictEqual((await post(`${open.url}/v1/chat/completions`, "a=1", { "content-type": "application/x-www-form-urlencoded" })).status, 415)
  })

  it("with a huge body is refused before it is read, chunked too", async () => {
    const huge = JSON.stringify({ messages: [{ role: "user", content: "a".repeat(1_000_000) }] })
    assert.strictEqual((await chat(huge)).status, 413)
    assert.strictEqual(typeOf(await chat(huge, { "transfer-encoding": "chunked" })), "request_too_large")
  })

  it("whose text is long for the model is refused before it is tokenized", async () => {
    const from = performance.now()
    const answer = await chat({ messages: [{ role: "user", content: "a".repeat(90_000) }] })
    assert.strictEqual(JSON.parse(answer.text).error.code, "context_length_exceeded")
    assert.isBelow(performance.now() - from, 2000)
  })

  it("under another host's name, or from another page, is refused", async () => {
    for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "[::1", "[::1]"]) {
      const answer = await chat({ messages }, { host })
      assert.include([400, 403], answer.status, host)
    }
    for (const origin of ["http://evil.example", "null", `http://127.0.0.1:${open.port + 1}`, "file://"]) {
      assert.strictEqual(typeOf(await chat({ messages }, { origin })), "permission_error", origin)
    }
    assert.strictEqual((await chat({ messages, max_tokens: 1 }, { origin: open.url })).status, 200)
    assert.strictEqual((await chat({ messages, max_tokens: 1 }, { host: `localhost:${open.port}` })).status, 200)
  })

  it("for a path outside the folder of adapters loads nothing", async () => {
    writeAdapter(path.join(work, "outside"), 3)
    fs.symlinkSync(path.join(work, "outside"), path.join(open.folder, "link"))
    fs.mkdirSync(path.join(open.folder, "empty"))
    const load = (lora_path: string, lora_name = "x") => post(`${open.url}/v1/load_lora_adapter`, JSON.stringify({ lora_name, lora_path }))
    for (const from of ["../../outside", path.join(work, "outside"), "link", "/etc", "..", ".", "a/../../../outside"]) {
      assert.strictEqual(typeOf(await load(from)), "permission_error", from)
    }
    assert.strictEqual((await load("missing")).status, 404)
    assert.strictEqual((await load("empty")).status, 400)
    assert.strictEqual((await load("empty\0")).status, 404)
    for (const name of ["", "a/b", "a b", "../x", "a".repeat(200)]) assert.strictEqual((await load("empty", name)).status, 400, name)
    writeAdapter(path.join(open.folder, "good"), 3)
    assert.strictEqual((await load("good", "embedded")).status, 400)
    const models = await (await fetch(`${open.url}/v1/models`)).json() as { data: Array<{ id: string }> }
    assert.deepStrictEqual(models.data.map(({ id }) => id), ["embedded", "red"])
  })

  it("for what does not exist is told so", async () => {
    assert.strictEqual((await fetch(`${open.url}/v1/nothing`)).status, 404)
    assert.strictEqual((await fetch(`${open.url}/../../etc/passwd`)).status, 404)
    assert.strictEqual((await fetch(`${open.url}/v1/models/..%2F..%2Fetc`)).status, 404)
  })

  it("that stops half way, or never begins, takes no place from others", async () => {
    const sockets = Array.from({ length: 500 }, (_, i) => {
      const socket = net.connect(open.port, "127.0.0.1")
      socket.on("error", () => {})
      if (i % 2 === 0) socket.write("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
      return socket
    })
    assert.strictEqual((await chat({ messages, max_tokens: 1 })).status, 200)
    assert.match(await (await fetch(`${open.url}/metrics`)).text(), /vequinox_completions_open 0/)
    for (const socket of sockets) socket.destroy()
  })
})

describe("a server with a key", () => {
  const ask = (headers: Record<string, string>) => post(`${closed.url}/v1/chat/completions`, JSON.stringify({ messages, max_tokens: 1 }), headers)

  it("answers nobody without it, and shows it to nobody", async () => {
    for (const authorization of [undefined, "", "Bearer", "Bearer a-secret-ke", "Bearer a-secret-key2", "Basic a-secret-key"]) {
      const answer = await ask(authorization === undefined ? {} : { authorization })
      assert.strictEqual(answer.status, 401, authorization)
      assert.notInclude(answer.text, "secret")
    }
    for (const place of ["/v1/models", "/metrics"]) assert.strictEqual((await fetch(closed.url + place)).status, 401)
    assert.strictEqual((await fetch(`${closed.url}/health`)).status, 200)
    assert.strictEqual((await ask({ authorization: "Bearer a-secret-key" })).status, 200)
    assert.strictEqual((await ask({ authorization: "Bearer a-secret-key", origin: "http://localhost:5173", host: "example.org" })).status, 200)
    assert.strictEqual((await ask({ authorization: "Bearer a-secret-key", origin: "http://localhost:5174" })).status, 403)
  })

  it("answers no more requests a minute than it was told", async () => {
    const statuses: Array<number> = []
    for (let i = 0; i < 25; i++) statuses.push((await ask({ authorization: "Bearer a-secret-key" })).status)
    assert.include(statuses, 429)
    assert.isAtMost(statuses.filter((status) => status === 200).length, 20)
  })
})
