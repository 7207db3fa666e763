/** What the thread itself does outside of onnxruntime, from samples of its stack: no program has to be changed for it. */
import { type Profiler, Session } from "node:inspector/promises"

/** In the order of a table. */
export const codeParts = ["choosing", "cache", "feeds", "optimizer", "sessions", "garbage", "waiting", "other"] as const
export type CodePart = (typeof codeParts)[number]

/** The first that fits a frame decides, from the innermost frame outwards. */
const frames: ReadonlyArray<readonly [part: CodePart, url: RegExp, name: RegExp]> = [
  ["garbage", /^$/, /^\(garbage collector\)$/],
  ["waiting", /^$/, /^\(idle\)$/],
  ["sessions", /layers\/onnx\/session\.ts$/, /^(createSession|nativeOptions|release)$/],
  ["sessions", /src\/engine\/(graph\/|nets\/|weights\/parameters\.ts|sampling\/decoding\.ts)/, /./],
  ["sessions", /layers\/onnx\/sampler-program\.ts$/, /^digestOf$/],
  ["choosing", /(token-choice|engine\/sampling\/sampling)\.ts$|\/saxes\//, /./],
  ["choosing", /layers\/onnx\/decoding-batch\.ts$/, /^(draw|broken|likeliest)$/],
  ["cache", /layers\/onnx\/(kv-cache|shared-prompts)\.ts$/, /./],
  ["optimizer", /engine\/training\/(adamw|mix)\.ts$/, /./],
  ["optimizer", /layers\/onnx\/trainer-program\.ts$/, /accumulate|apply/],
  ["feeds", /layers\/onnx\/|src\/objectives\/|engine\/weights\/tensor\.ts$|onnxruntime-common/, /./]
]

/** Undefined: inside of onnxruntime, where its sessions' own clocks are exact. */
const partOf = (stack: ReadonlyArray<Profiler.ProfileNode["callFrame"]>): CodePart | undefined => {
  const native = stack.filter(({ url }) => url.includes("onnxruntime-node"))
  if (native.length > 0) return native.some(({ functionName }) => /^(OnnxruntimeSessionHandler|dispose)$/.test(functionName)) ? "sessions" : undefined
  for (const { functionName, url } of stack) {
    const found = frames.find(([, ofUrl, ofName]) => ofUrl.test(url) && ofName.test(functionName))
    if (found !== undefined) return found[0]
  }
  return "other"
}

/** Seconds of a V8 profile by part, those inside of onnxruntime left out. */
export const secondsByPart = ({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): Map<CodePart, number> => {
  const parents = new Map(nodes.flatMap(({ children = [], id }) => children.map((child) => [child, id] as const)))
  const frameOf = new Map(nodes.map(({ callFrame, id }) => [id, callFrame]))
  const known = new Map<number, CodePart | undefined>()
  const ofNode = (id: number): CodePart | undefined => {
    if (known.has(id)) return known.get(id)
    const stack: Array<Profiler.ProfileNode["callFrame"]> = []
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) stack.push(frameOf.get(at)!)
    known.set(id, partOf(stack))
    return known.get(id)
  }
  const seconds = new Map<CodePart, number>()
  samples.forEach((id, n) => {
    const part = ofNode(id)
    // A sample stands for the time until the next one.
    if (part !== undefined) seconds.set(part, (seconds.get(part) ?? 0) + Math.max(0, timeDeltas[n + 1] ?? 0) / 1e6)
  })
  return seconds
}

/** Samples this thread's stack every millisecond while it works. */
export const sampled = async <A>(work: () => Promise<A>): Promise<{ readonly value: A; readonly profile: Profiler.Profile }> => {
  const session = new Session()
  session.connect()
  try {
    await session.post("Profiler.enable")
    await session.post("Profiler.setSamplingInterval", { interval: 1000 })
    await session.post("Profiler.start")
    const value = await work()
    const { profile } = await session.post("Profiler.stop")
    return { value, profile }
  } finally {
    session.disconnect()
  }
}
