/**
 * The process that renders: resvg may abort, hang or eat memory here without harm. It holds no secret, reads no file
 * but the font, and ends when its parent does.
 */
import * as fs from "node:fs"
import { Worker } from "node:worker_threads"
import { drawSquare } from "./draw-square.ts"
import { pngDrawing } from "./png-drawing.ts"
import { type Answer, type Call, encodeAnswer, nextCall, wire } from "./wire.ts"

/**
 * What makes resvg read files from this machine. The gate refuses it by its own reading of the XML. This looks at the
 * characters themselves, which no two parsers can read differently: where nothing is declared, elements can be spelled
 * in no other way.
 */
const reachesOut = /<!(?!--|\[CDATA\[)|<(?:[^\s<>/]*:)?(?:image|feImage)(?![\w.:-])/i

const render = ({ id, letters, png, size, svg }: Call): Answer => {
  try {
    if (png) return { _tag: "Pixels", id, rgba: drawSquare(pngDrawing(Buffer.from(svg, "base64")), size) }
    if (reachesOut.test(svg)) throw new Error("it holds a declaration or an image")
    return { _tag: "Pixels", id, rgba: drawSquare(svg, size, letters) }
  } catch (cause) {
    return { _tag: "Error", id, message: String((cause as Error).message ?? cause).split("\n")[0]!.slice(0, 200) }
  }
}

/**
 * Frees the native memory of drawings that were sent. Only the garbage collector gives it back; the collector does not
 * see its size, and it works only when the event loop turns. Reusing it while it is warm makes drawing a third faster.
 */
const freePixels = async (): Promise<void> => {
  await globalThis.gc?.({ type: "minor", execution: "sync" })
  await new Promise((resolve) => setImmediate(resolve))
}

/** The fewest drawings between two collections, and the most bytes of pixels. */
const [fewest, most] = [8, 2e6]

try {
  fs.writeFileSync("/proc/self/oom_score_adj", "1000") // when memory runs out, this process goes first
} catch { /* not Linux */ }
// Ctrl-C in a terminal reaches every process of the group. The parent decides when this one ends: a drawing interrupted
// from the keyboard must not look like one that crashed the renderer.
process.on("SIGINT", () => {})
// An endless drawing also keeps this process from noticing that its parent is gone, so a second thread looks.
new Worker(
  `const parent = process.ppid
  setInterval(() => process.ppid !== parent && process.kill(process.pid, "SIGKILL"), 500)`,
  { eval: true, stdout: false, stderr: false }
).unref()
// Reads and writes block: an event loop and its messages would cost as much as the drawing.
const send = (answer: Answer) => {
  const bytes = encodeAnswer(answer)
  for (let at = 0; at < bytes.length;) at += fs.writeSync(wire.answers, bytes, at)
}
const parent = process.ppid
send({ _tag: "Ready" })
let [drawn, held] = [0, 0]
for (let call = nextCall(); call !== undefined; call = nextCall()) {
  send(render(call))
  held += 4 * call.size ** 2
  if (++drawn < fewest || held < most) continue
  await freePixels()
  ;[drawn, held] = [0, 0]
}
// The parent closed its end or is gone. If it is gone, nobody else removes the empty folder that its processes were
// started in.
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100) // a parent's ends are closed before it is gone
try {
  if (process.ppid !== parent) fs.rmdirSync(process.cwd())
} catch { /* another of its processes was first */ }
process.exit(0)
