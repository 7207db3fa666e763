/**
 * Finds out whether a device really runs: creates one small product and computes it there. It is a separate program,
 * since a GPU's driver may write to the terminal or end its process. It is `fork`ed with a device's name and answers
 * with one message.
 */
import { Graph } from "../../src/engine/graph/graph.ts"
import { createSession, type Device, float32, runtimeVersion } from "./session.ts"

export interface Probed {
  /** Version of the installed onnxruntime. */
  readonly version: string
  /** Undefined if the device answered correctly; else what onnxruntime said. */
  readonly refusal?: string
}

/** The first line, without the place in onnxruntime's source and the condition that precede some messages. */
const plainly = (message: string): string => message.split("\n")[0]!.replace(/^\/\S+:\d+ .* was false\. (?=.)/, "")

const test = async (device: Device): Promise<string | undefined> => {
  const g = new Graph()
  const x = g.input("x", "float32", [1, 2])
  g.output("y", g.matmul(x, g.constant([1, 2, 3, 4], [2, 2])))
  try {
    const session = await createSession(g, { device, threads: 1, weights: "prepared" })
    const { y } = await session.run({ x: float32([1, 2], Float32Array.of(1, 1)) }).finally(session.release)
    return y!.data[0] === 4 && y!.data[1] === 6 ? undefined : `1 + 3, 2 + 4 came out as ${y!.data.join(", ")}`
  } catch (error) {
    return plainly(String(error instanceof Error ? error.message : error))
  }
}

if (import.meta.main) {
  const refusal = await test(process.argv[2] as Device)
  process.send!({ version: runtimeVersion, ...(refusal === undefined ? {} : { refusal }) } satisfies Probed)
  process.disconnect()
}
