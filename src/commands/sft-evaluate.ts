/** The loss on held-out rows: what training would call its loss if these rows were its batch. */
import { roles } from "../roles/roles.ts"
import type { Evaluated } from "./sft-watch.ts"
import type { SftRow } from "./sft-rows.ts"

const mean = (logps: ReadonlyArray<ReadonlyArray<number>>): number | undefined => {
  let [sum, tokens] = [0, 0]
  for (const own of logps) {
    for (const logp of own) sum -= logp
    tokens += own.length
  }
  return tokens === 0 ? undefined : sum / tokens
}

/**
 * Negative log-likelihood, nats: means over the completions' tokens of all rows, of each kind (`eval_critique_loss`), and of
 * those that stage `stage` brings (`eval_stage_loss`). As in transformers, names begin with `eval_` and end with `loss`.
 *
 * @param logps of each row's completion tokens
 * @param stage from 0; undefined without a curriculum
 */
export const evaluationOf = (
  rows: ReadonlyArray<Pick<SftRow, "kind" | "stage">>,
  logps: ReadonlyArray<ReadonlyArray<number>>,
  stage: number | undefined
): { readonly evaluated: Evaluated; readonly metrics: Readonly<Record<string, number>> } => {
  const of = (test: (row: Pick<SftRow, "kind" | "stage">) => boolean) => mean(logps.filter((_, n) => test(rows[n]!)))
  const loss = mean(logps) ?? NaN
  const stageLoss = stage === undefined ? undefined : of((row) => row.stage === stage)
  const all: ReadonlyArray<readonly [string, number | undefined]> = [
    ["eval_loss", loss],
    ...roles.map((kind) => [`eval_${kind}_loss`, of((row) => row.kind === kind)] as const),
    ["eval_stage_loss", stageLoss]
  ]
  return { evaluated: { loss, stageLoss }, metrics: Object.fromEntries(all.flatMap(([name, value]) => value === undefined ? [] : [[name, value]])) }
}
