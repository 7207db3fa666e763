/**
 * Where a stopped `vequinox sft` goes on: parameters, AdamW's moments, the best parameters so far, what evaluations decided,
 * and the curve, in one safetensors file beside --out.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { Effect, Schema } from "effect"
import { headerLength, encodeSafetensors, parseHeader, toFloat32 } from "../engine/weights/safetensors.ts"
import type { Parameters, Tensor } from "../engine/weights/tensor.ts"
import { BadInput } from "../system/errors.ts"
import { explain, readBytes, writeFile } from "../system/files.ts"
import { Watched } from "./sft-watch.ts"

export interface SftState {
  /** Updates made. */
  readonly step: number
  /** Wall clock until then. */
  readonly seconds: number
  readonly curve: ReadonlyArray<Readonly<Record<string, number>>>
  readonly watched: Watched
  /** Under which trackers know the work, and the last steps they were told: a killed process may not have sent them. */
  readonly tracked?: { readonly id: string; readonly last: ReadonlyArray<Readonly<Record<string, number>>> } | undefined
  readonly parameters: Parameters
  /** AdamW's, `exp_avg.` and `exp_avg_sq.` before the names of the parameters. */
  readonly moments: Parameters
  /** Those of `watched.best`, where they are kept; `best.` before the names. */
  readonly best: Parameters | undefined
}

const Told = Schema.Struct({
  work: Schema.String,
  step: Schema.Int,
  seconds: Schema.Finite,
  curve: Schema.Array(Schema.Record(Schema.String, Schema.Finite)),
  watched: Watched,
  tracked: Schema.optional(Schema.Struct({ id: Schema.String, last: Schema.Array(Schema.Record(Schema.String, Schema.Finite)) }))
})
const decode = Schema.decodeUnknownSync(Schema.fromJsonString(Told))

export const stateFile = (out: string): string => `${out.replace(/\/+$/, "")}.partial.safetensors`

/** What a state belongs to: the settings that decide its numbers, and the rows. Hex. */
export const workOf = (settings: Readonly<Record<string, unknown>>, rows: unknown): string =>
  createHash("sha256").update(JSON.stringify([settings, rows])).digest("hex")

const bestPrefix = "best."

const isMoment = (name: string): boolean => name.startsWith("exp_avg.") || name.startsWith("exp_avg_sq.")

/** Undefined if there is none. Fails with `BadInput` if it is damaged or of other work: nothing is then overwritten. */
export const readState = Effect.fnUntraced(function*(out: string, work: string) {
  const file = stateFile(out)
  if (!fs.existsSync(file)) return undefined
  const bytes = new Uint8Array(yield* readBytes(file)) // a Buffer's slices would share its memory
  const refuse = (problem: string) => new BadInput({ message: `${file} ${problem}: move it away to begin anew, or choose another --out.` })
  const state = yield* Effect.try({
    try: () => {
      const header = bytes.subarray(8, 8 + headerLength(bytes, bytes.length))
      const parameters = new Map<string, Tensor>()
      const moments = new Map<string, Tensor>()
      const best = new Map<string, Tensor>()
      for (const [name, { dtype, length, offset, shape }] of parseHeader(header, bytes.length)) {
        const data = toFloat32(bytes.subarray(offset, offset + length), dtype)
        if (name.startsWith(bestPrefix)) best.set(name.slice(bestPrefix.length), { shape, data })
        else (isMoment(name) ? moments : parameters).set(name, { shape, data })
      }
      const { __metadata__: { sft } } = JSON.parse(new TextDecoder().decode(header)) as { readonly __metadata__: { readonly sft: string } }
      return { ...decode(sft), parameters, moments, best: best.size === 0 ? undefined : best }
    },
    catch: (cause) => refuse(`cannot be read (${explain(cause).replace(/\s+/g, " ")})`)
  })
  const { work: its, ...rest } = state
  return its === work ? rest satisfies SftState as SftState : yield* refuse("was left by sft with other settings or rows")
})

/** The old state is replaced in one step. */
export const writeState = Effect.fnUntraced(function*(out: string, work: string, { best, moments, parameters, ...told }: SftState) {
  const file = stateFile(out)
  const named = [...best ?? []].map(([name, tensor]) => [bestPrefix + name, tensor] as const)
  const sft = JSON.stringify({ work, ...told } satisfies typeof Told.Type)
  yield* writeFile(`${file}.new`, encodeSafetensors(new Map([...parameters, ...moments, ...named]), "F32", { format: "pt", sft }))
  yield* Effect.try({
    try: () => fs.renameSync(`${file}.new`, file),
    catch: (cause) => new BadInput({ message: `${file} cannot be written: ${explain(cause)}.` })
  })
})
