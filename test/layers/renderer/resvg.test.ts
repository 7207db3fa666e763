import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { vi } from "vitest"
import { type Killed, KilledDrawings } from "../../../src/stages/KilledDrawings.ts"
import { RendererPool } from "../../../layers/renderer/pool.ts"
import * as RendererResvg from "../../../layers/renderer/resvg.ts"
import type { Rendering } from "../../../src/domain.ts"
import { Renderer } from "../../../src/stages/Renderer.ts"
import { circle, rendererContract } from "../../stages/Renderer.contract.ts"
import { hostile } from "./hostile.ts"

const size = 64
const svg = (body: string, attributes = `viewBox="0 0 100 100"`) =>
  `<svg xmlns="http://www.w3.org/2000/svg" ${attributes}>${body}</svg>`
const draw = (text: string) => Renderer.use((renderer) => renderer.render(text))
const outcome = (rendering: Rendering) => rendering._tag === "Rendered" ? "Rendered" : `${rendering._tag} ${rendering.reason}`
const pixel = (rendering: Rendering, x: number, y: number) => {
  if (rendering._tag !== "Rendered") return assert.fail(outcome(rendering))
  const { rgba, width } = rendering.picture
  return [...rgba.subarray((y * width + x) * 4, (y * width + x) * 4 + 4)]
}

rendererContract("resvg", RendererResvg.layer({ processes: 2, size }))

layer(RendererResvg.layer({ processes: 2, size }))("renderer-resvg", (it) => {
  it.effect("draws the right colours at the right places, on white", () =>
    Effect.gen(function*() {
      const rendering = yield* draw(svg(`<path fill="#f00" d="M0 0h50v100H0z"/>`))
      assert.deepStrictEqual(pixel(rendering, 5, 5), [255, 0, 0, 255])
      assert.deepStrictEqual(pixel(rendering, 60, 5), [255, 255, 255, 255])
    }))

  it.effect("centres a drawing that is not square", () =>
    Effect.gen(function*() {
      const body = `<path fill="#00f" d="M0 0h999v999H0z"/>`
      const wide = yield* draw(svg(body, `viewBox="0 0 100 50"`))
      assert.deepStrictEqual([2, 32, 61].map((y) => pixel(wide, 32, y)[0]), [255, 0, 255])
      const tall = yield* draw(svg(body, `viewBox="0 0 50 100"`))
      assert.deepStrictEqual([2, 32, 61].map((x) => pixel(tall, x, 32)[0]), [255, 0, 255])
    }))

  it.effect("takes a drawing for blank when there is next to nothing to see", () =>
    Effect.gen(function*() {
      const full = (fill: string) => `<rect width="100" height="100" fill="${fill}"/>`
      const blank = ["", full("#fff"), full("#000"), full("#fdfdfd"), `<circle r="1"/>`, full("#123") + `<circle r="1" fill="red"/>`]
      for (const body of blank) assert.strictEqual(outcome(yield* draw(svg(body))), "Rejected blank", body)
      const gradient = `<linearGradient id="a"><stop stop-color="#00f"/><stop offset="1" stop-color="#ff0"/></linearGradient>`
      const seen = [`<circle r="20"/>`, full("#234") + `<circle r="20" fill="red"/>`, gradient + full("url(#a)"), `<path d="M0 50h99" stroke="#ddd" stroke-width="3"/>`]
      for (const body of seen) assert.strictEqual(outcome(yield* draw(svg(body))), "Rendered", body)
    }))

  it.effect("turns letters away unless they are asked for", () =>
    Effect.gen(function*() {
      const lettered = svg(`<circle r="40"/><text y="50">cat</text>`)
      const renderer = yield* Renderer
      assert.strictEqual(outcome(yield* renderer.render(lettered)), "Rejected text")
      assert.strictEqual(outcome(yield* renderer.render(lettered, { allowText: true })), "Rendered")
    }))

  it.effect("draws letters that are asked for, in one font whatever they name, and shows the drawing without them too", () =>
    Effect.gen(function*() {
      const renderer = yield* Renderer
      const drawn = Effect.fnUntraced(function*(body: string) {
        const rendering = yield* renderer.render(svg(body), { allowText: true })
        return rendering._tag === "Rendered" ? rendering : assert.fail(outcome(rendering))
      })
      const sign = `<rect y="20" width="100" height="60" fill="#fc0"/>`
      const text = (family: string) => `${sign}<text x="10" y="60" font-size="30" font-family="${family}">STOP</text>`
      const plain = yield* drawn(sign)
      assert.isUndefined(plain.bare)
      const lettered = yield* drawn(text("Arial"))
      assert.notStrictEqual(lettered.picture.hash, plain.picture.hash)
      assert.strictEqual(lettered.bare!.hash, plain.picture.hash)
      assert.strictEqual((yield* drawn(text("No Such Font, monospace"))).picture.hash, lettered.picture.hash)
      const alone = yield* drawn(`<text x="10" y="60" font-size="30">STOP</text>`)
      assert.isTrue(alone.bare!.rgba.every((x) => x === 255))
    }))

  it.effect("refuses every hostile drawing at the gate, at no cost to a process", () =>
    Effect.gen(function*() {
      for (const [name, text] of Object.entries(hostile)) {
        const rendering = yield* draw(text)
        assert.strictEqual(rendering._tag, "Rejected", `${name}: ${outcome(rendering)}`)
        if (rendering._tag === "Rejected") assert.notInclude(["render-error", "blank"], rendering.reason, name)
      }
    }))
})

describe("renderer-resvg without its gate", () => {
  it.live("outlives every hostile drawing, and draws the good ones between them right", () =>
    Effect.gen(function*() {
      const good = Array.from({ length: 6 }, (_, i) => circle(10 + 5 * i))
      const expected = (yield* Effect.forEach(good, draw)).map((rendering) => JSON.stringify(pixel(rendering, 32, 32)) + outcome(rendering))
      const mixed = Object.entries(hostile).flatMap(([name, text], i) => [[name, text], ["", good[i % good.length]!]] as const)
      const results = yield* Effect.forEach(mixed, ([, text]) => draw(text), { concurrency: 6 })
      const killed: Record<string, string> = {}
      results.forEach((rendering, i) => {
        const [name] = mixed[i]!
        if (name !== "") killed[name] = outcome(rendering)
        else {
          const at = ((i - 1) / 2) % good.length
          assert.strictEqual(JSON.stringify(pixel(rendering, 32, 32)) + outcome(rendering), expected[at])
        }
      })
      assert.strictEqual(killed["nested tspans"], "Killed crash")
      assert.strictEqual(killed["filtered far away"], "Killed crash")
      assert.strictEqual(killed["turbulence without end"], "Killed deadline")
      assert.strictEqual(killed["chain of clip paths"], "Killed memory")
      assert.strictEqual(killed["billion laughs"], "Rejected render-error") // its DOCTYPE is left behind
    }).pipe(
      // A low limit on memory, so that it is met before the deadline on a slow machine.
      Effect.provide(RendererResvg.layer({ processes: 2, size, gate: false, deadline: 2, memory: 250e6 }))
    ))

  it.live("answers for a drawing that killed a process from memory", () =>
    Effect.gen(function*() {
      const first = yield* draw(hostile["turbulence without end"]!)
      assert.strictEqual(outcome(first), "Killed deadline")
      const start = performance.now()
      assert.deepStrictEqual(yield* draw(hostile["turbulence without end"]!), first)
      assert.isBelow(performance.now() - start, 100)
    }).pipe(Effect.provide(RendererResvg.layer({ processes: 1, size, gate: false, deadline: 0.3 }))))

  it.live("asks the given store which drawings ended a process, and tells it, by their hash", () => {
    const known = new Map<string, Killed>()
    const killed = remembering(known)
    const before = hostile["filtered far away"]!
    known.set(RendererResvg.drawingHash(before), { _tag: "Killed", reason: "memory", detail: "in an earlier run" })
    return Effect.gen(function*() {
      assert.strictEqual(outcome(yield* draw(before)), "Killed memory") // it is not tried: it would be a crash
      assert.strictEqual(outcome(yield* draw(`Here: ${hostile["nested tspans"]!}`)), "Killed crash")
      assert.isTrue(known.has(RendererResvg.drawingHash(hostile["nested tspans"]!)))
      assert.strictEqual(outcome(yield* draw(circle(20))), "Rendered")
      assert.strictEqual(known.size, 2)
    }).pipe(Effect.provide(RendererResvg.layer({ processes: 1, size, gate: false }).pipe(Layer.provide(killed))))
  })

  it.live.skipIf(!fs.existsSync("/proc"))("says that a drawing cannot be drawn whose processes are ended from outside, and remembers nothing of it", () => {
    const known = new Map<string, Killed>()
    return Effect.gen(function*() {
      const renderer = yield* Renderer
      const drawing = yield* Effect.forkChild(Effect.flip(renderer.render(hostile["turbulence without end"]!)))
      const kill = Effect.sync(() => children().filter(isBusy).forEach((pid) => process.kill(pid, "SIGKILL")))
      const { message } = yield* Fiber.join(drawing).pipe(Effect.raceFirst(Effect.forever(Effect.andThen(Effect.sleep(20), kill))))
      assert.match(message, /^A drawing cannot be rendered: 5 renderer processes in a row were ended from outside with SIGKILL/)
      assert.deepStrictEqual([...known], [])
      assert.strictEqual(outcome(yield* draw(circle(20))), "Rendered")
    }).pipe(Effect.provide(RendererResvg.layer({ processes: 1, size, gate: false, deadline: 60, patience: 60 }).pipe(Layer.provide(remembering(known)))))
  }, 180_000)

  it.live("finds no file of the folder that the run was started in", () =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const [home, folder] = [process.cwd(), fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-test-"))]
        fs.writeFileSync(path.join(folder, "secret.svg"), svg(`<rect width="100" height="100" fill="#0f0"/><circle r="50"/>`))
        process.chdir(folder)
        return { folder, home }
      }),
      () =>
        draw(svg(`<image href="secret.svg" width="100" height="100"/>`)).pipe(
          Effect.map((rendering) => assert.strictEqual(outcome(rendering), "Rejected render-error")),
          Effect.provide(RendererResvg.layer({ processes: 1, size, gate: false }))
        ),
      ({ folder, home }) =>
        Effect.sync(() => {
          process.chdir(home)
          fs.rmSync(folder, { recursive: true })
        })
    ))
})

const alive = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe("renderer-pool", () => {
  const options = { ...RendererResvg.defaults, processes: 2, size }
  const hang = hostile["turbulence without end"]!

  it("gives its processes nothing of the parent's environment but where compiled code is", async () => {
    process.env["ANTHROPIC_API_KEY"] = "sk-of-the-parent"
    const pool = new RendererPool(options)
    await pool.render(circle(20))
    if (fs.existsSync("/proc")) {
      for (const pid of pool.pids) {
        const environment = fs.readFileSync(`/proc/${pid}/environ`, "utf8")
        assert.deepStrictEqual(environment.split("\0").filter(Boolean), [`NODE_COMPILE_CACHE=${process.env["NODE_COMPILE_CACHE"]}`])
      }
    }
    delete process.env["ANTHROPIC_API_KEY"]
    await pool.close()
  })

  it("leaves no process and no folder, within a second, even while one hangs", async () => {
    const pool = new RendererPool(options)
    await pool.render(circle(20))
    const { pids } = pool
    assert.strictEqual(pids.length, options.processes + options.spares)
    const folders = () => pids.map((pid) => fs.existsSync("/proc") && alive(pid) ? fs.readlinkSync(`/proc/${pid}/cwd`) : "")
    const [folder] = folders()
    const waiting = pool.render(hang)
    await new Promise((resolve) => setTimeout(resolve, 100))
    const start = performance.now()
    await pool.close()
    assert.isBelow(performance.now() - start, 1000)
    assert.notStrictEqual((await waiting)._tag, "Pixels")
    assert.deepStrictEqual(pids.filter(alive), [])
    if (folder) assert.isFalse(fs.existsSync(folder))
  })

  it.skipIf(!fs.existsSync("/proc"))("leaves none either when its process is killed", async () => {
    const pool = JSON.stringify(path.join(import.meta.dirname, "../../../layers/renderer/pool.ts"))
    const program = `
      const { RendererPool } = await import(${pool})
      const pool = new RendererPool(${JSON.stringify({ ...options, spares: 0 })})
      await pool.render(${JSON.stringify(circle(20))})
      console.log(pool.pids.join(" "))
      setInterval(() => {}, 1000)`
    const killed = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"] })
    const [line] = await once(killed.stdout, "data")
    const pids = String(line).trim().split(" ").map(Number)
    const folder = fs.readlinkSync(`/proc/${pids[0]}/cwd`)
    assert.match(path.basename(folder), /^vequinox-render-/)
    killed.kill("SIGKILL")
    await vi.waitUntil(() => pids.every((pid) => !alive(pid)) && !fs.existsSync(folder), { timeout: 10_000 })
  })
})

it.live("closing the scope of the layer ends its processes", () =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const before = fs.existsSync("/proc") ? children() : []
    const drawn = yield* Renderer.use((renderer) => renderer.render(circle(20))).pipe(
      Effect.provide(RendererResvg.layer({ processes: 2, size })),
      Scope.provide(scope)
    )
    assert.strictEqual(outcome(drawn), "Rendered")
    yield* Scope.close(scope, Exit.void)
    assert.deepStrictEqual(fs.existsSync("/proc") ? children().filter((pid) => !before.includes(pid)) : [], [])
  }))

/** Whether it has a drawing in work that takes longer than its start did. */
const isBusy = (pid: number): boolean => {
  try {
    const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ")
    return Number(fields[11]) + Number(fields[12]) > 60 // ticks of 10 ms
  } catch {
    return false
  }
}

/** A store of killed drawings, to look into. */
const remembering = (known: Map<string, Killed>) =>
  Layer.succeed(KilledDrawings, {
    recall: (hash) => Effect.sync(() => known.get(hash)),
    record: (hash, outcome) => Effect.sync(() => void known.set(hash, outcome))
  })

/** Renderer processes of this process, from Linux. */
const children = (): ReadonlyArray<number> =>
  fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      const parent = Number(fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ")[1])
      return parent === process.pid && fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("resvg-child")
    } catch {
      return false
    }
  })
