/**
 * The thread that owns sessions. layers/onnx/runtime.ts starts it with a program's name and settings; it answers one
 * call after the other until it is told to release its sessions.
 */
import { parentPort, workerData } from "node:worker_threads"
import { type ProgramName, programs } from "./programs.ts"
import { refuseWorkWhen } from "./session.ts"

export interface Start {
  readonly program: ProgramName
  readonly spec: unknown
  /** Read by gpu-turns.ts. */
  readonly gpuTurns: Int32Array<SharedArrayBuffer>
}
export interface Call {
  readonly id: number
  readonly method: string
  readonly args: ReadonlyArray<unknown>
}
/** Nobody waits for this call's answer any more. */
export interface Abandoned {
  readonly abandoned: number
}
export type Answer =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly message: string }

const port = parentPort!
const { program, spec } = workerData as Start
const instance = programs[program](spec as never) as unknown as Record<string, (...args: ReadonlyArray<unknown>) => unknown>

// A chain, not a pool: the binding blocks the thread anyway, and order keeps runs reproducible.
let chain: Promise<void> = Promise.resolve()
const abandoned = new Set<number>()
let current = -1
// Received between two runs, each of which waits for a turn of the event loop.
refuseWorkWhen(() => abandoned.has(current))
port.on("message", (message: Call | Abandoned) => {
  if ("abandoned" in message) return void (message.abandoned >= current && abandoned.add(message.abandoned))
  const { args, id, method } = message
  chain = chain.then(async () => {
    current = id
    let answer: Answer
    try {
      answer = { id, ok: true, value: await instance[method]!(...args) }
    } catch (error) {
      answer = { id, ok: false, message: error instanceof Error ? error.message : String(error) }
    }
    abandoned.delete(id)
    port.postMessage(answer)
    if (method === "release") port.close()
  })
})
