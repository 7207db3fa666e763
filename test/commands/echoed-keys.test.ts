/** A server, or what stands between, gives the key back: it reaches no file, no verdict and no message. */
import * as fs from "node:fs"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { Answers } from "../../layers/guide/answers.ts"
import { jsonIn } from "../../src/system/json-in.ts"
import * as JudgeClaude from "../../layers/judge/claude.ts"
import * as JudgeOpenAI from "../../layers/judge/openai.ts"
import * as judgmentsSqlite from "../../layers/store/judgments.ts"
import * as ledgerSqlite from "../../layers/store/ledger.ts"
import { RunDatabase } from "../../layers/store/run-database.ts"
import { Verdict } from "../../src/domain.ts"
import { makeHub } from "../../src/model/hub/hub.ts"
import { hiding } from "../../src/system/secrets.ts"
import { Judge, type JudgeError } from "../../src/stages/Judge.ts"
import { Judgments } from "../../src/stages/Judgments.ts"
import { startClaudeServer } from "../support/claude-server.ts"
import { type Answer, withEcho } from "../support/echo-proxy.ts"
import { startOpenAIServer } from "../support/openai-server.ts"
import { pair } from "../support/scene-pairs.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("echoed-keys")
let made = 0
const secret = "sk-ant-echo/0123456789abcdef"

const paths = {
  claude: {
    start: startClaudeServer,
    judge: (url: string, apiKey: Redacted.Redacted) =>
      JudgeClaude.layer({ model: "claude-haiku-4-5", price: { input: 1, output: 5 }, apiKey, baseUrl: url, unusableAnswers: 2 })
  },
  batches: {
    start: startClaudeServer,
    judge: (url: string, apiKey: Redacted.Redacted) =>
      JudgeClaude.layer({
        model: "claude-haiku-4-5", price: { input: 1, output: 5 }, apiKey, baseUrl: url, unusableAnswers: 2,
        batch: true, quiet: 0.02, waits: [0.01, 0.05], settled: 0.02, patience: 0.5
      })
  },
  openai: {
    start: startOpenAIServer,
    judge: (url: string, apiKey: Redacted.Redacted) =>
      JudgeOpenAI.layer({ model: "a-vision-model", price: { input: 1, output: 5 }, apiKey, baseUrl: new URL(`${url}/v1`), unusableAnswers: 2 })
  }
} as const
type Path = keyof typeof paths

/** The verdict on a pair as a run stores it, or the sentence that ends the run; and the folder in which all of it is. */
const judged = (by: Path, url: string, key: string) => {
  const folder = path.join(work, String(made++))
  fs.mkdirSync(folder)
  return Effect.gen(function*() {
    const { compare, identity } = yield* Judge
    const { bad, good, prompt } = pair(0)
    const asked = { step: 0, prompt, judge: identity, shown: [[0, good.hash], [1, bad.hash]], bare: false } as const
    const answer = Effect.retry(compare(prompt, good, bad), { while: (error: JudgeError) => error._tag === "JudgeBusy", times: 3 }).pipe(
      Effect.catchTag(["JudgeBusy", "JudgeRefused"], ({ message }) =>
        Effect.succeed(new Verdict({ outcome: "failed", confidence: 0, by: "test", reason: message })))
    )
    const [verdict] = yield* (yield* Judgments).once(asked, Effect.map(answer, (verdict) => [verdict]))
    return { outcome: verdict!.outcome as string, said: verdict!.reason! }
  }).pipe(
    Effect.catchTag("JudgeStopped", ({ message }) => Effect.succeed({ outcome: "stopped", said: message })),
    Effect.provide(Layer.mergeAll(paths[by].judge(url, Redacted.make(key)), judgmentsSqlite.layer).pipe(
      Layer.provide(ledgerSqlite.layer),
      Layer.provide(Answers.layer(path.join(folder, "answers.db"))),
      Layer.provide(RunDatabase.layer({ path: path.join(folder, "run.db") }))
    )),
    Effect.map((end) => ({ ...end, folder }))
  )
}

/** Neither the key nor a good part of it. */
const nowhere = ({ folder, said }: { readonly folder: string; readonly said: string }) => {
  for (const part of [secret.slice(0, 14), secret.slice(-14), encodeURIComponent(secret).slice(-14), "\\u0073k-ant"]) {
    assert.notInclude(said, part)
    for (const name of fs.readdirSync(folder)) {
      assert.isFalse(fs.readFileSync(path.join(folder, name)).includes(part), `${part} in ${name}`)
    }
  }
}

const withServer = <A, E>(by: Path, use: (url: string) => Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    Effect.promise(async () => paths[by].start()),
    ({ url }) => use(new URL(url).origin),
    (server) => Effect.promise(() => server.close())
  )

type Json = Record<string, any>
const escaped = (text: string) => text.replaceAll(secret, [...secret].map((char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""))

/** Changes every answer of the model in a body, whichever form it has. */
const inAnswers = (body: string, change: (answer: Json, message: Json) => string | undefined): string => {
  const changed = (message: Json) => {
    const [block] = message["content"] as [Json]
    block["text"] = change(JSON.parse(block["text"]), message) ?? block["text"]
  }
  return body.split("\n").map((line) => {
    if (line === "") return line
    const json = JSON.parse(line) as Json
    if (json["type"] === "message") changed(json)
    else if (json["result"]?.message !== undefined) changed(json["result"].message)
    else if (json["choices"] !== undefined) {
      const [choice] = json["choices"] as [Json]
      choice["message"].content = change(JSON.parse(choice["message"].content), choice) ?? choice["message"].content
    }
    return JSON.stringify(json)
  }).join("\n")
}

const isAnswer = (url: string) => /\/v1\/messages$|\/results$|\/chat\/completions$/.test(url)
const error = (status: number, message: string) => ({ status, body: JSON.stringify({ type: "error", error: { type: "error", message } }) })
const pieces: Record<string, (key: string, honest: Answer) => Partial<Answer>> = {
  "a 400": (key) => error(400, `the key ${key} is odd`),
  "a 401": (key) => error(401, `no such key: ${key}`),
  "a 404": (key) => error(404, `nothing for ${key}`),
  "a key that a cut would part": (key) => error(400, `${"x".repeat(178)} ${key}`),
  "a key in an address": (key) => error(400, `GET /?key=${encodeURIComponent(key)}`),
  "a 500 of plain text": (key) => ({ status: 500, body: `Oops, ${key}` }),
  "headers": (key, { headers }) => ({ headers: { ...headers, "x-key": key, "request-id": key, "anthropic-ratelimit-requests-limit": key, "x-ratelimit-limit-requests": key } }),
  "a redirect": (key) => ({ status: 302, headers: { location: `http://127.0.0.1:9/?key=${encodeURIComponent(key)}` } }),
  "the answer's words": (key, { body }) => ({
    body: inAnswers(body, (answer) => JSON.stringify({ ...answer, differences: `the key is ${key}, I see`, clean_shapes: { ...answer["clean_shapes"], note: key } }))
  }),
  "the answer's words, escaped": (key, { body }) => ({ body: inAnswers(body, (answer) => escaped(JSON.stringify({ ...answer, differences: key }))) }),
  "a field of the answer": (key, { body }) => ({ body: inAnswers(body, (answer) => JSON.stringify({ ...answer, [key]: key })) }),
  "words around the answer": (key, { body }) => ({ body: inAnswers(body, (answer) => `${key} ${JSON.stringify(answer)}`) }),
  "why the answer ended": (key, { body }) => ({
    body: inAnswers(body, (_, message) => {
      if ("stop_reason" in message) message["stop_reason"] = key
      else message["finish_reason"] = key
      return undefined
    })
  }),
  "fields beside the answer": (key, { body }) => ({
    body: inAnswers(body, (_, message) => {
      Object.assign(message, { id: key, model: key, [key]: key, refusal: null })
      return undefined
    })
  })
}

describe.concurrent("a key that comes back in", () => {
  for (const by of ["claude", "batches", "openai"] as const) {
    for (const [name, piece] of Object.entries(pieces)) {
      it.live(`${name}: ${by}`, () =>
        withServer(by, (server) =>
          withEcho(server, (key, honest, url) => isAnswer(url) ? { ...honest, ...piece(key, honest) } : undefined, (url) =>
            Effect.map(judged(by, url, secret), (end) => {
              nowhere(end)
              if (/^(headers|the answer's|a field|fields)/.test(name)) assert.strictEqual(end.outcome, "A", end.said)
              else if (/^a (400|401|404)|parted/.test(name) && by !== "batches") assert.include(end.said, "…")
            }))), 180_000)
    }
  }

  it.live("the error of a request in a batch, or the name of a batch", () =>
    withServer("batches", (server) =>
      Effect.gen(function*() {
        const errored = (key: string) =>
          JSON.stringify({ type: "errored", error: { type: "error", error: { type: "invalid_request_error", message: `the key ${key} is odd` } } })
        const end = yield* withEcho(server, (key, honest, url) =>
          url.endsWith("/results") ? { ...honest, body: honest.body.replace(/(?<="result":)\{.*\}(?=\}$)/gm, errored(key)) } : undefined, (url) =>
          judged("batches", url, secret))
        assert.match(end.said, /the key … is odd/)
        nowhere(end)
        const named = secret.replace("/", "-")
        const renamed = yield* withEcho(server, (key, honest) => ({ ...honest, body: honest.body.replaceAll(/msgbatch_\d+/g, key) }), (url) =>
          judged("batches", url, named))
        nowhere({ ...renamed, said: renamed.said.replaceAll(named, secret) })
        assert.isFalse(fs.readFileSync(path.join(renamed.folder, "answers.db")).includes(named))
      })), 180_000)
})

describe.concurrent("the Hub's token that comes back in", () => {
  const headers: Record<string, (token: string) => readonly [number, Record<string, string>]> = {
    "a 403": (token) => [403, { "x-error-message": `${token} may not` }],
    "a 401": (token) => [401, { "x-error-message": `Invalid credentials: ${"x".repeat(160)} ${token}` }],
    "a 400": (token) => [400, { "x-error-code": "Odd", "x-error-message": encodeURIComponent(token) }],
    "a redirect": (token) => [302, { location: `http://${token.replace("/", "-")}.localhost:9/` }]
  }
  for (const [name, answer] of Object.entries(headers)) {
    it.live(name, () =>
      Effect.acquireUseRelease(
        Effect.promise(async () => {
          const server = http.createServer((request, response) =>
            response.writeHead(...answer(request.headers.authorization!.replace("Bearer ", ""))).end())
          await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
          return server
        }),
        (server) =>
          Effect.gen(function*() {
            const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
            const token = name === "a redirect" ? secret.replace("/", "-") : secret
            const hub = makeHub({ endpoint, token: Redacted.make(token), cache: work, offline: false, deadline: 5 })
            const { message } = yield* Effect.flip(hub.commitOf({ id: "a/b", revision: "main" }))
            assert.notInclude(message, token.slice(0, 14))
            assert.notInclude(message, token.slice(-14))
          }),
        (server) => Effect.sync(() => (server.close(), server.closeAllConnections()))
      ))
  }
})

describe.concurrent("a key that is also a word breaks no reading", () => {
  for (const by of ["claude", "batches", "openai"] as const) {
    for (const key of ["A", "test", "second", "message", "differences", "semantic_match", "confidence"]) {
      it.live(`${key}: ${by}`, () =>
        withServer(by, (server) => Effect.map(judged(by, server, key), ({ outcome, said }) => assert.strictEqual(outcome, "A", said))))
    }
  }
  it.live("temperature, which a server refuses by name", () =>
    Effect.acquireUseRelease(
      Effect.promise(() => startOpenAIServer({ refuses: ["temperature"] })),
      ({ url }) => Effect.map(judged("openai", new URL(url).origin, "temperature"), ({ outcome, said }) => assert.strictEqual(outcome, "A", said)),
      (server) => Effect.promise(() => server.close())
    ))
})

describe("what a server sends has an end", () => {
  for (const by of ["claude", "openai"] as const) {
    for (const status of [200, 400]) {
      it.live(`a body without end, status ${status}: ${by}`, () =>
        Effect.acquireUseRelease(
          Effect.promise(async () => {
            const server = http.createServer((_, response) => {
              response.on("error", () => {})
              response.writeHead(status, { "content-type": "application/json" })
              const more = () => {
                while (!response.destroyed && response.write(" ".repeat(65_536)));
                response.once("drain", more)
              }
              more()
            })
            await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
            return server
          }),
          (server) =>
            Effect.map(judged(by, `http://127.0.0.1:${(server.address() as AddressInfo).port}`, secret), ({ outcome, said }) => {
              assert.strictEqual(outcome, "failed")
              assert.match(said, /longer than 4000000 bytes|refused the request/)
            }),
          (server) => Effect.sync(() => (server.close(), server.closeAllConnections()))
        ), 180_000)
    }
    it.live(`a long reason is cut, a longer answer is none: ${by}`, () =>
      withServer(by, (server) =>
        Effect.gen(function*() {
          const long = (n: number) => withEcho(server, (_, honest) => ({
            ...honest, body: inAnswers(honest.body, (answer) => JSON.stringify({ ...answer, differences: "\x1b[2J" + "long ".repeat(n) }))
          }), (url) => judged(by, url, secret))
          const { outcome, said } = yield* long(5000)
          assert.strictEqual(outcome, "A")
          assert.strictEqual(said.length, 2000)
          assert.notInclude(said, "\x1b")
          assert.match((yield* long(100_000)).said, /not in the form that was asked for/)
        })), 180_000)
  }

  it("an answer of brackets is read in time", () => {
    assert.strictEqual(jsonIn("[".repeat(500_000) + "]").length, 500_001)
    assert.strictEqual(jsonIn(`Let me see [x] {2}.\n{"a": 1} So it is.`), `{"a": 1}`)
  })
})

it("a key is hidden from eight characters on, whole, and in whatever form", () => {
  const words = () => false
  assert.strictEqual(hiding(Redacted.make("short")).text("short is short"), "short is short")
  assert.strictEqual(hiding(undefined).json(`{"a":1}`, words), `{"a":1}`)
  const { json, text } = hiding(Redacted.make(" a\"b c/d+e "))
  assert.strictEqual(text(`a"b c/d+e, a\\"b c/d+e, a%22b%20c%2Fd%2Be`), "…, …, …")
  assert.strictEqual(json(`{"x": ["a\\u0022b c/d+e"], "n": 1.50}`, words), `{"x":["…"],"n":1.5}`)
  assert.strictEqual(json(`{"x": "y",  "n": 1.50}`, words), `{"x": "y",  "n": 1.50}`)
  assert.strictEqual(json("[".repeat(100_000) + `"a\\"b c/d+e"`, words).slice(-3), `"…"`)
})
