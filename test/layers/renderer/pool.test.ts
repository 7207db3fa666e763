import { assert, describe, it } from "@effect/vitest"
import { RendererPool } from "../../../layers/renderer/pool.ts"
import { defaults } from "../../../layers/renderer/resvg.ts"
import { circle } from "../../stages/Renderer.contract.ts"
import { hostile } from "./hostile.ts"

const options = { ...defaults, processes: 2, size: 64 }
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe("renderer-pool: who is to blame", () => {
  it("replaces its processes after some drawings, and loses none", async () => {
    const pool = new RendererPool({ ...options, recycleAfter: 5 })
    while (pool.ready < 3) await pause(5)
    const before = pool.pids
    for (let i = 0; i < 20; i++) assert.strictEqual((await pool.render(circle(10 + i)))._tag, "Pixels")
    // On a busy machine one process may draw for all: it is some drawings of its own after which a process is replaced.
    for (let round = 0; round < 25 && before.some((pid) => pool.pids.includes(pid)); round++) {
      const together = await Promise.all(Array.from({ length: 80 }, (_, i) => pool.render(circle(10 + i % 30))))
      assert.deepStrictEqual(together.filter(({ _tag }) => _tag !== "Pixels"), [])
    }
    assert.deepStrictEqual(before.filter((pid) => pool.pids.includes(pid)), [])
    await pool.close()
  })

  for (const signals of [["SIGTERM"], ["SIGKILL", "SIGKILL"], ["SIGTERM", "SIGKILL", "SIGQUIT", "SIGHUP"]] as const) {
    it(`blames no drawing when somebody else ends its process: ${signals.join(", ")}`, async () => {
      const pool = new RendererPool({ ...options, processes: 1, deadline: 1 })
      await pool.render(circle(20))
      const slow = pool.render(hostile["turbulence without end"]!)
      const good = pool.render(circle(30))
      for (const signal of signals) {
        while (pool.ready < 1) await pause(5)
        await pause(100)
        process.kill(pool.pids[0]!, signal)
        await pause(50)
      }
      assert.strictEqual((await good)._tag, "Pixels")
      const result = await slow
      assert.strictEqual(result._tag === "Killed" ? result.reason : result._tag, "deadline") // on its last process
      await pool.close()
    })
  }

  it("has a spare process ready, so that the next drawing waits for none to start", async () => {
    const pool = new RendererPool({ ...options, processes: 1, deadline: 0.2 })
    while (pool.ready < 2) await pause(5)
    const [first, spare] = pool.pids
    const [slow, good] = [pool.render(hostile["turbulence without end"]!), pool.render(circle(30))]
    assert.strictEqual((await slow)._tag, "Killed")
    assert.strictEqual((await good)._tag, "Pixels")
    assert.strictEqual(pool.pids[0], spare)
    assert.notInclude(pool.pids, first)
    while (pool.ready < 2) await pause(5) // and another spare is started
    await pool.close()
  })

  it("draws once what is asked for several times at once, hostile or not", async () => {
    const pool = new RendererPool({ ...options, processes: 2 })
    while (pool.ready < 3) await pause(5)
    const before = pool.pids
    const bad = hostile["filtered far away"]!
    const results = await Promise.all([bad, circle(20), bad, circle(20), bad].map((svg) => pool.render(svg)))
    assert.deepStrictEqual(results.map(({ _tag }) => _tag), ["Killed", "Pixels", "Killed", "Pixels", "Killed"])
    assert.strictEqual(before.filter((pid) => pool.pids.includes(pid)).length, 2, "one process was lost")
    assert.strictEqual((await pool.render(circle(20), true))._tag, "Pixels")
    await pool.close()
  })

  it("blames the drawing that ended the process, not the one whose answer was still on its way", async () => {
    const pool = new RendererPool({ ...options, processes: 1 })
    const crash = (n: number) => hostile["filtered far away"]!.replace("<filter", `<desc>${n}</desc><filter`)
    const drawings = Array.from({ length: 120 }, (_, n) => (n % 10 === 5 ? crash(n) : circle(5 + n / 4)))
    const outcomes: Array<string> = []
    let next = 0
    const caller = async () => { // each answer brings a call, also to a process that has just died
      for (let n = next++; n < drawings.length; n = next++) outcomes[n] = (await pool.render(drawings[n]!))._tag
    }
    await Promise.all(Array.from({ length: 8 }, caller))
    assert.deepStrictEqual(outcomes, drawings.map((_, n) => (n % 10 === 5 ? "Killed" : "Pixels")))
    await pool.close()
  })

  it("survives Ctrl-C in the terminal, which every process of the group hears", async () => {
    const pool = new RendererPool({ ...options, processes: 1 })
    while (pool.ready < 2) await pause(5)
    const { pids } = pool
    for (const pid of pids) process.kill(pid, "SIGINT")
    await pause(50)
    assert.strictEqual((await pool.render(circle(30)))._tag, "Pixels")
    assert.deepStrictEqual(pool.pids, pids)
    await pool.close()
  })

  it("says that it is unavailable, and blames no drawing, when no process can be started", async () => {
    const node = process.execPath
    process.execPath = "/nonexistent/node"
    const pool = new RendererPool(options)
    assert.strictEqual((await pool.render(circle(20)))._tag, "Unavailable")
    process.execPath = node
    await pool.close()
    assert.strictEqual((await pool.render(circle(20)))._tag, "Unavailable")
  })
})
