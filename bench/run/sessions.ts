/** The sessions that a program makes while it is profiled: each one's clock, and where onnxruntime writes its profile. */
import * as fs from "node:fs"
import * as path from "node:path"
import { profileSessions } from "../../layers/onnx/session.ts"
import type { Graph } from "../../src/engine/graph/graph.ts"
import { type Kernels, readKernels } from "./kernels.ts"
import { weightBytes } from "./limits.ts"

/** `update`: the trainer's; `prompts` and `decode`: the sampler's; `scores`: log-probabilities of whole sequences. */
export type SessionKind = "update" | "prompts" | "decode" | "scores"

const kindOf = (g: Graph): SessionKind => {
  const outputs = new Set(g.outputs.map(({ name }) => name))
  if (outputs.has("loss")) return "update"
  if (!outputs.has("keys")) return "scores"
  return g.inputs.some(({ name }) => name.startsWith("past_k.")) ? "decode" : "prompts"
}

interface Watched {
  readonly kind: SessionKind
  readonly file: string
  readonly weightBytes: number
  /** Seconds of each run. */
  readonly runs: Array<number>
  /** Runs before anything counted. */
  skipped: number
}

export interface SessionSeconds {
  readonly kind: SessionKind
  readonly weightBytes: number
  /** Of all runs that count, as the caller waited for them. */
  readonly seconds: number
  readonly kernels: Kernels
}

/** onnxruntime stops writing after a million events. */
export class ProfileCut extends Error {}

/** Watches the sessions made from now on. Run `read` once they are released. */
export const watchSessions = (folder: string) => {
  const all: Array<Watched> = []
  let writing = 0
  profileSessions((graph) => {
    const file = path.join(folder, `session-${all.length}-`)
    const own: Watched = { kind: kindOf(graph), file, weightBytes: weightBytes(graph), runs: [], skipped: 0 }
    all.push(own)
    return { filePrefix: file, ran: (milliseconds) => void own.runs.push(milliseconds / 1000), wrote: (milliseconds) => void (writing += milliseconds / 1000) }
  })
  return {
    /** What ran until now does not count. */
    begin: () => all.forEach((own) => (own.skipped = own.runs.length)),
    /** Seconds that went into writing profiles until now: no step would take them otherwise. */
    written: () => writing,
    stop: () => profileSessions(undefined),
    read: async (): Promise<ReadonlyArray<SessionSeconds>> => {
      const read: Array<SessionSeconds> = []
      for (const { file, kind, runs, skipped, weightBytes } of all) {
        if (runs.length === skipped) continue
        const [name] = fs.readdirSync(folder).filter((name) => name.startsWith(path.basename(file)))
        const kernels = await readKernels(path.join(folder, name!), skipped)
        if (kernels.runs !== runs.length - skipped) {
          throw new ProfileCut(`onnxruntime wrote ${kernels.runs} of ${runs.length - skipped} runs into its profile, which holds a million kernels: give fewer --steps.`)
        }
        read.push({ kind, weightBytes, kernels, seconds: runs.slice(skipped).reduce((a, b) => a + b, 0) })
      }
      return read
    }
  }
}
