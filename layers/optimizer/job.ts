/**
 * Optimizer: each step is a round of offline DPO by `trl dpo`, run as a job on a cluster (layers/job). The lessons become rows, the
 * policy's adapter the checkpoint that the job resumes from, and the adapter that it leaves the next version.
 *
 * A round begins with fresh moments, so `state` has none, and one round of n updates is not n steps of another optimizer.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Layer, Ref } from "effect"
import { isPreference, type Lesson } from "../../src/domain.ts"
import type { LoraConfig } from "../../src/engine/weights/parameters.ts"
import { copyParameters, type Parameters } from "../../src/engine/weights/tensor.ts"
import { adapterFiles } from "../../src/model/adapter.ts"
import type { DecoderCheckpoint } from "../../src/model/model-folder.ts"
import type { PolicyTokenizer } from "../../src/model/tokenizer/tokenizer.ts"
import { lossNames } from "../../src/objectives/objectives.ts"
import { LossNotFinite, Optimizer, OptimizerFailed, type OptimizerState } from "../../src/stages/Optimizer.ts"
import { writeFile, writeFolder } from "../../src/system/files.ts"
import type { JobFailed, JobFiles } from "../job/cluster.ts"
import { resultOf } from "../job/result.ts"
import { type RoundOptions, runJob } from "../job/round.ts"
import { rowsOf } from "../job/rows.ts"
import { checkpointOf, notGiven, stateAtStart, type Trl, trlArguments, trlLosses, trlSettings } from "../job/trl.ts"

export interface OptimizerJobOptions extends RoundOptions, Omit<Trl, "lora"> {
  readonly checkpoint: DecoderCheckpoint
  readonly tokenizer: PolicyTokenizer
  /** One rank and alpha for all modules: the command line takes no patterns. */
  readonly lora: LoraConfig
  /** Where to start: a first snapshot's, or a resumed run's; its moments are not used. */
  readonly initial: OptimizerState
  /** Names the run: the same for every process of it, and for no other run. Letters and digits; the first eight count. */
  readonly run: string
  readonly files: JobFiles
  /** The program that is `trl`, with arguments before ours: `["trl"]`. */
  readonly program: ReadonlyArray<string>
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex")

/** Why these lessons cannot be rows, a sentence, or undefined. */
const unfit = (lessons: ReadonlyArray<Lesson>): string | undefined => {
  if (!lessons.every(isPreference)) return "trl dpo learns from pairs: choose a loss_type of pairs."
  const odd = lessons.find(({ weight, label }) => weight !== 1 || label !== 1)
  return odd === undefined ? undefined : `A pair has the weight ${odd.weight} and the label ${odd.label}, and trl dpo knows neither: leave weights and soft labels out.`
}

/** Fails with `OptimizerFailed` if a round could not be told to `trl dpo` exactly. */
const needFit = ({ lora, more, objective }: OptimizerJobOptions) => {
  const fail = (message: string) => Effect.fail(new OptimizerFailed({ message }))
  const loss = lossNames(objective.lossType).find((name) => !trlLosses.has(name))
  if (loss !== undefined) return fail(`trl dpo has no loss_type ${loss}: it has ${[...trlLosses].join(", ")}.`)
  if (Object.keys({ ...lora.ranks, ...lora.alphas }).length > 0) return fail("trl dpo trains adapters of one rank and one alpha, and this one has patterns: fold it into its base with vequinox merge.")
  const given = notGiven(more)
  return given === undefined ? Effect.void : fail(`${given} is not for --job-args: a round's files and length are set by the run.`)
}

/** The files that the job reads, in its round's folder, whole or not at all. */
const writeRound = (folder: string, rows: string, parameters: Parameters, base: string, o: OptimizerJobOptions) =>
  fs.existsSync(path.join(folder, "start")) ? Effect.void : writeFolder(folder, (part) =>
    Effect.forEach([
      ["rows/train.jsonl", rows] as const,
      ...adapterFiles(parameters, o.lora, { name: base, revision: null }).filter(([name]) => name !== "README.md").map(([name, bytes]) => [`start/${name}`, bytes] as const),
      ["start/trainer_state.json", stateAtStart(o)] as const
    ], ([name, bytes]) => writeFile(path.join(part, name), bytes), { discard: true }))

export const layer = (o: OptimizerJobOptions) =>
  Layer.effect(Optimizer, Effect.gen(function*() {
    yield* needFit(o)
    const moments: Parameters = new Map()
    const current = yield* Ref.make<OptimizerState>({ ...o.initial, moments })
    const failed = ({ message }: { readonly message: string }) => new OptimizerFailed({ message })
    /** The log's end stays on the screen; the error is one sentence. */
    const tellLog = ({ job, log }: JobFailed) =>
      log.length === 0 ? Effect.void : Effect.forEach([`The last lines of job ${job}:`, ...log.map((line) => `  ${line}`)], o.tell, { discard: true })

    const step = Effect.fn("Optimizer.step")(function*(lessons: ReadonlyArray<Lesson>) {
      const { parameters, rate = 1, updates, version } = yield* Ref.get(current)
      const weighed = lessons.filter(({ weight }) => weight > 0)
      const problem = unfit(weighed)
      if (problem !== undefined) return yield* new OptimizerFailed({ message: problem })
      const rows = rowsOf(weighed.filter(isPreference), o.tokenizer)
      const next = version + 1
      const left = rows.respelled === 0 ? {} : { "job/respelled": rows.respelled }
      if (rows.count === 0) {
        yield* Ref.update(current, (known) => ({ ...known, version: next }))
        return { snapshot: { version: next, parameters }, metrics: left }
      }
      const settings = trlSettings(o, { version, updates, rate, longest: rows.longest })
      const adapter = adapterFiles(parameters, o.lora, { name: "", revision: null })
      const content = sha256([rows.text, ...settings, o.files.paths("").model, ...adapter.map(([, bytes]) => createHash("sha256").update(bytes).digest("hex"))].join("\n"))
      const id = `vequinox-${o.run.slice(0, 8)}-${version}-${content.slice(0, 10)}`
      const paths = o.files.paths(id)
      const made = yield* Effect.gen(function*() {
        yield* writeRound(o.files.folder(id), rows.text, parameters, paths.model, o)
        yield* o.tell(`Round ${next}: ${rows.count} pairs, ${o.steps} updates${rows.respelled === 0 ? "" : `; ${rows.respelled} pairs left out, whose text is read as other tokens`}.`)
        const command = o.files.wrap(id, [...o.program, ...trlArguments(o, paths, settings)], checkpointOf(o))
        return yield* runJob(o, { id, command }, o.files.put(id), resultOf(id, o.files, o, o.checkpoint, parameters))
      }).pipe(Effect.tapError((error) => error._tag === "JobFailed" ? tellLog(error) : Effect.void), Effect.mapError(failed))
      if (made.notFinite !== undefined) return yield* new LossNotFinite({ message: `${made.notFinite}: lower the learning rate` })
      const snapshot = { version: next, parameters: made.parameters }
      yield* Ref.set(current, { ...snapshot, rate, updates: updates + o.steps, moments })
      return { snapshot, metrics: { ...made.metrics, ...left } }
    })

    return Optimizer.of({
      name: `trl dpo on ${o.cluster.name}`,
      step,
      state: Effect.map(Ref.get(current), (state) => ({ ...state, parameters: copyParameters(state.parameters) })),
      restore: (to) => Ref.set(current, { ...to, parameters: copyParameters(to.parameters), moments })
    })
  }))
