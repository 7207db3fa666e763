/** Somebody who judges by the ink: at the page's real endpoints, or at a terminal of their own. */
import * as http from "node:http"
import { inflateSync } from "node:zlib"
import { Effect, Queue, Option, Terminal } from "effect"

/** Sum of all RGB bytes of a PNG as this project writes them: RGB, no filter, one IDAT. */
const brightness = (png: Buffer): number => {
  if (png[25] !== 2) throw new Error("not RGB")
  const idat = png.indexOf("IDAT")
  const rows = inflateSync(png.subarray(idat + 4, idat + 4 + png.readUInt32BE(idat - 4)))
  const stride = png.readUInt32BE(16) * 3 + 1
  return rows.reduce((sum, byte, i) => sum + (i % stride === 0 ? 0 : byte), 0)
}

export interface PageState {
  readonly pair: { readonly id: number; readonly prompt: string } | null
  readonly waiting: number
  readonly answered: number
  readonly undoable: boolean
}

/** Told every state of the page until it is gone. */
export const watch = (url: string, told: (state: PageState) => void): (() => void) => {
  const request = http.get(`${url}state`, (response) => {
    let text = ""
    response.setEncoding("utf8").on("data", (part: string) => {
      text += part
      const events = text.split("\n\n")
      text = events.pop()!
      for (const event of events) told(JSON.parse(event.slice("data: ".length)) as PageState)
    }).on("error", () => {})
  }).on("error", () => {})
  return () => request.destroy()
}

export const post = (url: string, body: unknown) => fetch(url, { method: "POST", body: JSON.stringify(body) })
export const fetchPng = async (url: string) => Buffer.from(await (await fetch(url)).arrayBuffer())

/** Prefers the darker picture until the page is gone. @param seen is told which pairs were shown */
export const sitAtPage = (url: string, seen: (prompt: string) => void = () => {}): (() => void) => {
  let busy = 0
  return watch(url, ({ pair }) => {
    if (pair === null || pair.id === busy) return
    busy = pair.id
    seen(pair.prompt)
    const look = async () => {
      const sides = ["left", "right"].map(async (side) => brightness(await fetchPng(`${url}pair/${pair.id}/${side}.png`)))
      const [left, right] = await Promise.all(sides)
      await post(`${url}choose`, { id: pair.id, choice: left! < right! ? "left" : right! < left! ? "right" : "tie" })
    }
    look().catch(() => {}) // the page is gone
  })
}

/** Mean of all colours of a drawn pair's left and right pictures, 0 .. 255. */
const halves = (drawn: string): readonly [number, number] => {
  const sums = [0, 0]
  const counts = [0, 0]
  for (const line of drawn.split("\n").filter((line) => line.includes("▀"))) {
    line.split("\x1b[0m").slice(0, 2).forEach((half, side) => {
      for (const [, bytes] of half.matchAll(/38;2;([\d;]+)m/g)) {
        for (const byte of bytes!.split(";").map(Number).filter((_, i) => i !== 3 && i !== 4)) {
          sums[side]! += byte
          counts[side]!++
        }
      }
    })
  }
  return [sums[0]! / counts[0]!, sums[1]! / counts[1]!]
}

/** A terminal at which somebody prefers the darker picture. `typing` counts who reads its keys now. */
export const fakeTerminal = (answer: (darker: "1" | "2" | "3", drawn: string) => string = (darker) => darker) => {
  const screen: Array<string> = []
  const queues = new Set<Queue.Queue<Terminal.UserInput, never>>()
  const key = (name: string, ctrl = false) => ({ input: Option.some(name), key: { name, ctrl, meta: false, shift: false } })
  const type = (text: string) => {
    for (const name of text) for (const queue of queues) Queue.offerUnsafe(queue, key(name))
  }
  const terminal = Terminal.make({
    columns: Effect.succeed(80),
    rows: Effect.succeed(24),
    size: Effect.never,
    readLine: Effect.never,
    readInput: Effect.acquireRelease(
      Effect.tap(Queue.make<Terminal.UserInput, never>(), (queue) => Effect.sync(() => queues.add(queue))),
      (queue) => Effect.sync(() => queues.delete(queue))
    ) as unknown as Terminal.Terminal["readInput"],
    display: (text) =>
      Effect.sync(() => {
        screen.push(text)
        const [left, right] = halves(text)
        type(answer(left < right ? "1" : right < left ? "2" : "3", text))
      })
  })
  return { terminal, screen, type, typing: () => queues.size, queues }
}
