/**
 * The drawings of each step as a table, in the place and columns of TRL 1.16's `log_completions`:
 * `completions/completions_00042.parquet` with step, prompt, completion, a column for each reward, extras, advantage. Ours
 * differs in this: `completion` is the whole drawing, the prefill included; the extras are outcome, tokens and
 * policy_version; a run that learns from pairs has no advantages, and its reward is the judge's win rate.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Layer } from "effect"
import { type CompletionRow, Tracker, untracked } from "../../src/stages/Tracker.ts"
import { makeFolders } from "../../src/system/folders.ts"
import { codeOf } from "../../src/system/http-failure.ts"
import { bounded, TrackerFailed } from "./bounded.ts"

export interface ParquetOptions {
  /** Folder of the tables; made if it is missing. */
  readonly folder: string
  /** Tables of this step and later ones are left over from a process that was stopped: they are removed. */
  readonly from: number | undefined
  readonly note: (line: string) => Effect.Effect<void>
}

interface Table {
  readonly step: number
  readonly rows: ReadonlyArray<CompletionRow>
}

const nameOf = (step: number): string => `completions_${String(step).padStart(5, "0")}.parquet`
const tableFile = /^completions_(\d+)\.parquet(\.part)?$/

const encode = async ({ rows, step }: Table): Promise<Uint8Array> => {
  const { parquetWriteBuffer } = await import("hyparquet-writer")
  const rewards = [...new Set(rows.flatMap(({ rewards }) => Object.keys(rewards)))]
  const nullable = (values: ReadonlyArray<number | undefined>) => values.map((value) => value ?? null)
  return new Uint8Array(parquetWriteBuffer({
    createdBy: "vequinox",
    columnData: [
      { name: "step", type: "INT64", data: rows.map(() => BigInt(step)) },
      { name: "prompt", type: "STRING", data: rows.map(({ prompt }) => prompt) },
      { name: "completion", type: "STRING", data: rows.map(({ completion }) => completion) },
      ...rewards.map((name) => ({ name, type: "DOUBLE" as const, data: nullable(rows.map(({ rewards }) => rewards[name])) })),
      { name: "outcome", type: "STRING", data: rows.map(({ outcome }) => outcome) },
      { name: "tokens", type: "INT64", data: rows.map(({ tokens }) => BigInt(tokens)) },
      { name: "policy_version", type: "INT64", data: rows.map(({ policyVersion }) => BigInt(policyVersion)) },
      { name: "advantage", type: "DOUBLE", data: nullable(rows.map(({ advantage }) => advantage)) }
    ]
  }))
}

export const layer = ({ folder, from = 0, note }: ParquetOptions) => Layer.effect(Tracker, Effect.gen(function*() {
  let begun = false
  const begin = () => {
    makeFolders(folder)
    for (const name of fs.readdirSync(folder)) {
      if (Number(tableFile.exec(name)?.[1] ?? -1) >= from) fs.rmSync(path.join(folder, name))
    }
    begun = true
  }
  const send = (tables: ReadonlyArray<Table>) =>
    Effect.tryPromise({
      try: async () => {
        if (!begun) begin()
        for (const table of tables) {
          const file = path.join(folder, nameOf(table.step))
          await fs.promises.writeFile(`${file}.part`, await encode(table))
          await fs.promises.rename(`${file}.part`, file)
        }
      },
      catch: (cause) => new TrackerFailed({ reason: `${folder} cannot be written: ${codeOf(cause)}`, passes: true })
    })
  const { dropped, end, offer } = yield* bounded({ name: "parquet", capacity: 256, batch: 8, send, note })
  return {
    ...untracked,
    step: ({ completions, step }) =>
      Effect.suspend(() => {
        const rows = completions()
        return rows.length === 0 ? Effect.void : offer({ step, rows })
      }),
    dropped,
    end
  }
}))
