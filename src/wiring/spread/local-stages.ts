/** What a runner works with: the run's sampler, renderer and judge, as one process would have them, but no optimizer. */
import { Effect, Layer } from "effect"
import * as sharedLedger from "../../../layers/cluster/ledger.ts"
import * as killedDrawings from "../../../layers/postgres/killed-drawings.ts"
import * as ledger from "../../../layers/postgres/ledger.ts"
import * as rendererResvg from "../../../layers/renderer/resvg.ts"
import { RunDatabase } from "../../../layers/store/run-database.ts"
import { parameterCount } from "../../engine/training/memory.ts"
import type { ProgressStyle } from "../../system/progress.ts"
import { runtimeOf } from "../run/open-run.ts"
import { type Begun, needJudge, needOwn, resumedConfig, wasUnderWay } from "../run/resume.ts"
import { openParts } from "../run/run-parts.ts"
import { noDatabase } from "../run/store-postgres.ts"
import { samplerHere } from "../run/sampler.ts"
import { Judge } from "../../stages/Judge.ts"
import { needSpreadable } from "./begin.ts"

/** Fails with a sentence if the run cannot be spread, or if something that it depends on is different here. */
export const localStages = Effect.fnUntraced(function*(begun: Begun, style: ProgressStyle) {
  yield* needOwn(begun, [])
  const c = yield* resumedConfig(begun, undefined, {})
  yield* needSpreadable(c)
  const before = wasUnderWay(begun) ? begun : undefined
  const { judge, policy, trained } = yield* openParts(c, before, { given: {}, layers: {}, style })
  const settings = { ...c, ...trained.settings, render_size: judge.size }
  const { checkpoint, tokenizer } = policy
  const stages = Layer.mergeAll(
    yield* samplerHere({ checkpoint, tokenizer, lora: trained.lora, settings, style }),
    rendererResvg.layer({ size: judge.size }).pipe(Layer.provide(killedDrawings.layer)),
    judge.layer.pipe(Layer.provide(sharedLedger.layer({ budgetUsd: c.budget_usd }).pipe(Layer.provide(ledger.layer))))
  ).pipe(
    Layer.provide(runtimeOf(c, parameterCount(checkpoint.config), before)),
    Layer.provide(Layer.succeed(RunDatabase, noDatabase(begun.run)))
  )
  const checked = Layer.effectDiscard(Effect.flatMap(Judge, ({ identity }) => before === undefined ? Effect.void : needJudge(before, identity)))
  return { settings: c, stages: checked.pipe(Layer.provideMerge(stages)) }
})
