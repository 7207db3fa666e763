/** The ledger of paid calls of a command that goes on where it was stopped, in a file of its own. */
import { Effect, Schema } from "effect"
import type { Ledger } from "../../src/stages/Ledger.ts"
import { openJournal } from "../../src/system/journal.ts"

/** A call is there when it is asked, with the most it can cost, and again when it has ended. */
const Line = Schema.Struct({
  call: Schema.Int,
  state: Schema.Literals(["asked", "ended"]),
  nanoUsd: Schema.Finite,
  /** The charge per nano-USD of the estimate. */
  rate: Schema.optionalKey(Schema.Finite)
})

/** `spent`: nano-USD of all its processes so far; a call in doubt counts as the most it can cost. */
export const openLedgerFile = Effect.fnUntraced(function*(file: string) {
  const journal = yield* openJournal(file, Line, "a paid call")
  const costs = new Map<number, number>()
  let excess = 1
  const take = ({ call, nanoUsd, rate = 1 }: typeof Line.Type) => {
    costs.set(call, nanoUsd)
    excess = Math.max(excess, rate)
  }
  journal.rows.forEach(take)
  let last = Math.max(0, ...costs.keys())
  const write = (line: typeof Line.Type) => Effect.tap(journal.append(line), () => Effect.sync(() => take(line)))
  const spent = Effect.sync(() => [...costs.values()].reduce((sum, nano) => sum + nano, 0))
  const ledger: Effect.Success<typeof Ledger> = {
    spentBefore: spent,
    excessBefore: Effect.sync(() => excess),
    asked: (_question, worst) => Effect.suspend(() => {
      const call = ++last
      return Effect.as(write({ call, state: "asked", nanoUsd: worst }), call)
    }),
    ended: (call, cost, rate) => write({ call, state: "ended", nanoUsd: cost, ...(rate === undefined ? {} : { rate }) })
  }
  return { ledger, spent }
})
