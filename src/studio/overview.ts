/** What the studio says of a run as a whole, from its folder, its store and, where this process trains it, from what is under way. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Option, Schema } from "effect"
import { median } from "../evaluation/statistics.ts"
import { checkpointNames } from "../run/checkpoint-files.ts"
import { Summary } from "../run/summary.ts"
import type { StoredReport } from "../stages/RunState.ts"
import type { FileProblem } from "../system/files.ts"
import type { Overview, RunCard, Steering } from "./api.ts"
import { Archive, type Extent } from "./archive.ts"
import { Live, type LiveRun } from "./live.ts"
import { Playground, type RunPolicies } from "./playground.ts"
import type { Memory } from "./reports-so-far.ts"
import type { FoundRun } from "./runs.ts"

type Settings = Readonly<Record<string, unknown>>

const decodeSummary = Schema.decodeUnknownOption(Schema.fromJsonString(Summary))

const textOf = (file: string): string | undefined => {
  try {
    return fs.readFileSync(file, "utf8")
  } catch {
    return undefined
  }
}

/** config.json; empty where it cannot be read, as while it is written anew. */
const settingsOf = (folder: string): Settings => {
  try {
    return Object(JSON.parse(textOf(path.join(folder, "config.json")) ?? "{}"))
  } catch {
    return {}
  }
}

const summaryOf = (folder: string): Summary | undefined => Option.getOrUndefined(decodeSummary(textOf(path.join(folder, "summary.json"))))

const text = (value: unknown): string | null => (typeof value === "string" ? value : null)
const number = (value: unknown): number | null => (typeof value === "number" && Number.isFinite(value) ? value : null)

const unread: Extent = { steps: 0, firstStep: null, lastStep: null, timed: { steps: 0, seconds: 0 }, usd: 0, byJudge: [] }

/** The run of this process, if it is that one. */
const liveAs = Effect.fnUntraced(function*(folder: string) {
  const live = yield* Live
  return live?.folder() === folder ? live : undefined
})

const cardOf = ({ name, startedAt }: FoundRun, settings: Settings, summary: Summary | undefined, extent: Extent, seconds: number, worked: boolean, paused: boolean) =>
  ({
    name,
    standing: worked ? (paused ? "paused" : "running") : summary === undefined ? "stopped" : summary.stopped === undefined ? "finished" : "diverged",
    step: extent.steps,
    steps: number(settings["max_steps"]),
    judge: text(settings["judge"]),
    model: text(settings["model_name_or_path"]),
    objective: settings["loss_type"] === undefined ? null : [settings["loss_type"]].flat().join(" + "),
    startedAt: startedAt === 0 ? null : startedAt,
    seconds: summary?.seconds ?? seconds,
    costUsd: extent.usd,
    right: summary?.learning?.right == null
      ? null
      : { before: summary.learning.right.before.value, after: summary.learning.right.after.value }
  }) satisfies typeof RunCard.Type

/** Whether a process works at the run, as far as its page is concerned: one that only says goodbye does not. */
const isWorked = (folder: string, live: LiveRun | undefined, { isWorked }: Archive["Service"]): boolean => !(live?.audience.ended() ?? false) && isWorked(folder)

/** A run that cannot be read is shown as one that has done nothing: its own page says why. Its seconds are those of its checkpoints. */
export const card = Effect.fnUntraced(function*(run: FoundRun) {
  const archive = yield* Archive
  const live = yield* liveAs(run.folder)
  const extent = yield* Effect.orElseSucceed(archive.extent(run.folder), () => unread)
  const paused = live === undefined ? false : (yield* live.wheel.state).paused
  return cardOf(run, settingsOf(run.folder), summaryOf(run.folder), extent, extent.timed.seconds, isWorked(run.folder, live, archive), paused)
})

const stageNames = ["sample", "render", "judge", "train", "wait", "step"]

const stagesOf = (reports: ReadonlyArray<StoredReport>) =>
  stageNames.flatMap((stage) => {
    const seconds = reports.flatMap(({ metrics }) => metrics[`seconds/${stage}`] ?? [])
    return seconds.length === 0 ? [] : [{ stage, seconds: median(seconds) }]
  })

/** Names of a run's adapters and where they lie: its checkpoints in the order of their steps, and its result. */
const adaptersOf = (folder: string): ReadonlyMap<string, string> => {
  const holds = (at: string) => fs.existsSync(path.join(at, "adapter_config.json"))
  const checkpoints = path.join(folder, "checkpoints")
  const all = checkpointNames(checkpoints).map((name) => [name, path.join(checkpoints, name)] as const)
  return new Map([...all, ["adapter", path.join(folder, "adapter")] as const].filter(([, at]) => holds(at)))
}

/** What the playground needs to know of a run; the sentence says why it cannot draw. */
export const policiesOf = (folder: string): RunPolicies | string => {
  const settings = settingsOf(folder)
  const model = text(settings["model"])
  if (model === null || !fs.existsSync(model)) return "The policy's model folder is not on this machine, so nothing can be drawn with it."
  if (settings["lora_r"] === 0) return "This run trains all of its policy's parameters; the playground draws with adapters."
  return {
    model,
    adapters: adaptersOf(folder),
    format: {
      systemPrompt: text(settings["system_prompt"]) ?? "",
      promptTemplate: text(settings["prompt_template"]) ?? "{prompt}",
      prefill: text(settings["prefill"]) ?? ""
    },
    maxNewTokens: number(settings["max_new_tokens"]) ?? 160
  }
}

export const steeringOf = (live: LiveRun) =>
  Effect.map(live.wheel.state, ({ budgetUsd, paused, stopping }): typeof Steering.Type => {
    const given = live.budgetUsd()
    return { paused, stopping, budgetUsd: given === null ? null : Math.min(given, budgetUsd ?? Infinity) }
  })

/** Characters of a setting's value that are told. */
const longestSetting = 2000

const secondsLeft = ({ standing, step, steps }: typeof RunCard.Type, stages: ReturnType<typeof stagesOf>): number | null => {
  const each = stages.find(({ stage }) => stage === "step")?.seconds
  return standing !== "running" || steps === null || each === undefined ? null : Math.max(0, steps - step) * each
}

/** Fails if the run's store cannot be read. */
export const overview = Effect.fnUntraced(function*(run: FoundRun, remember: Memory): Effect.fn.Return<typeof Overview.Type, FileProblem, Archive | Playground> {
  const { folder } = run
  const archive = yield* Archive
  const { judges } = yield* Playground
  const live = yield* liveAs(folder)
  const [settings, summary] = [settingsOf(folder), summaryOf(folder)]
  const extent = yield* archive.extent(folder)
  const counts = yield* archive.counts(folder)
  const known = yield* remember(folder, extent)
  const steering = live === undefined ? null : yield* steeringOf(live)
  const card = cardOf(run, settings, summary, extent, known.seconds(extent), isWorked(folder, live, archive), steering?.paused ?? false)
  const stages = stagesOf(known.last)
  const policies = policiesOf(folder)
  const paid = extent.usd > 0
  return {
    run: card,
    firstStep: extent.firstStep,
    lastStep: extent.lastStep,
    drawings: counts.drawings,
    pairs: counts.pairs,
    stages,
    queues: live === undefined || card.standing === "finished" ? null : [...live.queues()],
    secondsLeft: secondsLeft(card, stages),
    cost: {
      usd: extent.usd,
      byJudge: extent.byJudge,
      forecastUsd: card.steps === null || card.step === 0 ? null : extent.usd / card.step * card.steps,
      budgetUsd: steering === null ? (paid ? number(settings["budget_usd"]) : null) : steering.budgetUsd
    },
    faults: counts.faults,
    alarms: summary?.alarms ?? known.alarms,
    policies: typeof policies === "string" ? [] : ["base", ...policies.adapters.keys()],
    judges,
    noPlayground: typeof policies === "string" ? policies : null,
    steering: card.standing === "running" || card.standing === "paused" ? steering : null,
    log: live === undefined ? [] : live.log.lines(),
    sentence: summary?.learning?.sentence ?? null,
    kinds: (summary?.learning?.kinds ?? []).map(({ after, before, kind }) => ({ kind, prompts: before.n, before: before.value, after: after.value })),
    settings: Object.entries(settings).map(([name, value]) => ({
      name,
      value: (typeof value === "string" ? value : JSON.stringify(value) ?? "").slice(0, longestSetting)
    }))
  }
})
