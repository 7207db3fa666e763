/**
 * One thread after the other on WebGPU: onnxruntime holds one context of the device for the whole process, and two
 * threads inside of it at once end the process (1.30.0: an assertion, or a segmentation fault, within the first step).
 */
import { isMainThread, workerData } from "node:worker_threads"

/** 0 while no thread is in the context. The main thread makes it and hands it to each of its workers. */
export const gpuTurns: Int32Array<SharedArrayBuffer> =
  (isMainThread ? undefined : (workerData as { readonly gpuTurns?: Int32Array<SharedArrayBuffer> } | null)?.gpuTurns) ?? new Int32Array(new SharedArrayBuffer(4))

let chain: Promise<unknown> = Promise.resolve()

const alone = async <A>(work: () => Promise<A>): Promise<A> => {
  while (Atomics.compareExchange(gpuTurns, 0, 0, 1) !== 0) Atomics.wait(gpuTurns, 0, 1)
  try {
    return await work()
  } finally {
    Atomics.store(gpuTurns, 0, 0)
    Atomics.notify(gpuTurns, 0, 1)
  }
}

/** Does the work while no other thread of this process is on the device; the thread blocks until then. Work of this thread keeps its order. */
export const onGpu = <A>(work: () => Promise<A>): Promise<A> => {
  const mine = chain.then(() => alone(work))
  chain = mine.catch(() => undefined)
  return mine
}
