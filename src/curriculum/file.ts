/** Reads a curriculum: its stages, their prompts, and what is held out of all of them. */
import { createHash } from "node:crypto"
import * as path from "node:path"
import { Effect, Schema } from "effect"
import type { Prompt } from "../domain.ts"
import { promptOf, type PromptSet, promptSet, readPrompts } from "../prompts.ts"
import { parseCaption } from "../scenes/index.ts"
import { FileProblem, readText } from "../system/files.ts"
import { parseYaml } from "../system/yaml.ts"
import type { Stage } from "./course.ts"
import { embeddedCurriculum, isSelection, selectedPrompts, selections } from "./embedded.ts"
import { distinct } from "./mix.ts"
import { type StoredStage, terms } from "./stages.ts"

/** A curriculum that is ready to be run. */
export interface Curriculum {
  /** In the order in which the prompts widen; at least one. */
  readonly stages: ReadonlyArray<Stage>
  /** All prompts that are trained, and those that the run is evaluated on. */
  readonly prompts: PromptSet
  /** What config.json says of it. */
  readonly stored: ReadonlyArray<StoredStage>
  /** Of everything that the run's numbers depend on, hex. */
  readonly sha256: string
}

const Texts = Schema.Array(Schema.NonEmptyString).check(Schema.isMinLength(1))
const fields = { ...terms, prompts: Schema.Union([Schema.NonEmptyString, Texts]), held_out: Schema.optionalKey(Texts) }
const StageFile = Schema.Struct(fields)
type StageFile = typeof StageFile.Type

const Whole = Schema.Struct({ stages: Schema.Array(Schema.Unknown).check(Schema.isMinLength(1)) })

const oneLine = (text: string): string => text.replace(/\s+/g, " ").trim().replace(/\.$/, "")

/** Says what is wrong with a stage, or with the file if no stage is named. */
type Refuse = (problem: string) => FileProblem

const decodeStage = Effect.fnUntraced(function*(value: unknown, refuse: Refuse) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return yield* refuse("it must hold its name, prompts and threshold")
  for (const [name, given] of Object.entries(value)) {
    const field = Object.hasOwn(fields, name) ? fields[name as keyof typeof fields] as Schema.Codec<unknown> : undefined
    if (field === undefined) return yield* refuse(`there is no "${name}": a stage has ${Object.keys(fields).join(", ")}`)
    yield* Schema.decodeUnknownEffect(field)(given).pipe(Effect.mapError(({ message }) => refuse(`its ${name} is ${shown(given)}: ${oneLine(message)}`)))
  }
  const missing = (["name", "prompts", "threshold"] as const).find((name) => !(name in value))
  if (missing !== undefined) return yield* refuse(`it has no ${missing}`)
  return yield* Schema.decodeUnknownEffect(StageFile)(value).pipe(Effect.mapError(({ message }) => refuse(oneLine(message))))
})

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? "nothing"
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

const sourceOf = Effect.fnUntraced(function*(source: string, folder: string, heldOut: number, refuse: Refuse) {
  if (!isSelection(source)) return yield* readPrompts(path.resolve(folder, source), Infinity)
  const selected = selectedPrompts(source, heldOut)
  if (selected === undefined) return yield* refuse(`"${source}" names no prompts: give ${selections}`)
  if (selected.train.length === 0) return yield* refuse(`the grammar has no prompts for "${source}": check its words`)
  return selected
})

/** The prompts that a stage names, before what other stages hold out is taken away. */
const promptsOf = Effect.fnUntraced(function*({ held_out, prompts }: StageFile, folder: string, heldOut: number, refuse: Refuse) {
  const sources = typeof prompts === "string" ? [prompts] : prompts.filter(isSelection)
  const texts = typeof prompts === "string" ? [] : prompts.filter((text) => !isSelection(text))
  const named = yield* Effect.forEach(sources, (source) => sourceOf(source, folder, heldOut, refuse))
  const all = texts.length === 0 ? named : [...named, promptSet(texts, Infinity)]
  const train = all.flatMap(({ train }) => train)
  const held = all.flatMap(({ heldOut }) => heldOut)
  return held_out === undefined
    ? { train: distinct(train), heldOut: distinct(inTurn(all.map(({ heldOut }) => heldOut))) }
    : { train: distinct([...train, ...held]), heldOut: distinct(promptSet(held_out, 0).train.map(({ text }) => promptOf(text))) }
})

/** The first of each, the second of each, and so on: a few from the start are then of every kind. */
const inTurn = (lists: ReadonlyArray<ReadonlyArray<Prompt>>): ReadonlyArray<Prompt> =>
  Array.from({ length: Math.max(0, ...lists.map(({ length }) => length)) }, (_, n) => lists.flatMap((list) => list[n] ?? [])).flat()

/** What a stage asks for that cannot be. */
const problemOf = ({ drawings, evaluations, every, heldOut, max_steps = Infinity, measure, prompts, threshold }: Stage): string | undefined => {
  if (measure !== "score" && (threshold <= 0 || threshold > 1)) return `its threshold is ${threshold}, but ${measure} is a share: give a number over 0, at most 1`
  if (max_steps < evaluations * every) {
    return `it is given up after ${max_steps} steps (max_steps), but ${evaluations} evaluations, one every ${every} steps, need ${evaluations * every}`
  }
  if (heldOut.length === 0) return "it holds out no prompt to measure it on: give more prompts (one in five is held out), or name some as held_out"
  if (prompts.length === 0) return "all its prompts are held out, so there is nothing to train: give more"
  const unknown = heldOut.slice(0, drawings).find(({ text }) => parseCaption(text) === undefined)
  return measure === "right" && unknown !== undefined
    ? `it measures what is right, but the scene check does not know the prompt "${unknown.text.slice(0, 60)}": measure score or validity`
    : undefined
}

const read = Effect.fnUntraced(function*(file: string) {
  const text = yield* readText(file)
  return yield* parseYaml(text, (message) => new FileProblem({ message: `${file} is neither YAML nor JSON: ${oneLine(message)}.` }))
})

const storedOf = (stage: Stage): StoredStage => {
  const { heldOut, prompts, ...others } = stage
  return { ...others, prompts: prompts.length, held_out: heldOut.length }
}

/**
 * Fails if the file cannot be read or used; the message names the stage, what is wrong and what to do. Prompts that any
 * stage holds out are trained in none. Files of prompts are found from the curriculum's own folder.
 *
 * @param given YAML or JSON, or `embedded`
 * @param evalPrompts prompts that the run is evaluated on, at most: what the last stage holds out, then the one before
 */
export const openCurriculum = Effect.fn("openCurriculum")(function*(given: string, evalPrompts: number) {
  const file = given === "embedded" ? "The embedded curriculum" : given
  const content: unknown = given === "embedded" ? embeddedCurriculum : yield* read(given)
  const { stages: listed } = yield* Schema.decodeUnknownEffect(Whole)(content).pipe(Effect.mapError((error) =>
    new FileProblem({ message: `${file} must hold a list of stages, "stages: [...]": ${oneLine(error.message)}.` })))
  const decoded = yield* Effect.forEach(listed, (value, n) =>
    Effect.gen(function*() {
      const refuse: Refuse = (problem) => new FileProblem({ message: `${file}, stage ${n + 1}: ${problem}.` })
      const stage = yield* decodeStage(value, refuse)
      const own = yield* promptsOf(stage, path.dirname(given), Math.max(evalPrompts, stage.drawings), refuse)
      const { held_out: _, prompts: __, ...others } = stage
      return { ...others, own, refuse }
    }))
  const heldOut = new Set(decoded.flatMap(({ own }) => own.heldOut.map(({ id }) => id)))
  const stages = yield* Effect.forEach(decoded, ({ own, refuse, ...others }) =>
    Effect.gen(function*() {
      const stage: Stage = { ...others, prompts: own.train.filter(({ id }) => !heldOut.has(id)), heldOut: own.heldOut }
      const problem = problemOf(stage)
      return problem === undefined ? stage : yield* refuse(problem)
    }))
  return {
    stages,
    prompts: {
      train: distinct(stages.flatMap(({ prompts }) => prompts)),
      heldOut: distinct(stages.toReversed().flatMap(({ heldOut }) => heldOut)).slice(0, evalPrompts)
    },
    stored: stages.map(storedOf),
    sha256: createHash("sha256").update(JSON.stringify(stages)).digest("hex")
  } satisfies Curriculum as Curriculum
})
