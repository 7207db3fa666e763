/**
 * The only place that touches onnxruntime-node's binding. Plain promises, no Effect: it runs inside worker threads.
 *
 * How the binding behaves (1.30.0, measured): `create` and `run` block their thread; inputs are read in place, outputs
 * are copied out; a run cannot be cancelled, and ending the thread during it aborts the process. So every session lives
 * in a worker (layers/onnx/runtime.ts) and is released there, when idle.
 */
import "./no-telemetry.ts"
import * as fs from "node:fs"
import * as path from "node:path"
import * as ort from "onnxruntime-node"
import type { DType, Graph } from "../../src/engine/graph/graph.ts"
import { forWebGpu } from "../../src/engine/graph/for-webgpu.ts"
import { encodeModel, inputNames } from "../../src/engine/graph/onnx.ts"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import { onGpu } from "./gpu-turns.ts"

// Its failures come as errors, which we report in one sentence; the native log would report them again.
ort.env.logLevel = "fatal"

/** Version of the loaded binding. */
export const runtimeVersion: string = ort.env.versions.node ?? ort.env.versions.common

export type Device = "cpu" | "webgpu" | "cuda"

export interface SessionOptions {
  readonly device: Device
  /** Threads of one run; 0 lets onnxruntime decide. */
  readonly threads: number
  /**
   * Whether threads spin while they wait for one another. If nothing else needs the cores, spinning makes many small
   * products faster (a token of a 0.6B model in 40 ms instead of 51, on two cores); if something does, spinning takes
   * its time.
   */
  readonly spinning?: boolean | undefined
  /** Where External initializers are looked for; absolute. Symbolic links may lead anywhere. */
  readonly weightsFolder?: string | undefined
  /**
   * `prepared`: the graph is optimised, weights are converted to float32 and prepacked once: fastest, with up to three
   * times the memory. `mapped`: weights stay as they are in their file, which the operating system pages in and out. On
   * WebGPU, which has weights of its own and knows no bfloat16, they are always prepared.
   */
  readonly weights: "prepared" | "mapped"
}

export interface Feed {
  readonly dtype: DType
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array | BigInt64Array | Int32Array | Uint8Array | Uint16Array
}
export type Feeds = Readonly<Record<string, Feed>>

/** Owns one native session until `release`. */
export interface Session {
  /** Values the model reads; a run must feed each. */
  readonly inputs: ReadonlyArray<string>
  /** Extra feeds are ignored, so that one set of parameters serves several graphs. */
  /** @param outputs which to copy out; by default all */
  readonly run: (feeds: Feeds, outputs?: ReadonlyArray<string>) => Promise<Readonly<Record<string, Feed>>>
  readonly release: () => Promise<void>
}

/** Where one session's seconds are told. */
export interface SessionProfile {
  /** Path that the name of onnxruntime's own profile (JSON, an event a line) begins with; it is whole once the session is released. */
  readonly filePrefix: string
  /** Called after each run. @param milliseconds that it took, the outputs' copies included */
  readonly ran: (milliseconds: number) => void
  /** Called when the profile's file is written, as the session is released. @param milliseconds that it took: the profile's own */
  readonly wrote: (milliseconds: number) => void
}

let profiled: ((graph: Graph) => SessionProfile) | undefined

/** For this thread: profiles each session that is made from now on; `undefined` none. It costs much where kernels are small (docs/performance.md). */
export const profileSessions = (profile: typeof profiled): void => void (profiled = profile)

const isMapped = ({ device, weights }: SessionOptions): boolean => weights === "mapped" && device !== "webgpu"

const nativeOptions = (options: SessionOptions, profile: SessionProfile | undefined): ort.InferenceSession.SessionOptions => ({
  executionProviders: options.device === "cpu" ? ["cpu"] : [options.device, "cpu"],
  intraOpNumThreads: options.threads,
  interOpNumThreads: 1,
  graphOptimizationLevel: isMapped(options) ? "disabled" : "all",
  enableMemPattern: false, // it keeps every buffer of the largest run: 5.0 -> 3.1 GB for a 0.6B training step
  logSeverityLevel: 4,
  ...(profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: profile.filePrefix }),
  extra: {
    session: {
      intra_op: { allow_spinning: options.spinning ? "1" : "0" },
      force_spinning_stop: "1", // no spinning between two runs
      ...(isMapped(options) ? { disable_prepacking: "1" } : {}),
      ...(options.weightsFolder === undefined
        ? {}
        : { model_external_initializers_file_folder_path: options.weightsFolder })
    }
  }
})

/**
 * Where the External files of a graph really are: the folder that all of them share, and each one's path from there.
 * onnxruntime refuses a symbolic link that leaves its folder, and a folder of the Hub's cache is made of such links.
 */
const realFiles = (graph: Graph, folder: string) => {
  const names = new Set(graph.initializers.flatMap(({ bytes }) => (bytes._tag === "External" ? [bytes.file] : [])))
  const real = new Map([...names].map((name) => [name, fs.realpathSync(path.resolve(folder, name))]))
  const folders = [...real.values()].map((file) => path.dirname(file))
  const shared = folders.slice(1).reduce(above, folders[0] ?? folder)
  return {
    weightsFolder: folders.length === 0 ? undefined : shared,
    locationOf: (name: string) => path.relative(shared, real.get(name)!).replaceAll(path.sep, "/")
  }
}

/** The nearest folder that contains both. */
const above = (a: string, b: string): string => {
  const rest = path.relative(a, b)
  return rest === ".." || rest.startsWith(`..${path.sep}`) ? above(path.dirname(a), b) : a
}

/** For this thread: true while nobody waits for its result. */
let refused = (): boolean => false
const abandoned = "nobody waits for it any more"

/**
 * While the test is true, no run starts and no session is made: both reject. A run that has started cannot be stopped.
 */
export const refuseWorkWhen = (test: () => boolean): void => void (refused = test)

/** Feeds used again and again, mainly an adapter's hundreds, are checked and wrapped once. */
const wrapped = new WeakMap<Feed, ort.Tensor>()
const tensorOf = (feed: Feed): ort.Tensor => {
  const tensor = wrapped.get(feed) ?? new ort.Tensor(feed.dtype as "float32", feed.data as Float32Array, feed.shape)
  wrapped.set(feed, tensor)
  return tensor
}

/** Builds the native session of a graph. Rejects with onnxruntime's own message when it cannot. */
export const createSession = async (graph: Graph, options: SessionOptions): Promise<Session> => {
  if (refused()) throw new Error(abandoned)
  const { locationOf, weightsFolder } = realFiles(graph, options.weightsFolder ?? "")
  const profile = profiled?.(graph)
  const onWebGpu = options.device === "webgpu"
  const own = onWebGpu ? forWebGpu(graph) : graph
  const inTurn = onWebGpu ? onGpu : <A>(work: () => Promise<A>) => work()
  const model = encodeModel(own, locationOf)
  const native = await inTurn(() => ort.InferenceSession.create(model, nativeOptions({ ...options, weightsFolder }, profile)))
  const inputs = inputNames(graph)
  let released = false
  return {
    inputs,
    run: async (feeds, wanted) => {
      if (refused()) throw new Error(abandoned)
      const tensors: Record<string, ort.Tensor> = {}
      for (const name of inputs) {
        const feed = feeds[name]
        if (feed === undefined) throw new Error(`the graph reads "${name}", which was not fed`)
        tensors[name] = tensorOf(feed)
      }
      const began = performance.now()
      const outputs = await inTurn(() => (wanted === undefined ? native.run(tensors) : native.run(tensors, wanted)))
      profile?.ran(performance.now() - began)
      return Object.fromEntries(
        Object.entries(outputs).map(([name, { data, dims, type }]) => [name, {
          dtype: type as DType,
          shape: dims,
          data: data as Float32Array
        }])
      )
    },
    release: async () => {
      if (released) return
      released = true
      if (profile !== undefined) {
        const began = performance.now()
        native.endProfiling()
        profile.wrote(performance.now() - began)
      }
      await inTurn(() => native.release())
    }
  }
}

/** A program's sessions by name, each made at its first use; if one cannot be made, the next use tries again. */
export class Sessions<Name extends string> {
  readonly #make: (name: Name) => Promise<Session>
  readonly #made = new Map<Name, Promise<Session>>()

  constructor(make: (name: Name) => Promise<Session>) {
    this.#make = make
  }

  get(name: Name, make = this.#make): Promise<Session> {
    const known = this.#made.get(name)
    if (known !== undefined) return known
    const made = make(name)
    this.#made.set(name, made)
    made.catch(() => this.#made.delete(name))
    return made
  }

  /** Drops one of them, while no run of it is under way: the next `get` makes it again. */
  async drop(name: Name): Promise<void> {
    const session = this.#made.get(name)
    this.#made.delete(name)
    await (await session)?.release()
  }

  /** Call it only when no run is under way. */
  async release(): Promise<void> {
    for (const name of this.#made.keys()) await this.drop(name)
  }
}

/** Feeds of a float32 tensor, by the names a graph gave its parameter inputs. */
export const float32 = (shape: ReadonlyArray<number>, data: Float32Array): Feed => ({ dtype: "float32", shape, data })

export const int64 = (shape: ReadonlyArray<number>, data: ArrayLike<number>): Feed => ({
  dtype: "int64",
  shape,
  data: BigInt64Array.from({ length: data.length }, (_, i) => BigInt(data[i]!))
})

/** Parameters under the names of their inputs. */
export const feedsOf = (parameters: Parameters, prefix = ""): Feeds =>
  Object.fromEntries([...parameters].map(([name, { data, shape }]) => [prefix + name, float32(shape, data)]))
