/** Eval Protocol's remote rollouts, by what its Python client sent (test/peers) and by what nobody should send. */
import * as fs from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import { zstdDecompressSync } from "node:zlib"
import { Redacted } from "effect"
import { assert, describe, it } from "vitest"
import { type Recorded } from "../peers/recording-proxy.ts"
import { tokenizer } from "../support/embedded-policy.ts"
import { codes, initOf, type Log, metadataOf, rolloutClient, type Status, type Trace } from "../support/rollouts.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { served } from "../support/served.ts"

const work = scratchFolder("rollouts")
const open = served(path.join(work, "open"))
const closed = served(path.join(work, "closed"), { key: Redacted.make("a-secret-key"), hosts: undefined })
const small = served(path.join(work, "small"), {}, { maxNumSeqs: 2, maxWaiting: 2 }, { mostUnderWay: 30, mostKept: 40, mostBytes: 1e9 })
const tight = served(path.join(work, "tight"), {}, {}, { mostUnderWay: 100, mostKept: 100, mostBytes: 30_000 })

const client = rolloutClient(() => open.url)
const chat = async (body: object) => {
  const response = await fetch(`${open.url}/v1/chat/completions`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })
  return (await response.json() as { choices: Array<{ message: { content: string } }> }).choices[0]!.message.content
}
const messages = [{ role: "user", content: "a pelican" }]

describe("what the Python client sent", () => {
  const recorded = JSON.parse(fs.readFileSync(path.resolve(import.meta.dirname, "../peers/eval-protocol.recorded.json"), "utf8")) as ReadonlyArray<Recorded>
  const idOf = ({ body, path: at }: Recorded): string => {
    const { searchParams } = new URL(at, "http://localhost")
    return (body as ReturnType<typeof initOf> | undefined)?.metadata.rollout_id ?? searchParams.get("rollout_id") ?? searchParams.get("tags")!.replace("rollout_id:", "")
  }
  const ask = async ({ body, headers, method, path: at }: Recorded) => {
    const response = await fetch(open.url + at, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    assert.strictEqual(response.status, 200, at)
    return await response.json() as unknown
  }
  const rollouts = Object.values(Object.groupBy(recorded, idOf)).map((all) => {
    const at = (prefix: string) => all!.find(({ path }) => path.startsWith(prefix))
    return { init: at("/init")!, status: at("/v1/status?")!, logs: at("/logs?")!, traces: at("/v1/traces/pointwise?") }
  })

  it("has rollouts that were drawn, and some that were refused", () => {
    assert.isAtLeast(rollouts.filter(({ traces }) => traces !== undefined).length, 8)
    assert.isAtLeast(rollouts.filter(({ traces }) => traces === undefined).length, 3)
  })

  it("is answered with what it reads: a status, the log that has the same, and a message more than was sent", async () => {
    await Promise.all(rollouts.map(async ({ init, logs, status, traces }) => {
      assert.include(await ask(init) as object, { status: "accepted", rollout_id: idOf(init) })
      let now: Status
      do {
        now = (await ask(status) as { status: Status }).status
        await new Promise((resolve) => setTimeout(resolve, 20))
      } while (now.code === codes.running)
      const entry = (await ask(logs) as { entries: ReadonlyArray<Log> }).entries.find(({ status: { code } }) => code === now.code)!
      assert.deepStrictEqual(entry.status, now)
      if (traces === undefined) return assert.strictEqual(now.code, codes.invalidArgument)
      assert.strictEqual(now.code, codes.finished)
      const sent = (init.body as { messages: ReadonlyArray<{ role: string; content: unknown }> }).messages
      const [trace, ...more] = (await ask(traces) as { traces: ReadonlyArray<Trace> }).traces
      assert.deepStrictEqual(more, [])
      assert.deepStrictEqual(trace!.input.messages.map(({ content, role }) => ({ content, role })), sent.map(({ content, role }) => ({ content, role })))
      assert.strictEqual(trace!.output.role, "assistant")
      assert.match(trace!.output.content, /^<svg /)
      assert.includeMembers([...trace!.tags], Object.entries(metadataOf("", (init.body as ReturnType<typeof initOf>).metadata)).map(([name, id]) => `${name}:${id}`))
    }))
  })
})

describe("a rollout", () => {
  it("is answered before it is drawn, and draws what a chat draws", async () => {
    const params = { model: "embedded:red", temperature: 0.7, top_p: 0.95, max_tokens: 90, seed: 1, repetition_penalty: 1.1 }
    const response = await client.init(initOf("same", { completion_params: params }))
    assert.deepStrictEqual(await response.json(), { status: "accepted", rollout_id: "same", message: "The rollout has begun: ask for its status." })
    assert.strictEqual((await client.status("same")).code, codes.running)
    assert.deepStrictEqual(await client.traces("same"), [])
    assert.strictEqual((await client.ended("same")).code, codes.finished)
    const [trace] = await client.traces("same")
    assert.strictEqual(trace!.output.content, await chat({ ...params, messages }))
    assert.notStrictEqual(trace!.output.content, await chat({ ...params, model: "embedded", messages }))
  })

  it("says why it ended and what it used", async () => {
    await client.rollout(initOf("short", { completion_params: { model: "embedded", max_tokens: 5 } }))
    const entry = (await client.logs("short")).at(-1)!
    assert.deepInclude(entry.extras, { model: "embedded", finish_reason: "length", completion_tokens: 5 })
    assert.deepInclude(entry.status, {
      details: [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", domain: "evalprotocol.io", reason: "TERMINATION_REASON", metadata: { termination_reason: "length" } }]
    })
  })

  it("has the log-probabilities and tokens of the chat's, where they are asked for", async () => {
    await client.rollout(initOf("tokens"))
    assert.notProperty((await client.traces("tokens"))[0], "payloads")
    const { output, payloads } = (await client.traces("tokens", "&include_payloads=True"))[0]!
    const raw = zstdDecompressSync(Buffer.from(payloads!.logprobs.data, "base64"))
    assert.strictEqual(raw.toString("latin1", 0, 4), "LP01")
    const count = raw.readUInt32LE(8)
    assert.strictEqual(raw.length, 24 + 8 * count)
    const ids = Array.from({ length: count }, (_, i) => raw.readInt32LE(24 + 8 * i))
    assert.strictEqual(output.content.slice(-tokenizer.decode(ids).length), tokenizer.decode(ids))
    const prompt = JSON.parse(zstdDecompressSync(Buffer.from(payloads!.prompt_token_ids.data, "base64")).toString()) as Array<number>
    assert.include(tokenizer.decode(prompt), "a pelican")
    const whole = await (await fetch(`${open.url}/v1/completions`, {
      method: "POST", headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "embedded", prompt, seed: 1, temperature: 0.5, logprobs: 0 })
    })).json() as { choices: Array<{ logprobs: { token_logprobs: Array<number> } }> }
    const logps = Array.from({ length: count }, (_, i) => raw.readFloatLE(24 + 8 * i + 4))
    whole.choices[0]!.logprobs.token_logprobs.forEach((logp, i) => assert.closeTo(logps[i]!, logp, 1e-4))
  })

  it("is found by any of its tags, flat under /v1/traces, and under the paths of older and newer servers", async () => {
    await client.rollout(initOf("tagged", { metadata: metadataOf("tagged", { run_id: "one-run", row_id: "a/b:c?d" }) }))
    await client.rollout(initOf("tagged too", { metadata: metadataOf("tagged too", { run_id: "one-run" }) }))
    const get = async (at: string) => await (await fetch(open.url + at)).json() as any
    assert.strictEqual((await get("/v1/traces/pointwise?tags=run_id:one-run")).traces.length, 2)
    assert.strictEqual((await get("/v1/traces/pointwise?tags=run_id:one-run&limit=1")).traces.length, 1)
    assert.strictEqual((await get(`/v1/traces/pointwise?tags=run_id:one-run&tags=${encodeURIComponent("row_id:a/b:c?d")}`)).traces[0].input.messages[0].content, "a pelican")
    assert.deepStrictEqual((await get("/v1/traces/pointwise?tags=rollout_id:tagged&tags=run_id:another")).traces, [])
    const { traces: [flat] } = await get("/v1/traces?rollout_id=tagged")
    assert.strictEqual(flat.Output.content, (await client.traces("tagged"))[0]!.output.content)
    assert.include(flat.Tags, "run_id:one-run")
    assert.deepStrictEqual(await get("/status?rollout_id=tagged"), await get("/v1/status?rollout_id=tagged"))
    assert.deepStrictEqual(await get("/v1/logs?tags=rollout_id:tagged"), await get("/logs?tags=rollout_id:tagged"))
  })

  it("that was asked for what cannot be had fails with a sentence, and a code that says whether to try again", async () => {
    const picture = [{ type: "text", text: "like this:" }, { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } }]
    const wrong: ReadonlyArray<readonly [object, number, RegExp]> = [
      [{ completion_params: { model: "gpt-5" } }, codes.notFound, /no model "gpt-5": this server has embedded, red/],
      [{ completion_params: { model: "fireworks_ai/accounts/fireworks/models/x" } }, codes.notFound, /no model/],
      [{ completion_params: { frequency_penalty: 1 } }, codes.invalidArgument, /frequency_penalty is not supported here/],
      [{ completion_params: { response_format: { type: "json_object" } } }, codes.invalidArgument, /response_format is not supported/],
      [{ completion_params: { temperature: "hot" } }, codes.invalidArgument, /temperature/],
      [{ completion_params: { extra_body: { top_k: "all" } } }, codes.invalidArgument, /top_k/],
      [{ completion_params: { max_tokens: 0 } }, codes.invalidArgument, /max_tokens/],
      [{ completion_params: { n: 2 } }, codes.invalidArgument, /a rollout is one drawing/],
      [{ tools: [{ type: "function" }] }, codes.invalidArgument, /tools is not supported/],
      [{ messages: [{ role: "user", content: picture }] }, codes.invalidArgument, /a part of type "image_url": this model reads text alone/],
      [{ messages: [{ role: "tool", content: "42" }] }, codes.invalidArgument, /role/],
      [{ messages: [] }, codes.invalidArgument, /messages/],
      [{ messages: null }, codes.invalidArgument, /messages/],
      [{ messages: [{ role: "user", content: "a ".repeat(3000) }] }, codes.invalidArgument, /tokens/]
    ]
    for (const [n, [more, code, said]] of wrong.entries()) {
      const status = await client.rollout(initOf(`wrong-${n}`, more))
      assert.strictEqual(status.code, code, JSON.stringify(more))
      assert.match(status.message, said)
      assert.deepStrictEqual(await client.traces(`wrong-${n}`), [])
    }
  })

  it("reads the text of parts, and no address: its model is the server's", async () => {
    await client.rollout(initOf("parts", {
      messages: [{ role: "user", content: [{ type: "text", text: "a " }, { type: "text", text: "pelican" }] }],
      completion_params: { model: "openai/embedded", temperature: 0.5, seed: 1, base_url: "http://127.0.0.1:9/v1", stream: true, reasoning_effort: "high" },
      model_base_url: "http://127.0.0.1:9/rollout_id/../../../../etc/passwd/run_id/%2e%2e%2f"
    }))
    await client.rollout(initOf("whole"))
    const [parts] = await client.traces("parts")
    assert.strictEqual(parts!.output.content, (await client.traces("whole"))[0]!.output.content)
    assert.deepStrictEqual(parts!.input.messages[0]!.content, [{ type: "text", text: "a " }, { type: "text", text: "pelican" }])
  })

  it("that is sent again under its id is drawn again: the newest counts", async () => {
    await client.rollout(initOf("again", { completion_params: { model: "gpt-5" } }))
    assert.strictEqual((await client.rollout(initOf("again"))).code, codes.finished)
    const [first] = await client.traces("again")
    await Promise.all(Array.from({ length: 8 }, () => client.init(initOf("again"))))
    await client.rollout(initOf("again", { completion_params: { model: "red", temperature: 0.5, seed: 1 } }))
    const traces = await client.traces("again")
    assert.strictEqual(traces.length, 1)
    assert.notStrictEqual(traces[0]!.output.content, first!.output.content)
    assert.deepStrictEqual((await client.logs("again")).map(({ status: { code } }) => code), [codes.running, codes.finished])
  })

  it("that nobody began is unknown, with a status that makes the client begin it", async () => {
    assert.deepInclude(await client.status("nobody's"), { code: codes.notFound, message: "This rollout never began here, or is no longer kept." })
    assert.deepStrictEqual(await client.logs("nobody's"), [])
    assert.deepStrictEqual(await client.traces("nobody's"), [])
  })

  it("is counted", async () => {
    await client.rollout(initOf("counted"))
    assert.match(await (await fetch(`${open.url}/metrics`)).text(), /vequinox_requests_total\{endpoint="rollout",outcome="answered"\} \d+/)
  })
})

describe("many rollouts", () => {
  const few = rolloutClient(() => small.url)

  it("wait for places, leave some to others, and the oldest that have ended are dropped", async () => {
    const waves = [0, 1].map((wave) => Array.from({ length: 30 }, (_, i) => `many-${wave}-${i}`))
    for (const ids of waves) {
      const started = await Promise.all(ids.map((id) => few.init(initOf(id, { completion_params: { max_tokens: 8 } }))))
      assert.isTrue(started.every(({ status }) => status === 200))
      const chat = await fetch(`${small.url}/v1/chat/completions`, {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ messages, max_tokens: 2 })
      })
      assert.strictEqual(chat.status, 200)
      const ends = await Promise.all(ids.map((id) => few.ended(id, 100)))
      assert.isTrue(ends.every(({ code }) => code === codes.finished))
    }
    const now = await Promise.all(waves.map((ids) => Promise.all(ids.map(async (id) => (await few.status(id)).code))))
    assert.deepStrictEqual(now.map((wave) => wave.filter((code) => code === codes.finished).length), [10, 30])
    assert.strictEqual(now[0]!.filter((code) => code === codes.notFound).length, 20)
  })

  const busy = (id: string, more = {}) => initOf(id, { completion_params: { max_tokens: 16 }, ...more })

  it("beyond the limit are refused through their status, so that the client sends them again later", async () => {
    const ids = Array.from({ length: 45 }, (_, i) => `more-${i}`)
    assert.isTrue((await Promise.all(ids.map((id) => few.init(busy(id))))).every(({ status }) => status === 200))
    const refused = (await Promise.all(ids.map((id) => few.status(id)))).filter(({ code }) => code === codes.resourceExhausted)
    assert.isAtLeast(refused.length, 10)
    assert.match(refused[0]!.message, /30 rollouts are under way, and no more can be kept: ask again in a moment/)
    await Promise.all(ids.map((id) => few.ended(id, 300)))
  })

  it("are few where they hold much: it is their bytes that are bounded", async () => {
    const narrow = rolloutClient(() => tight.url)
    const ids = Array.from({ length: 40 }, (_, i) => `held-${i}`)
    for (const id of ids) await narrow.rollout(initOf(id, { completion_params: { max_tokens: 3 } }))
    const kept = (await Promise.all(ids.map((id) => narrow.status(id)))).filter(({ code }) => code === codes.finished)
    assert.isAtLeast(kept.length, 5)
    assert.isAtMost(kept.length, 15) // 30,000 bytes and 2000 each
    assert.strictEqual((await narrow.status("held-39")).code, codes.finished)
    await narrow.init(initOf("large", { messages: [{ role: "system", content: "a".repeat(20_000) }, ...messages] }))
    assert.strictEqual((await narrow.ended("large")).code, codes.resourceExhausted)
  })
})

describe("a body", () => {
  const secret = "sk-of-the-users-own"

  it("that is none is refused at once, in a sentence without the key that it may have", async () => {
    const { metadata } = initOf("x")
    const bad: ReadonlyArray<readonly [unknown, RegExp]> = [
      [`{"api_key":"${secret}", oops`, /JSON/],
      [`["${secret}"`, /JSON/],
      [secret, /JSON/],
      [`{"api_key":${secret}}`, /JSON/],
      [`"${secret}"`, /cannot be read/],
      [[{ api_key: secret }], /cannot be read/],
      [{ api_key: secret }, /metadata/],
      [initOf("x", { metadata: { ...metadata, rollout_id: 5 }, api_key: secret }), /rollout_id/],
      [initOf("x", { metadata: { ...metadata, rollout_id: "" } }), /rollout_id/],
      [initOf("x", { metadata: { ...metadata, row_id: "a".repeat(600) } }), /row_id/],
      [initOf("x", { metadata: { rollout_id: "x" } }), /metadata/],
      [initOf("x", { messages: "a pelican" }), /messages/],
      [initOf("x", { messages: [{ role: "user", content: { api_key: secret } }] }), /content/],
      [initOf("x", { messages: Array.from({ length: 1001 }, () => messages[0]) }), /messages/],
      [initOf("x", { completion_params: [secret] }), /completion_params/],
      [initOf("x", { api_key: { key: secret } }), /api_key/]
    ]
    for (const [body, said] of bad) {
      const response = await client.init(body)
      const text = await response.text()
      assert.strictEqual(response.status, 400, text)
      assert.match(text, said)
      assert.notInclude(text, secret.slice(0, 6))
    }
    assert.strictEqual((await client.status("x")).code, codes.notFound)
    assert.strictEqual((await client.init(initOf("x", { messages: [{ role: "user", content: "a".repeat(200_000) }] }))).status, 413)
  })

  it("nested as deep as it goes stops nothing", async () => {
    const deep = `${"[".repeat(40_000)}${"]".repeat(40_000)}`
    for (const field of ["model_base_url", "tools", "completion_params", "messages", "metadata", "more"]) {
      const body = JSON.stringify(initOf("deep")).replace("{", `{"${field}_":0,"${field}":${deep},`)
      assert.isBelow((await client.init(body)).status, 500, field)
      const nested = JSON.stringify(initOf("deep", { [field]: "HERE" })).replace("\"HERE\"", field === "tools" ? deep : `{"deep":${deep}}`)
      assert.isBelow((await client.init(nested)).status, 500, field)
    }
    assert.strictEqual((await client.rollout(initOf("shallow"))).code, codes.finished)
  })

  it("of names that JavaScript knows is data", async () => {
    for (const id of ["__proto__", "constructor", "../../etc/passwd", "a b&c=d#e", "\u0000", "toString"]) {
      assert.strictEqual((await client.rollout(initOf(id, { completion_params: { model: "embedded", max_tokens: 3 } }))).code, codes.finished, id)
      assert.strictEqual((await client.traces(id)).length, 1, id)
    }
  })

  it("leaves no key behind: not in status, logs or traces", async () => {
    await client.rollout(initOf("keyed", { api_key: secret, completion_params: { model: "embedded", api_key: secret, extra_headers: { authorization: secret } } }))
    await client.rollout(initOf("keyed and wrong", { api_key: secret, completion_params: { model: "embedded", api_key: secret, temperature: { secret } } }))
    for (const id of ["keyed", "keyed and wrong"]) {
      assert.notInclude(JSON.stringify([await client.status(id), await client.logs(id), await client.traces(id, "&include_payloads=1")]), secret)
    }
  })

  it("of a query is refused where it says nothing", async () => {
    for (const at of ["/logs", "/v1/traces", "/v1/traces/pointwise", "/v1/status", "/v1/status?rollout_id=", "/logs?tags=a&limit=0", "/logs?tags=a&limit=many", "/logs?tags=a&limit=1001"]) {
      assert.strictEqual((await fetch(open.url + at)).status, 400, at)
    }
    // As they are: fetch would tidy them.
    const raw = (path: string) =>
      new Promise<number>((resolve, reject) =>
        http.get({ host: "127.0.0.1", port: open.port, path }, (response) => (response.resume(), resolve(response.statusCode!))).on("error", reject))
    for (const at of ["/rollout_id/x/run_id/../../init", "/rollout_id/%2e%2e/logs", "/rollout_id/x/run_id/y/v1/status?rollout_id=x", "/v1/traces/pointwise/..%2F..%2Finit", "/v1/../init"]) {
      assert.strictEqual(await raw(at), 404, at)
    }
  })
})

describe("a server with a key", () => {
  const key = "a-secret-key"
  const known = rolloutClient(() => closed.url, { authorization: `Bearer ${key}` })

  it("finds it where the client has a place for it: in the body of /init, else in the header", async () => {
    for (const api_key of [null, "", "a-secret-ke", "another", 5]) {
      const response = await known.init(initOf("mine", { api_key }))
      assert.strictEqual(response.status, 401, String(api_key))
      assert.notInclude(await response.text(), key)
    }
    assert.strictEqual((await known.init("{")).status, 401)
    assert.strictEqual((await known.init([{ api_key: key }])).status, 401)
    assert.strictEqual((await known.status("mine")).code, codes.notFound)
    assert.strictEqual((await known.rollout(initOf("mine", { api_key: key }))).code, codes.finished)
    for (const at of ["/v1/status?rollout_id=mine", "/logs?tags=rollout_id:mine", "/v1/traces?rollout_id=mine", "/v1/traces/pointwise?tags=rollout_id:mine"]) {
      assert.strictEqual((await fetch(closed.url + at)).status, 401)
      assert.strictEqual((await fetch(closed.url + at, { headers: { authorization: "Bearer None" } })).status, 401)
    }
    assert.notInclude(JSON.stringify([await known.logs("mine"), await known.traces("mine", "&include_payloads=1")]), key)
  })

  it("takes it from no other endpoint's body", async () => {
    const response = await fetch(`${closed.url}/v1/chat/completions`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ messages, api_key: key })
    })
    assert.strictEqual(response.status, 401)
    assert.strictEqual((await fetch(`${closed.url}/init`, {
      method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${key}` }, body: JSON.stringify(initOf("by header"))
    })).status, 200)
  })

  it("does not read a huge body to look for it", async () => {
    assert.strictEqual((await known.init(initOf("x", { api_key: key, messages: [{ role: "user", content: "a".repeat(200_000) }] }))).status, 413)
  })
})

it("a page of another origin, and a request under another host's name, begin nothing", async () => {
  const response = await fetch(`${open.url}/init`, {
    method: "POST", headers: { "content-type": "application/json", origin: "http://evil.example" }, body: JSON.stringify(initOf("evil"))
  })
  assert.strictEqual(response.status, 403)
  assert.strictEqual((await client.status("evil")).code, codes.notFound)
})

it("every endpoint is in the page of the API", async () => {
  const { paths } = await (await fetch(`${open.url}/openapi.json`)).json() as { paths: Record<string, Record<string, unknown>> }
  assert.containsSubset(paths, {
    "/init": { post: {} }, "/v1/status": { get: {} }, "/status": { get: {} }, "/logs": { get: {} }, "/v1/logs": { get: {} },
    "/v1/traces": { get: {} }, "/v1/traces/pointwise": { get: {} }, "/v1/evaluate": { post: {} }
  })
})
