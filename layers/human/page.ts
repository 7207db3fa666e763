/**
 * The judge's page over HTTP, only for this machine: bound to 127.0.0.1, with a token in every path. It answers no
 * request that names another host (a foreign host name that points here) or comes from another page.
 *
 *      GET  /TOKEN/                    the page
 *      GET  /TOKEN/state               server-sent events: {pair: {id, prompt} | null, waiting, answered, undoable}
 *      GET  /TOKEN/pair/ID/left.png    and right.png
 *      POST /TOKEN/choose              {id, choice}: 200, or 409 if that pair no longer waits
 *      POST /TOKEN/undo                200, or 409 if nothing can be taken back
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import type * as http from "node:http"
import type { AddressInfo } from "node:net"
import { Effect, FiberSet, Schema, Stream } from "effect"
import { JudgeStopped } from "../../src/stages/Judge.ts"
import { pngOf } from "../guide/pictures.ts"
import type { Desk, DeskState } from "./desk.ts"
import { contentPolicy, page } from "./page.html.ts"

export interface PageOptions {
  /** 0 takes a free port. */
  readonly port: number
  /** Called once with the address, token included. */
  readonly announce: (url: string) => Effect.Effect<void>
}

/** The state that the page is sent. */
export interface PageState {
  readonly pair: { readonly id: number; readonly prompt: string } | null
  readonly waiting: number
  readonly answered: number
  readonly undoable: boolean
}

const pageState = ({ answered, last, waiting }: DeskState): PageState => ({
  pair: waiting[0] === undefined ? null : { id: waiting[0].id, prompt: waiting[0].prompt },
  waiting: waiting.length,
  answered,
  undoable: last !== undefined
})

const Chosen = Schema.fromJsonString(Schema.Struct({ id: Schema.Int, choice: Schema.Literals(["left", "right", "tie"]) }))

const digest = (text: string) => createHash("sha256").update(text).digest()
/** Compares in constant time, so that timing shows nothing about how much was right. */
const same = (given: string, wanted: string): boolean => timingSafeEqual(digest(given), digest(wanted))

/** More bytes than any answer has. */
const mostBytes = 1000

const bodyOf = (request: http.IncomingMessage): Effect.Effect<string | undefined> =>
  Effect.callback((resume) => {
    let text = ""
    request.setEncoding("utf8")
    request.on("data", (part: string) => {
      text += part
      if (text.length > mostBytes) resume(Effect.undefined)
    })
    request.on("end", () => resume(Effect.succeed(text)))
    request.on("error", () => resume(Effect.undefined))
  })

const headers = {
  "cache-control": "no-store",
  "content-security-policy": `${contentPolicy}; frame-ancestors 'none'`,
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff"
}

/** Serves the desk until the scope ends. */
export const servePage = Effect.fnUntraced(function*(desk: Desk, { announce, port }: PageOptions) {
  const token = randomBytes(16).toString("base64url")
  const html = page()
  const run = yield* FiberSet.makeRuntime<never>()
  const { createServer } = yield* Effect.promise(() => import("node:http")) // no start without a page waits for it

  const handle = Effect.fnUntraced(function*(request: http.IncomingMessage, response: http.ServerResponse) {
    const send = (status: number, type: string, body: string | Uint8Array) =>
      Effect.sync(() => void response.writeHead(status, { ...headers, "content-type": type }).end(body))
    const say = (status: number, text: string) => send(status, "text/plain; charset=utf-8", text)
    const { port } = request.socket.address() as AddressInfo
    const hosts = [`127.0.0.1:${port}`, `localhost:${port}`]
    const { host = "", origin } = request.headers
    if (!hosts.includes(host) || (origin !== undefined && !hosts.includes(origin.replace("http://", "")))) {
      return yield* say(403, "This page is for this machine alone.")
    }
    const [, given = "", ...rest] = (request.url ?? "").split("/")
    if (!same(given, token)) return yield* say(403, "The address lacks its token: take the one that was printed.")
    const route = `${request.method} ${rest.join("/")}`
    if (route === "GET ") return yield* send(200, "text/html; charset=utf-8", html)
    if (route === "GET state") {
      response.writeHead(200, { ...headers, "content-type": "text/event-stream" })
      const closed = Effect.callback<void>((resume) => void response.on("close", () => resume(Effect.void)))
      return yield* desk.changes.pipe(
        Stream.runForEach((state) => Effect.sync(() => void response.write(`data: ${JSON.stringify(pageState(state))}\n\n`))),
        Effect.raceFirst(closed)
      )
    }
    const picture = /^GET pair\/(\d+)\/(left|right)\.png$/.exec(route)
    if (picture !== null) {
      const { waiting } = yield* desk.state
      const pair = waiting.find(({ id }) => id === Number(picture[1]))
      return yield* pair === undefined
        ? say(404, "This pair waits no longer.")
        : send(200, "image/png", Buffer.from(pngOf(pair[picture[2] as "left" | "right"]), "base64"))
    }
    if (route === "POST undo") return yield* (yield* desk.undo) ? say(200, "") : say(409, "There is nothing to take back.")
    if (route === "POST choose") {
      const chosen = yield* Schema.decodeUnknownEffect(Chosen)(yield* bodyOf(request)).pipe(Effect.option)
      if (chosen._tag === "None") return yield* say(400, "No choice.")
      const { choice, id } = chosen.value
      return yield* (yield* desk.choose(id, choice)) ? say(200, "") : say(409, "This pair waits no longer.")
    }
    return yield* say(404, "There is no such page.")
  })

  const server = yield* Effect.acquireRelease(
    Effect.callback<http.Server, JudgeStopped>((resume) => {
      const server = createServer((request, response) => {
        response.on("error", () => {}) // a page that was closed
        run(handle(request, response).pipe(Effect.onError(() => Effect.sync(() => response.destroy()))))
      })
      server.once("error", ({ message }) =>
        resume(Effect.fail(
          new JudgeStopped({ message: `The page of the human judge cannot be served (${message}): give another --human-port, or 0.` })
        )))
      server.listen(port, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  yield* announce(`http://127.0.0.1:${(server.address() as AddressInfo).port}/${token}/`)
})
