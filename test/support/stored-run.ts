/** A run folder as `train` leaves it, drawn and judged by fakes: quick, and with every table filled. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Layer, Stream } from "effect"
import * as BufferSqlite from "../../layers/buffer/sqlite.ts"
import * as JudgeFake from "../../layers/judge/fake.ts"
import * as OptimizerFake from "../../layers/optimizer/fake.ts"
import * as RendererCircles from "../../layers/renderer/circles.ts"
import * as SamplerFake from "../../layers/sampler/fake.ts"
import * as judgments from "../../layers/store/judgments.ts"
import { RunDatabase } from "../../layers/store/run-database.ts"
import * as runState from "../../layers/store/run-state.ts"
import { train } from "../../src/pipeline.ts"
import { Policy } from "../../src/stages/Policy.ts"
import { RunState } from "../../src/stages/RunState.ts"
import { config, prompts } from "./fake-stages.ts"

/** @param settings what config.json holds beside the number of steps */
export const storedRun = (folder: string, steps: number, settings: Readonly<Record<string, unknown>> = {}) =>
  Effect.gen(function*() {
    fs.mkdirSync(folder, { recursive: true })
    fs.writeFileSync(path.join(folder, "config.json"), JSON.stringify({ max_steps: steps, judge: "fake", loss_type: "sigmoid", ...settings }))
    const initial = SamplerFake.initialPolicy()
    const store = runState.layer.pipe(Layer.provideMerge(RunDatabase.layer({ path: path.join(folder, "run.db") })))
    const stages = Layer.mergeAll(
      SamplerFake.layer({}),
      RendererCircles.layer({ size: 16 }),
      BufferSqlite.layerIn({ maxStaleness: 0, staleWeight: 1 }),
      JudgeFake.layer({}),
      judgments.layer,
      OptimizerFake.layer({ initial }),
      Policy.layer(initial, 1)
    ).pipe(Layer.provideMerge(store))
    yield* Effect.gen(function*() {
      const state = yield* RunState
      yield* Stream.runForEach(train({ ...config, steps }, prompts), ({ metrics, policyVersion, step }) =>
        state.report({ step, policyVersion, metrics, trust: [] }))
    }).pipe(Effect.provide(stages))
  })
