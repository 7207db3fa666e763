/** A run that a studio in the same process watches and steers. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { makeSteering, Steering } from "../../stages/Steering.ts"
import { makeTraffic, Traffic } from "../../stages/Traffic.ts"
import { Live, type LiveRun, makeAudience, makeLog } from "../../studio/live.ts"
import { Listener } from "../../system/progress.ts"
import type { JudgeSettings } from "../judges/judge-row.ts"
import { judges } from "../judges/judges.ts"
import type { TrainConfig } from "../settings.ts"
import { openStudio } from "./open-studio.ts"

/** The settings as the run has written them. */
const settingsIn = (folder: string): TrainConfig => JSON.parse(fs.readFileSync(path.join(folder, "config.json"), "utf8"))

/** Whether its judge takes money, or nobody's time either; undefined of one that was given in code. */
const priceOf = ({ judge }: TrainConfig): "paid" | "time" | "free" | undefined =>
  !Object.hasOwn(judges, judge) ? undefined : judges[judge]!.asks !== undefined ? "paid" : judge === "human" ? "time" : "free"

/**
 * Runs work under a wheel, and hands it what opens the studio once the run has a folder: that serves until its scope closes and
 * gives the page's address.
 * @param clip settings of the judge that every studio has
 */
export const steered = Effect.fnUntraced(function*<A, E, R>(
  clip: JudgeSettings,
  port: number,
  work: (open: (folder: string) => ReturnType<typeof openStudio>) => Effect.Effect<A, E, R>
) {
  const wheel = yield* makeSteering
  const traffic = makeTraffic()
  const log = makeLog()
  const audience = yield* makeAudience
  let opened: { readonly folder: string; readonly budgetUsd: number | null } | undefined
  const live: LiveRun = {
    folder: () => opened?.folder,
    budgetUsd: () => opened?.budgetUsd ?? null,
    wheel,
    queues: traffic.now,
    log,
    audience
  }
  const open = (folder: string) =>
    Effect.suspend(() => {
      const settings = settingsIn(folder)
      const price = priceOf(settings)
      opened = { folder, budgetUsd: price === "paid" ? settings.budget_usd : null }
      const own = price === "free" && settings.judge !== clip.judge ? [[settings.judge, settings] as const] : []
      return openStudio({ folder, port, judges: new Map([[clip.judge, clip], ...own]), device: settings.device, threads: settings.threads })
    })
  const done = yield* work(open).pipe(
    Effect.provideService(Steering, wheel.service),
    Effect.provideService(Traffic, traffic.service),
    Effect.provideService(Listener, log.add),
    Effect.provideService(Live, live),
    Effect.exit
  )
  yield* audience.farewell
  return yield* done
})
