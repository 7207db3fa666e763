import * as fs from "node:fs"
import * as path from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, type Layer, Redacted } from "effect"
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet"
import { closing, hasty } from "../../../layers/tracker/bounded.ts"
import * as otlp from "../../../layers/tracker/otlp.ts"
import * as parquet from "../../../layers/tracker/parquet.ts"
import * as tensorboard from "../../../layers/tracker/tensorboard.ts"
import * as together from "../../../layers/tracker/together.ts"
import * as trackio from "../../../layers/tracker/trackio.ts"
import { Tracker } from "../../../src/stages/Tracker.ts"
import { trackedStep, trackerContract } from "../../stages/Tracker.contract.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"
import { readEvents } from "../../support/tfevents.ts"
import { collector, dyingServer, hangingServer, refusingAddress, trackioServer } from "../../support/tracker-servers.ts"

const scratch = scratchFolder("tracker")
type Note = (line: string) => Effect.Effect<void>
const silent: Note = () => Effect.void
const nothing = async () => {}
let places = 0
const freshFolder = () => path.join(scratch, String(places++))

/** A file stands where the folder should be. */
const noFolder = (layer: (folder: string, note: Note) => Layer.Layer<never>) => ({
  "a folder that cannot be made": {
    slow: false,
    open: async (note: Note) => {
      const file = freshFolder()
      fs.mkdirSync(scratch, { recursive: true })
      fs.writeFileSync(file, "")
      return { tracker: layer(path.join(file, "below"), note), close: nothing }
    }
  }
})

trackerContract({
  name: "tensorboard",
  works: async () => {
    const folder = freshFolder()
    const layer = (from?: number) => tensorboard.layer({ folder, from, config: { seed: 3 }, note: silent })
    return {
      tracker: layer(),
      again: layer,
      read: async () => {
        const losses = readEvents(folder).scalars.filter(({ tag }) => tag === "loss")
        return { steps: losses.map(({ step }) => step), loss: losses.at(-1)?.value }
      },
      close: nothing
    }
  },
  faults: noFolder((folder, note) => tensorboard.layer({ folder, from: undefined, config: {}, note }))
})

trackerContract({
  name: "parquet",
  works: async () => {
    const folder = freshFolder()
    const layer = (from?: number) => parquet.layer({ folder, from, note: silent })
    return {
      tracker: layer(),
      again: layer,
      read: async () => {
        const files = fs.readdirSync(folder).sort()
        const tables = await Promise.all(files.map(async (name) => parquetReadObjects({ file: await asyncBufferFromFile(path.join(folder, name)) })))
        return { steps: tables.map((rows) => Number(rows[0]!["step"])), loss: undefined }
      },
      close: nothing
    }
  },
  faults: noFolder((folder, note) => parquet.layer({ folder, from: undefined, note }))
})

/** Servers that misbehave. */
const faultyServers = (layer: (url: string, note: Note) => Layer.Layer<never, unknown>) => {
  const served = (start: () => Promise<{ readonly url: string; readonly close: () => Promise<void> }>) => async (note: Note) => {
    const { close, url } = await start()
    return { tracker: layer(url, note), close }
  }
  return {
    "a server that hangs": { slow: true, open: served(hangingServer) },
    "a server that refuses connections": { slow: false, open: served(async () => ({ url: await refusingAddress(), close: nothing })) },
    "a server that dies in its answer": { slow: false, open: served(dyingServer) }
  }
}

const token = "a-token-of-our-own"
const trackioAt = (url: string, note: Note = silent, its = token) =>
  trackio.layer({ url, project: "icons", run: "first", id: "r1", config: { seed: 3 }, token: Redacted.make(its), note })

trackerContract({
  name: "trackio",
  works: async () => {
    const { close, logs, url } = await trackioServer(token)
    return {
      tracker: trackioAt(url),
      again: () => trackioAt(url),
      read: async () => {
        const all = [...logs.values()].toSorted((a, b) => a.step - b.step)
        return { steps: all.map(({ step }) => step), loss: all.at(-1)?.metrics["loss"] }
      },
      close
    }
  },
  faults: {
    ...faultyServers((url, note) => trackioAt(url, note)),
    "a server that wants another token": {
      slow: false,
      open: async (note) => {
        const { close, url } = await trackioServer("another")
        return { tracker: trackioAt(url, note), close }
      }
    }
  }
})

/** OpenTelemetry's settings come from the environment. */
const otlpAt = (url: string, note: Note = silent) => {
  process.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = url
  process.env["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/json"
  return otlp.layer({ run: `run ${places++}`, id: "r1", version: "0", note })
}

trackerContract({
  name: "otlp",
  sampled: true,
  works: async () => {
    const { close, gauges, url } = await collector()
    return {
      tracker: otlpAt(url),
      again: () => otlpAt(url),
      read: async () => {
        const version = gauges.get("vequinox.policyVersion")
        return { steps: version === undefined ? [] : [version], loss: gauges.get("vequinox.loss") }
      },
      close
    }
  },
  faults: faultyServers(otlpAt)
})

trackerContract({
  name: "tensorboard",
  title: "together",
  works: async () => {
    const { close, logs, url } = await trackioServer(token)
    const folder = freshFolder()
    const layer = (from?: number) => together.layer([trackioAt(url), tensorboard.layer({ folder, from, config: {}, note: silent })])
    return {
      tracker: layer(),
      again: layer,
      read: async () => {
        const losses = readEvents(folder).scalars.filter(({ tag }) => tag === "loss")
        const steps = losses.map(({ step }) => step)
        return { steps: steps.every((step) => logs.has(`r1-step-${step}`)) ? steps : [], loss: losses.at(-1)?.value }
      },
      close
    }
  },
  faults: noFolder((folder, note) => together.layer([tensorboard.layer({ folder, from: undefined, config: {}, note })]))
})

it.live("several trackers whose servers hang are waited for at the same time", () =>
  Effect.gen(function*() {
    const { close, url } = yield* Effect.promise(hangingServer)
    const layer = together.layer<unknown, never>([trackioAt(url), otlpAt(url), trackioAt(url)])
    const endedAfter = Effect.fnUntraced(function*(end: boolean) {
      let started = 0
      yield* Effect.gen(function*() {
        const tracker = yield* Tracker
        yield* tracker.step(trackedStep(0))
        yield* Effect.sleep("100 millis")
        started = performance.now()
        if (end) yield* tracker.end
      }).pipe(Effect.provide(layer))
      return (performance.now() - started) / 1000
    })
    assert.isBelow(yield* endedAfter(true), closing + 1.5)
    assert.isBelow(yield* endedAfter(false), hasty + 1.5)
    yield* Effect.promise(close)
  }))
