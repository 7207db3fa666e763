/** A run whose work is to be spread: its folder and settings, before any runner has joined it. */
import { randomUUID } from "node:crypto"
import { Effect, Layer } from "effect"
import { Postgres } from "../../../layers/postgres/postgres.ts"
import { lockRun } from "../../../layers/store/run-lock.ts"
import { BadInput } from "../../system/errors.ts"
import { newFolder, writeConfig } from "../run/open-run.ts"
import { needOwn, openBegun, resumedConfig } from "../run/resume.ts"
import { openParts, type RunRequest } from "../run/run-parts.ts"
import { resolveConfig, type TrainConfig } from "../settings.ts"

/** Fails where the work of a run cannot be spread, and says why. */
export const needSpreadable = (c: Pick<TrainConfig, "store" | "judge" | "draft_tokens" | "judge_batch" | "optimizer" | "sampler">) =>
  Effect.gen(function*() {
    if (c.store !== "postgres") {
      return yield* new BadInput({ message: "Runners share a run through a database: begin one with --store postgres, with its address in DATABASE_URL." })
    }
    const elsewhere = (["sampler", "optimizer"] as const).find((name) => c[name] !== "onnx")
    if (elsewhere !== undefined) return yield* new BadInput({ message: `Runners draw and train by themselves: leave --${elsewhere} ${c[elsewhere]} out where the work is spread.` })
    if (c.draft_tokens > 0) return yield* new BadInput({ message: "Runners draw without the run's earlier drawings: leave --draft-tokens out where the work is spread." })
    if (c.judge_batch) return yield* new BadInput({ message: "A batch belongs to the process that sent it: leave --judge-batch out where the work is spread." })
    if (c.judge === "human") return yield* new BadInput({ message: "People judge at one process: take another --judge where the work is spread." })
  })

/** Everything that can be refused is refused before there is a folder. */
const beginNew = Effect.fnUntraced(function*(request: RunRequest) {
  const c = yield* resolveConfig(request.file, request.given)
  yield* needSpreadable(c)
  yield* openParts(c, undefined, request)
  yield* Layer.build(Postgres.layerConfig())
  const run = yield* newFolder(c)
  yield* writeConfig(run, { ...c, run_id: randomUUID(), working_dir: process.cwd() })
  return run
})

/** Keeps the settings that may change, and were given, for all runners. */
const goOn = Effect.fnUntraced(function*(folder: string, request: RunRequest) {
  const { config, run } = yield* openBegun(folder)
  yield* lockRun(run)
  yield* needOwn({ config, run }, [])
  const c = yield* resumedConfig({ config, run }, request.file, request.given)
  yield* needSpreadable(c)
  yield* writeConfig(run, { ...config, ...c })
  return run
})

/**
 * A new run, or one that is to go on with settings that may change.
 * @returns its folder, which no process holds when this returns
 */
export const beginSpread = (request: RunRequest) =>
  Effect.scoped(Effect.map(request.resume === undefined ? beginNew(request) : goOn(request.resume, request), ({ path }) => path))
