/**
 * TensorBoard's event files, which W&B's sync and Trackio's import read too. Each process of a run writes its own file. A
 * resumed one cuts off what earlier ones wrote of steps that are made again, and begins its file with TensorBoard's START,
 * for a TensorBoard that has read them already.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Clock, Effect, Layer } from "effect"
import { numbersOf, type TrackedStep, Tracker, untracked } from "../../src/stages/Tracker.ts"
import { makeFolders } from "../../src/system/folders.ts"
import { codeOf } from "../../src/system/http-failure.ts"
import { bounded, TrackerFailed } from "./bounded.ts"
import { before, scalarsEvent, startEvent, textEvent, versionEvent } from "./tfevents.ts"

export interface TensorboardOptions {
  /** Folder of the event files; made if it is missing. */
  readonly folder: string
  /** The first step that this process tells; what its run's other files say of it and later ones is cut off. Undefined: a new run. */
  readonly from: number | undefined
  /** Shown as a text beside the curves. */
  readonly config: Readonly<Record<string, unknown>>
  readonly note: (line: string) => Effect.Effect<void>
}

const eventFile = /^events\.out\.tfevents\.(\d+)\.(vequinox\.)?/

/** Readers take files in the order of their names: this one comes after every other, whatever the clock says. */
const nameIn = (folder: string, seconds: number): string => {
  const others = fs.readdirSync(folder).map((name) => Number(eventFile.exec(name)?.[1] ?? 0))
  const stamp = Math.max(Math.floor(seconds), ...others.map((other) => other + 1))
  return `events.out.tfevents.${String(stamp).padStart(10, "0")}.vequinox.${process.pid}.0` // no host name: it tells who you are
}

/** @returns the last step that is left, or -1 */
const cutOff = async (folder: string, from: number): Promise<number> => {
  let latest = -1
  for (const name of fs.readdirSync(folder).filter((name) => eventFile.exec(name)?.[2] !== undefined)) {
    const file = await fs.promises.readFile(path.join(folder, name))
    const { bytes, last } = before(file, from)
    if (bytes < file.length) await fs.promises.truncate(path.join(folder, name), bytes)
    latest = Math.max(latest, last)
  }
  return latest
}

const asMarkdown = (config: TensorboardOptions["config"]): string =>
  JSON.stringify(config, null, 2).split("\n").map((line) => `    ${line}`).join("\n")

const begin = async ({ config, folder, from }: TensorboardOptions, seconds: number) => {
  makeFolders(folder)
  const known = from === undefined ? -1 : await cutOff(folder, from)
  const handle = await fs.promises.open(path.join(folder, nameIn(folder, seconds)), "wx")
  const head = [
    versionEvent(seconds),
    ...from === undefined ? [] : [startEvent(seconds, from)],
    textEvent(seconds, from ?? 0, "config", asMarkdown(config))
  ]
  return { handle, head, known, written: 0 }
}

const told = (step: TrackedStep): Uint8Array => scalarsEvent(step.time / 1000, step.step, numbersOf(step))

export const layer = (o: TensorboardOptions) => Layer.effect(Tracker, Effect.gen(function*() {
  let file: Awaited<ReturnType<typeof begin>> | undefined
  yield* Effect.addFinalizer(() => Effect.promise(async () => file?.handle.close()).pipe(Effect.timeoutOption("1 second"), Effect.ignoreCause))
  const send = Effect.fnUntraced(function*(steps: ReadonlyArray<TrackedStep>) {
    const seconds = (yield* Clock.currentTimeMillis) / 1000
    yield* Effect.tryPromise({
      try: async () => {
        file ??= await begin(o, seconds)
        const { known } = file
        const missing = steps.filter(({ kind, step }) => kind !== "again" || step > known)
        const bytes = Buffer.concat([...file.head, ...missing.map(told)])
        // At its place: what a failed write left is written over.
        for (let done = 0; done < bytes.length;) done += (await file.handle.write(bytes, done, bytes.length - done, file.written + done)).bytesWritten
        file = { ...file, head: [], written: file.written + bytes.length }
      },
      catch: (cause) => new TrackerFailed({ reason: `${o.folder} cannot be written: ${codeOf(cause)}`, passes: true })
    })
  })
  const { dropped, end, offer } = yield* bounded({ name: "tensorboard", capacity: 1024, batch: 256, send, note: o.note })
  return { ...untracked, step: offer, dropped, end }
}))
