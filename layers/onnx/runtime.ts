/**
 * onnxruntime behind scopes: each owner of sessions (sampler, trainer, scorer) is a program in its own worker thread.
 *
 * Ordering: calls to one worker run one after the other. A run cannot be cancelled, and ending a thread during a run
 * aborts the process. So closing the scope asks the program to release its sessions, waits until it has, and only then
 * ends the thread. An interrupted caller stops waiting; the run it started finishes, and is the last of its call.
 */
import "./no-telemetry.ts"
import { fork } from "node:child_process"
import * as os from "node:os"
import { Worker } from "node:worker_threads"
import { Effect, Layer, Ref, Schema, type Scope } from "effect"
import * as Context from "effect/Context"
import { programBeside } from "../../src/system/program.ts"
import type { Probed } from "./device-probe.ts"
import { gpuTurns } from "./gpu-turns.ts"
import type { Device } from "./session.ts"
import type { Program, ProgramName, Spec } from "./programs.ts"
import type { Abandoned, Answer, Call, Start } from "./worker.ts"

/** onnxruntime refused a model or failed in a run; the message is the first line of its own. */
export class OnnxError extends Schema.TaggedError<OnnxError>()("OnnxError", {
  program: Schema.String,
  method: Schema.String,
  message: Schema.String
}) {}

/** The device asked for by name does not run here. */
export class DeviceUnavailable extends Schema.TaggedError<DeviceUnavailable>()("DeviceUnavailable", {
  device: Schema.String,
  message: Schema.String
}) {}

/** The request needs more memory than is free; nothing was allocated. */
export class NotEnoughMemory extends Schema.TaggedError<NotEnoughMemory>()("NotEnoughMemory", {
  message: Schema.String
}) {}

export type DeviceChoice = "auto" | Device

type Methods<Name extends ProgramName> = {
  readonly [M in keyof Program<Name>]: Program<Name>[M] extends (...args: infer A) => infer R
    ? (...args: A) => Effect.Effect<Awaited<R>, OnnxError>
    : never
}

/** Starts a program in a worker thread; its methods become Effects. The thread ends with the scope. */
export const startProgram = <Name extends ProgramName>(
  program: Name,
  spec: Spec<Name>
): Effect.Effect<Methods<Name>, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => connect(program, spec)),
      ({ call, exited }) => Effect.andThen(Effect.ignore(call("release", [])), Effect.promise(() => exited))
    ),
    ({ call }) =>
      new Proxy({} as Methods<Name>, {
        get: (_, method: string) => (...args: ReadonlyArray<unknown>) => call(method, args)
      })
  )

const connect = <Name extends ProgramName>(program: Name, spec: Spec<Name>) => {
  const workerData: Start = { program, spec, gpuTurns }
  const worker = new Worker(programBeside(import.meta.url, "./worker"), { workerData, name: program })
  const waiting = new Map<number, (answer: Answer) => void>()
  let next = 0
  let ended: string | undefined
  const end = (message: string) => {
    ended ??= message
    for (const [id, resume] of waiting) resume({ id, ok: false, message: ended })
    waiting.clear()
  }
  worker.on("message", (answer: Answer) => {
    waiting.get(answer.id)?.(answer)
    waiting.delete(answer.id)
  })
  worker.on("error", (error) => end(`the ${program} thread failed: ${(error as Error).message}`))
  const exited = new Promise<void>((resolve) =>
    worker.on("exit", () => {
      end(`the ${program} thread has ended`)
      resolve()
    })
  )
  const call = (method: string, args: ReadonlyArray<unknown>) =>
    Effect.callback<unknown, OnnxError>((resume) => {
      if (ended !== undefined) return resume(Effect.fail(new OnnxError({ program, method, message: ended })))
      const id = next++
      waiting.set(id, (answer) =>
        resume(
          answer.ok
            ? Effect.succeed(answer.value)
            : Effect.fail(new OnnxError({ program, method, message: answer.message }))
        ))
      worker.postMessage({ id, method, args } satisfies Call)
      return Effect.sync(() => {
        waiting.delete(id)
        worker.postMessage({ abandoned: id } satisfies Abandoned)
      })
    })
  return { call: call as (method: string, args: ReadonlyArray<unknown>) => Effect.Effect<never, OnnxError>, exited }
}

/** Models with fewer parameters than this are faster on the CPU: a step is over before a GPU has launched its work. */
const smallModel = 50_000_000

export class OnnxRuntime extends Context.Service<OnnxRuntime, {
  readonly device: Device
  /** The choice and its reason: one line for people. */
  readonly choice: string
  /** Threads of one run. */
  readonly threads: number
  /** Whether threads of a run spin while they wait for one another. */
  readonly spinning: boolean
  /** Fails if `bytes`, plus everything reserved before, are more than was free when this layer was built. */
  readonly reserve: (what: string, bytes: number) => Effect.Effect<void, NotEnoughMemory>
  /** Bytes that were free when this layer was built and are not reserved. */
  readonly left: Effect.Effect<number>
}>()("vequinox/OnnxRuntime") {
  /**
   * @param choice `auto` takes CUDA, then WebGPU, if one runs and the model is large enough to gain; a device asked for
   * by name must run, or the layer fails with `DeviceUnavailable`
   * @param parameters size of the policy, parameters
   * @param threads of one run; 0 takes all cores, or half of them for a small model whose sampler and trainer overlap: its
   * products are too small for more (two threads decode 128 rows of the embedded policy only 1.4 times as fast as one)
   * @param overlap whether sampler and trainer work at the same time, as they do at a staleness of 1 or more
   */
  static readonly layer = (choice: DeviceChoice, parameters: number, { overlap = true, threads = 0 } = {}) =>
    Layer.effect(
      OnnxRuntime,
      Effect.gen(function*() {
        const picked = yield* pickDevice(choice, parameters)
        const free = freeMemory()
        // Sessions are made at their first use: reserved memory is not taken yet.
        const reserved = yield* Ref.make(0)
        return OnnxRuntime.of({
          ...picked,
          threads: threads > 0 ? threads : Math.max(1, Math.floor(os.availableParallelism() / (overlap && parameters < smallModel ? 2 : 1))),
          spinning: !overlap,
          left: Effect.map(Ref.get(reserved), (taken) => free - taken),
          reserve: Effect.fnUntraced(function*(what, bytes) {
            const short = yield* Ref.modify(reserved, (before) =>
              before + bytes <= free ? [undefined, before + bytes] : [before, before])
            if (short !== undefined) return yield* notEnough(what, bytes, free, short)
          })
        })
      })
    )
}

const notEnough = (what: string, bytes: number, free: number, besides: number) => {
  const gb = (n: number) => `${(n / 1e9).toFixed(1)} GB`
  return new NotEnoughMemory({
    message: `The ${what} needs about ${gb(bytes)}${besides === 0 ? "" : `, besides ${gb(besides)} for the rest of the run,`} and ${gb(free)} ` +
      "are free: take a smaller model, fewer tokens per run, or a shorter max length."
  })
}

/** Linux counts its file cache as used; it is given back on demand. */
const reclaimable = (): number => Math.max(0, process.availableMemory() - os.freemem())

/** Bytes that this process can still get, a container's limit included. */
export const freeMemory = (): number => Math.min(os.freemem() + reclaimable(), process.constrainedMemory() || Infinity)

/** The variables needed to find a GPU's driver, and compiled code; the probing process gets no others from this process. */
const driverVariables = /^(PATH|HOME|NODE_COMPILE_CACHE|LD_LIBRARY_PATH|DISPLAY|WAYLAND_DISPLAY|XDG_.*|VK_.*|CUDA_.*|NVIDIA_.*|SYSTEMROOT|WINDIR|TEMP|TMP|APPDATA|LOCALAPPDATA)$/i

/** Fails if onnxruntime cannot be loaded, or ended its process. */
const probe = (device: Device): Effect.Effect<Probed, OnnxError> =>
  Effect.callback((resume) => {
    const child = fork(programBeside(import.meta.url, "./device-probe"), [device], {
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => driverVariables.test(name))),
      stdio: ["ignore", "ignore", "pipe", "ipc"]
    })
    let said = ""
    let answer: Probed | undefined
    child.stderr!.setEncoding("utf8").on("data", (text: string) => void (said += text))
    child.on("message", (message) => void (answer = message as Probed))
    child.on("error", ({ message }) => resume(Effect.fail(new OnnxError({ program: "probe", method: device, message }))))
    child.on("close", (code, signal) => {
      if (answer !== undefined) return resume(Effect.succeed(answer))
      const why = /^\w*Error.*$/m.exec(said)?.[0] ?? `it ended its process (${signal ?? `exit code ${code}`})`
      resume(Effect.fail(new OnnxError({ program: "probe", method: device, message: why })))
    })
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

/** Undefined if the device computes correctly, tested in its own process; else why it does not. */
export const probeDevice = (device: Device): Effect.Effect<string | undefined> =>
  probe(device).pipe(
    Effect.map(({ refusal }) => refusal),
    Effect.catch((error) => Effect.succeed(error.message))
  )

/** Version of the installed onnxruntime; fails if it cannot be loaded. */
export const runtimeVersion: Effect.Effect<string, OnnxError> = Effect.map(probe("cpu"), ({ version }) => version)

const pickDevice = Effect.fnUntraced(function*(choice: DeviceChoice, parameters: number) {
  if (choice === "cpu") return { device: "cpu" as const, choice: "CPU, as asked" }
  if (choice === "auto" && parameters < smallModel) {
    return { device: "cpu" as const, choice: `CPU: a model of ${Math.round(parameters / 1e5) / 10} M parameters gains nothing on a GPU` }
  }
  const candidates: ReadonlyArray<Device> = choice === "auto" ? ["cuda", "webgpu"] : [choice]
  const refusals: Array<string> = []
  for (const device of candidates) {
    const refusal = yield* probeDevice(device)
    if (refusal === undefined) return { device, choice: `${device}, ${choice === "auto" ? "found" : "as asked"}` }
    refusals.push(`${device}: ${refusal}`)
  }
  if (choice !== "auto") {
    return yield* new DeviceUnavailable({
      device: choice,
      message: `--device ${choice} does not run on this machine (${refusals[0]}): use --device auto or cpu.`
    })
  }
  return { device: "cpu" as const, choice: `CPU, because no GPU answered (${refusals.join("; ")})` }
})
