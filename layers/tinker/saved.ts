/**
 * Which of the server's training checkpoints holds which weights. A run's states and versions are parameters here and a checkpoint
 * there; an adapter cannot be sent to the server, so what is not in this list cannot be trained further or drawn from.
 */
import { createHash } from "node:crypto"
import { Effect, Schema, type Scope } from "effect"
import { encodeSafetensors } from "../../src/engine/weights/safetensors.ts"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import type { FileProblem } from "../../src/system/files.ts"
import { openJournal } from "../../src/system/journal.ts"

const Row = Schema.Struct({
  /** SHA-256 of the parameters, hex. */
  sha256: Schema.String,
  /** Updates that its optimizer has made. */
  updates: Schema.Int,
  /** tinker://... */
  path: Schema.String
})
type Row = typeof Row.Type

/** SHA-256 of an adapter's weights, hex: the same for the same numbers. */
export const digestOf = (parameters: Parameters): string => createHash("sha256").update(encodeSafetensors(parameters)).digest("hex")

export interface SavedWeights {
  /** Durable when it returns. */
  readonly note: (parameters: Parameters, updates: number, path: string) => Effect.Effect<void, FileProblem>
  /** The checkpoint that a state goes on from, or, without `updates`, one with these weights. */
  readonly find: (parameters: Parameters, updates?: number) => string | undefined
}

/** @param file where the list is kept for a resumed run; undefined: in memory */
export const openSaved = (file: string | undefined): Effect.Effect<SavedWeights, FileProblem, Scope.Scope> =>
  Effect.gen(function*() {
    const journal = file === undefined ? undefined : yield* openJournal<Row>(file, Row, "a saved state")
    const rows: Array<Row> = [...journal?.rows ?? []]
    return {
      note: (parameters, updates, path) => {
        const row: Row = { sha256: digestOf(parameters), updates, path }
        rows.push(row)
        return journal === undefined ? Effect.void : journal.append(row)
      },
      find: (parameters, updates) => {
        const sha256 = digestOf(parameters)
        // The newest: an older one may be of a session that was lost.
        return rows.findLast((row) => row.sha256 === sha256 && (updates === undefined || row.updates === updates))?.path
      }
    }
  })
