import * as fs from "node:fs"
import * as http from "node:http"
import * as os from "node:os"
import * as path from "node:path"
import { stripVTControlCharacters } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Fiber, Layer, Queue, Terminal } from "effect"
import { Answers } from "../../../layers/guide/answers.ts"
import { halfBlocks } from "../../../layers/human/terminal.ts"
import * as JudgeHuman from "../../../layers/judge/human.ts"
import { Judge } from "../../../src/stages/Judge.ts"
import { fakeTerminal, fetchPng, type PageState, post, sitAtPage, watch } from "../../support/human.ts"
import { judgeContract } from "../../stages/Judge.contract.ts"
import { inked, prompt } from "../../stages/make.ts"

/** Seconds: this person never errs. */
const grace = 0.02

/** A page at which somebody sits as soon as it is announced. */
const withPerson = (seen?: (prompt: string) => void) =>
  JudgeHuman.layerPage({ port: 0, grace, announce: (url) => Effect.sync(() => void sitAtPage(url, seen)) })

judgeContract("human, at the page", withPerson().pipe(Layer.provide(Answers.layerMemory)), [0.1, 0.4, 0.8].map((share) => inked(share)))
judgeContract(
  "human, at the terminal",
  JudgeHuman.layerTerminal({ grace }).pipe(
    Layer.provide(Answers.layerMemory),
    Layer.provide(Layer.sync(Terminal.Terminal, () => fakeTerminal().terminal))
  ),
  [0.1, 0.4, 0.8].map((share) => inked(share))
)

/** A page with nobody at it, and its address. @param grace seconds */
const openPageFor = Effect.fnUntraced(function*(grace: number) {
  let url = ""
  const layer = JudgeHuman.layerPage({ port: 0, grace, announce: (told) => Effect.sync(() => void (url = told)) })
  const judge = Context.get(yield* Layer.build(layer.pipe(Layer.provide(Answers.layerMemory))), Judge)
  const states: Array<PageState> = []
  yield* Effect.acquireRelease(Effect.sync(() => watch(url, (state) => states.push(state))), (stop) => Effect.sync(stop))
  /** Waits for a state that fits. */
  const until = (fits: (state: PageState) => boolean) =>
    Effect.gen(function*() {
      while (states.length === 0 || !fits(states.at(-1)!)) yield* Effect.sleep(5)
      return states.at(-1)!
    }).pipe(Effect.timeout(5000))
  return { judge, url, states, until }
})
const openPage = openPageFor(1)

const [dark, grey, light] = [inked(0.9), inked(0.5), inked(0.1)] as const

it.live("prefers what the person prefers, wherever it is shown", () =>
  Effect.gen(function*() {
    const { compare, concurrency } = yield* Judge
    const sides = yield* Effect.forEach(Array.from({ length: 12 }, (_, n) => inked(0.3 + n / 100)), (picture) =>
      compare(prompt("ink"), picture, light), { concurrency })
    for (const verdict of sides) assert.deepInclude({ ...verdict }, { outcome: "A", confidence: 1, by: "human" })
    assert.strictEqual((yield* compare(prompt("ink"), light, dark)).outcome, "B")
  }).pipe(Effect.provide(withPerson().pipe(Layer.provide(Answers.layerMemory)))))

it.live("puts either picture on either side, by the pictures alone", () =>
  Effect.gen(function*() {
    const { judge, until, url } = yield* openPage
    const pictures = Array.from({ length: 12 }, (_, n) => inked(0.3 + n / 100))
    const fibers = yield* Effect.forEach(pictures, (picture, n) =>
      Effect.forkChild(n % 2 === 0 ? judge.compare(prompt("ink"), picture, light) : judge.compare(prompt("ink"), light, picture)))
    const { pair } = yield* until(({ waiting }) => waiting === pictures.length)
    const lefts = yield* Effect.forEach(pictures, (_, n) =>
      Effect.promise(() => fetchPng(`${url}pair/${pair!.id + n}/left.png`)))
    const lightest = yield* Effect.promise(() => fetchPng(`${url}pair/${pair!.id}/right.png`))
    const times = [...lefts, lightest].filter((png) => png.equals(lefts[0]!)).length
    assert.isAbove(new Set(lefts.map((png) => png.toString("base64"))).size, 3, `the same on the left ${times} times`)
    const right = yield* Effect.forEach(pictures, (_, n) =>
      Effect.promise(() => fetchPng(`${url}pair/${pair!.id + n}/right.png`)))
    assert.isAbove(new Set(right.map((png) => png.toString("base64"))).size, 3)
    yield* Effect.forEach(fibers, Fiber.interrupt)
    assert.strictEqual((yield* until(({ waiting }) => waiting === 0)).pair, null)
  }).pipe(Effect.scoped))

it.live("nobody is asked twice: not for the mirrored pair, not at the same time, not in the next run", () => {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-human-")), "answers.db")
  const seen: Array<string> = []
  const run = Effect.gen(function*() {
    const { compare } = yield* Judge
    const pairs = [[dark, light], [light, dark], [dark, light]] as const
    return yield* Effect.forEach(pairs, ([a, b]) => compare(prompt("a cat"), a, b), { concurrency: 3 })
  }).pipe(Effect.provide(withPerson((text) => seen.push(text)).pipe(Layer.provide(Answers.layer(file)))))
  return Effect.gen(function*() {
    for (let life = 0; life < 2; life++) {
      assert.deepStrictEqual((yield* run).map(({ outcome }) => outcome), ["A", "B", "A"])
    }
    assert.deepStrictEqual(seen, ["a cat"])
  }).pipe(Effect.ensuring(Effect.sync(() => fs.rmSync(path.dirname(file), { recursive: true }))))
})

describe("the page", () => {
  it.live("first come, first served; a choice can be taken back until the next one, which hands it out", () =>
    Effect.gen(function*() {
      const { judge, until, url } = yield* openPage
      const choose = (id: number, choice: string) => Effect.promise(async () => (await post(`${url}choose`, { id, choice })).status)
      const undo = Effect.promise(async () => (await post(`${url}undo`, {})).status)
      assert.strictEqual(yield* undo, 409)
      const one = yield* Effect.forkChild(judge.compare(prompt("one"), dark, light))
      yield* until(({ waiting }) => waiting === 1)
      const two = yield* Effect.forkChild(judge.compare(prompt("two"), dark, grey))
      const first = (yield* until(({ waiting }) => waiting === 2)).pair!
      assert.strictEqual(first.prompt, "one")
      assert.strictEqual(yield* choose(first.id, "left"), 200)
      assert.strictEqual(yield* choose(first.id, "left"), 409) // another person was faster
      const second = (yield* until(({ pair }) => pair?.prompt === "two")).pair!
      assert.isUndefined(one.pollUnsafe())
      assert.strictEqual(yield* undo, 200)
      assert.deepInclude(yield* until(({ pair }) => pair?.prompt === "one"), { waiting: 2, answered: 0, undoable: false })
      assert.strictEqual(yield* choose(first.id, "tie"), 200)
      assert.strictEqual(yield* choose(second.id, "right"), 200)
      assert.strictEqual((yield* Fiber.join(one)).outcome, "tie")
      const [elapsed, verdict] = yield* Effect.timed(Fiber.join(two)) // nobody makes a next choice
      assert.include(["A", "B"], verdict.outcome)
      assert.isAbove(Duration.toMillis(elapsed), 500)
      assert.deepInclude(yield* until(({ undoable }) => !undoable), { waiting: 0, answered: 2, pair: null })
      assert.strictEqual(yield* undo, 409)
    }).pipe(Effect.scoped), 180_000)

  it.live("a choice made after one was taken back has its whole time", () =>
    Effect.gen(function*() {
      const { judge, until, url } = yield* openPageFor(4)
      const posted = (path: string, body: object) => Effect.promise(async () => (await post(`${url}${path}`, body)).status)
      const verdict = yield* Effect.forkChild(judge.compare(prompt("one"), dark, light))
      const { pair } = yield* until(({ waiting }) => waiting === 1)
      assert.strictEqual(yield* posted("choose", { id: pair!.id, choice: "left" }), 200)
      yield* Effect.sleep(2500)
      assert.strictEqual(yield* posted("undo", {}), 200)
      assert.strictEqual(yield* posted("choose", { id: pair!.id, choice: "right" }), 200)
      yield* Effect.sleep(2000) // the first choice would stand by now
      assert.isUndefined(verdict.pollUnsafe())
      assert.strictEqual(yield* posted("undo", {}), 200)
      assert.strictEqual(yield* posted("choose", { id: pair!.id, choice: "tie" }), 200)
      assert.strictEqual((yield* Fiber.join(verdict)).outcome, "tie")
    }).pipe(Effect.scoped), 180_000)

  /** Status of a request with headers of one's own, which fetch would not send. */
  const status = (url: string, headers: http.OutgoingHttpHeaders, method = "GET") =>
    Effect.callback<number>((resume) => {
      http.request(url, { headers, method, agent: false }, (response) => {
        response.resume()
        response.on("error", () => {})
        resume(Effect.succeed(response.statusCode!))
        response.destroy()
      }).end(method === "POST" ? JSON.stringify({ id: 1, choice: "left" }) : undefined)
    })

  it.live("answers nobody without the token, from another page, or under another name", () =>
    Effect.gen(function*() {
      const { judge, until, url } = yield* openPage
      const { host, origin } = new URL(url)
      const fiber = yield* Effect.forkChild(judge.compare(prompt("one"), dark, light))
      yield* until(({ waiting }) => waiting === 1)
      const wrong = url.replace(/.\/$/, (end) => (end === "A/" ? "B/" : "A/"))
      for (const route of ["", "state", "pair/1/left.png"]) {
        assert.strictEqual(yield* status(url + route, { host }), 200, route)
        assert.strictEqual(yield* status(url + route, { host: `localhost:${new URL(url).port}` }), 200)
        assert.strictEqual(yield* status(wrong + route, { host }), 403)
        assert.strictEqual(yield* status(`${origin}/${route}`, { host }), 403)
        assert.strictEqual(yield* status(url + route, { host: "rebound.example.com" }), 403)
        assert.strictEqual(yield* status(url + route, { host, origin: "http://elsewhere.example.com" }), 403)
      }
      assert.strictEqual(yield* status(`${wrong}choose`, { host }, "POST"), 403)
      assert.strictEqual(yield* status(`${url}choose`, { host, origin: "null" }, "POST"), 403)
      assert.strictEqual(yield* status(`${url}choose`, { host: "rebound.example.com" }, "POST"), 403)
      assert.strictEqual((yield* Effect.promise(() => post(`${url}choose`, { id: 1, choice: "up" }))).status, 400)
      assert.strictEqual((yield* Effect.promise(() => post(`${url}choose`, "x".repeat(1e6)))).status, 400)
      assert.strictEqual((yield* until(() => true)).waiting, 1)
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.scoped))

  it.live("loads nothing from anywhere, and shows a prompt as text", () =>
    Effect.gen(function*() {
      const { url } = yield* openPage
      const response = yield* Effect.promise(() => fetch(url))
      const text = yield* Effect.promise(() => response.text())
      assert.match(response.headers.get("content-security-policy")!, /^default-src 'none'; .*frame-ancestors 'none'$/)
      assert.strictEqual(response.headers.get("referrer-policy"), "no-referrer")
      const markup = text.replace(/<script>.*?<\/script>/s, "")
      for (const [, to] of markup.matchAll(/\b(?:src|href)\s*=\s*"([^"]*)"/g)) assert.strictEqual(to, "data:,")
      assert.notMatch(text, /https?:\/\/|@import|innerHTML/)
    }).pipe(Effect.scoped))

  it.live("an interrupt closes it within a second, and lets go of what waits", () =>
    Effect.gen(function*() {
      const { promise, resolve } = Promise.withResolvers<string>()
      const run = yield* Effect.forkChild(
        Judge.use((judge) => judge.compare(prompt("one"), dark, light)).pipe(
          Effect.provide(JudgeHuman.layerPage({ port: 0, announce: (url) => Effect.sync(() => resolve(url)) }).pipe(
            Layer.provide(Answers.layerMemory)
          ))
        )
      )
      const url = yield* Effect.promise(() => promise)
      let waiting = false
      watch(url, (state) => (waiting ||= state.waiting === 1)) // its connection stays open
      while (!waiting) yield* Effect.sleep(5)
      const [elapsed] = yield* Effect.timed(Fiber.interrupt(run))
      assert.isBelow(Duration.toMillis(elapsed), 1000)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(run)))
      assert.strictEqual((yield* Effect.exit(Effect.tryPromise(() => fetch(url))))._tag, "Failure")
    }))

  it.live("a port that is taken is said in one sentence", () =>
    Effect.gen(function*() {
      const { url } = yield* openPage
      const again = JudgeHuman.layerPage({ port: Number(new URL(url).port), announce: () => Effect.void })
      const error = yield* Effect.flip(Layer.build(again.pipe(Layer.provide(Answers.layerMemory))))
      assert.match(error.message, /cannot be served \(.*EADDRINUSE.*\): give another --human-port, or 0\.$/)
    }).pipe(Effect.scoped))
})

describe("the terminal", () => {
  const judgeAt = ({ terminal }: ReturnType<typeof fakeTerminal>) =>
    JudgeHuman.layerTerminal({ grace }).pipe(Layer.provide(Answers.layerMemory), Layer.provide(Layer.succeed(Terminal.Terminal, terminal)))

  it("draws two pixels a cell", () => {
    const [top, ...more] = halfBlocks(inked(0.25, 4), 4, 2) // its first row of four is black
    assert.strictEqual(top, "\x1b[38;2;0;0;0;48;2;255;255;255m▀".repeat(4) + "\x1b[0m")
    assert.deepStrictEqual(more, ["\x1b[38;2;255;255;255;48;2;255;255;255m▀".repeat(4) + "\x1b[0m"])
    for (const line of halfBlocks(inked(0.5, 64), 30, 18)) assert.strictEqual(line.split("▀").length - 1, 30)
  })

  it.live("shows the prompt and both pictures, takes back, and reads no key when nothing waits", () => {
    let pictures = 0
    const somebody = fakeTerminal((darker) => {
      pictures++
      if (pictures === 1) return darker === "1" ? "2" : "1" // a slip of the finger
      return pictures === 2 ? "u" : `x${darker}`
    })
    return Effect.gen(function*() {
      const { compare } = yield* Judge
      assert.strictEqual(somebody.typing(), 0)
      const [one, two] = yield* Effect.forEach([grey, light], (other) => compare(prompt("a \x1b[2Jcat"), dark, other), { concurrency: 2 })
      assert.deepStrictEqual([one!.outcome, two!.outcome], ["A", "A"])
      assert.match(somebody.screen[0]!, /“a  \[2Jcat”: which drawing is better\?/)
      for (const line of somebody.screen[0]!.split("\n")) assert.isAtMost(stripVTControlCharacters(line).length, 79)
      yield* Effect.sleep(10)
      assert.strictEqual(somebody.typing(), 0) // raw mode is off: Ctrl-C interrupts
    }).pipe(Effect.provide(judgeAt(somebody)))
  })

  it.live("who leaves stops the run", () => {
    const somebody = fakeTerminal(() => "")
    return Effect.gen(function*() {
      const { compare } = yield* Judge
      const fiber = yield* Effect.forkChild(Effect.flip(compare(prompt("a cat"), dark, light)))
      while (somebody.screen.length === 0) yield* Effect.sleep(5)
      for (const queue of somebody.queues) Queue.endUnsafe(queue as never)
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "JudgeStopped")
      assert.match(error.message, /resume the run/)
      assert.strictEqual((yield* Effect.flip(compare(prompt("a dog"), dark, light)))._tag, "JudgeStopped")
    }).pipe(Effect.provide(judgeAt(somebody)))
  })

  it.live("an interrupt gives the terminal back within a second", () =>
    Effect.gen(function*() {
      const somebody = fakeTerminal(() => "")
      const run = yield* Effect.forkChild(
        Judge.use((judge) => judge.compare(prompt("a cat"), dark, light)).pipe(Effect.provide(judgeAt(somebody)))
      )
      while (somebody.screen.length === 0) yield* Effect.sleep(5)
      assert.strictEqual(somebody.typing(), 1)
      const [elapsed] = yield* Effect.timed(Fiber.interrupt(run))
      assert.isBelow(Duration.toMillis(elapsed), 1000)
      assert.strictEqual(somebody.typing(), 0)
    }))
})
