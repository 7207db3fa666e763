/**
 * Opens what a run is made of, in this order: its settings, prompts, judge, policy, and the parameters it trains.
 * Everything that can be refused is refused here, before a new run has a folder.
 */
import * as fs from "node:fs"
import { Effect } from "effect"
import { lockRun } from "../../../layers/store/run-lock.ts"
import { openCurriculum } from "../../curriculum/file.ts"
import { embeddedPrompts, promptSet, readPrompts } from "../../prompts.ts"
import { BadInput } from "../../system/errors.ts"
import { embedded } from "../../system/installed.ts"
import type { RunFolder } from "../../run/folder.ts"
import type { ProgressStyle } from "../../system/progress.ts"
import { judges, judgesWithScores } from "../judges/judges.ts"
import { openJudge } from "../judges/open-judge.ts"
import { type PlacedLayers, replaces } from "./own-layers.ts"
import { openPolicy } from "../policy.ts"
import { type Begun, factsOf, needFacts, needOwn, needRuns, openBegun, resumedConfig, wasUnderWay } from "./resume.ts"
import { resolveConfig, type SettingName, type TrainConfig } from "../settings.ts"
import { trainedOnServer } from "./tinker.ts"
import { trainedParameters } from "./trained-parameters.ts"

export interface RunRequest {
  /** YAML file of settings. */
  readonly file?: string | undefined
  /** Settings that overrule the file's, as text or as values. */
  readonly given: Readonly<Partial<Record<SettingName, unknown>>>
  /** Folder of a run to continue. */
  readonly resume?: string | undefined
  /** Replace the prompts that the settings name. */
  readonly prompts?: ReadonlyArray<string> | undefined
  readonly layers: PlacedLayers
  /**
   * Layers that do elsewhere what the usual ones do here, to the same results (wiring/spread). They are no part of the run:
   * it may also go on without them.
   */
  readonly elsewhere?: Pick<PlacedLayers, "sampler" | "renderer" | "judge"> | undefined
  /** How people go on with the run. Default: `vequinox train --resume`. */
  readonly goOn?: ((run: RunFolder) => string) | undefined
  readonly style: ProgressStyle
  /** A studio reads its run.db while it goes on. */
  readonly watched?: boolean
}

/** Pixels of a side for a judge of unknown size: what most vision models read. */
const usualSize = 224

/** What was given in code. Settings cannot express it, so a resumed run must be given the same again. */
export const ownNames = ({ layers, prompts }: RunRequest): ReadonlyArray<string> =>
  Object.entries({ ...layers, prompts }).flatMap(([name, own]) => own === undefined ? [] : [name]).sort()

/** The settings of a new run, or of a resumed one; a resumed run belongs to this process until the scope ends. */
export const settingsOf = Effect.fnUntraced(function*(request: RunRequest) {
  if (request.resume === undefined) {
    return { begun: undefined, before: undefined, settings: yield* resolveConfig(request.file, request.given) }
  }
  const begun = yield* openBegun(request.resume)
  yield* lockRun(begun.run)
  yield* needOwn(begun, ownNames(request))
  const settings = yield* resumedConfig(begun, request.file, request.given)
  const before = wasUnderWay(begun) ? begun : undefined
  if (before !== undefined && settings.store === "sqlite" && !fs.existsSync(before.run.file("run.db"))) {
    return yield* new BadInput({ message: `${before.run.path} has lost its run.db, which held its judgments and steps: it cannot continue.` })
  }
  return { begun, before, settings }
})

const promptsOf = Effect.fnUntraced(function*(c: TrainConfig, own: ReadonlyArray<string> | undefined) {
  if (own === undefined) {
    return c.prompts === "embedded" ? embeddedPrompts(c.eval_prompts) : yield* readPrompts(c.prompts, c.eval_prompts)
  }
  return own.some((text) => text.trim() !== "")
    ? promptSet(own, c.eval_prompts)
    : yield* new BadInput({ message: "There is nothing to draw: give at least one prompt." })
})

/** A curriculum brings its own prompts. */
const curriculumOf = Effect.fnUntraced(function*(c: TrainConfig, own: ReadonlyArray<string> | undefined) {
  if (c.curriculum === "") return undefined
  if (own === undefined && c.prompts === "embedded") return yield* openCurriculum(c.curriculum, c.eval_prompts)
  return yield* new BadInput({
    message: `A curriculum (${c.curriculum}) says what is drawn, and so do the prompts${own === undefined ? ` (${c.prompts})` : " given in code"}: leave one of the two out.`
  })
})

const judgeOf = Effect.fnUntraced(function*(c: TrainConfig, { layers, style }: RunRequest) {
  const own = layers.judge
  if (replaces(own)) return { layer: own, size: c.render_size > 0 ? c.render_size : usualSize }
  if (c.reward === "score" && Object.hasOwn(judges, c.judge) && !judgesWithScores.includes(c.judge)) {
    return yield* new BadInput({
      message: `reward score learns from the judge's own scores, and ${c.judge} gives none: take a judge that does (${judgesWithScores.join(", ")}), or reward win_rate.`
    })
  }
  return yield* openJudge(c, style)
})

/** A resumed run uses the commit that it began with, even if the branch has moved. */
const policyOf = (c: TrainConfig, before: Begun | undefined, style: ProgressStyle) => {
  const commit = before?.config["model_commit"]
  if (typeof commit === "string") return openPolicy(`${c.model_name_or_path.split("@")[0]}@${commit}`, "", style)
  return openPolicy(c.model_name_or_path === "embedded" ? embedded("policy") : c.model_name_or_path, c.model_revision, style)
}

/** @param before the run to resume, if it was under way: everything its numbers depend on must be unchanged */
export const openParts = Effect.fnUntraced(function*(c: TrainConfig, before: Begun | undefined, request: RunRequest) {
  const curriculum = yield* curriculumOf(c, request.prompts)
  const prompts = curriculum?.prompts ?? (yield* promptsOf(c, request.prompts))
  const judge = yield* judgeOf(c, request)
  const policy = yield* policyOf(c, before, request.style)
  const trained = c.optimizer === "tinker" ? yield* trainedOnServer(c, policy.checkpoint, request.style) : yield* trainedParameters(c, policy.checkpoint)
  const facts = factsOf({ ...policy, prompts, curriculum })
  if (before !== undefined) yield* needFacts(before, { ...facts, ...trained.settings })
  if (before !== undefined) yield* needRuns(before, c, trained.settings)
  return { curriculum, prompts, judge, policy, trained, facts }
})
