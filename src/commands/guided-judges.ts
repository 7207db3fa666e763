/** Judges that ask a guide model about more than pairs: their layers by name, and about how much each asks. */
import { Effect, Layer } from "effect"
import type { Guide } from "../../layers/guide/guide.ts"
import type { Use } from "../../layers/guide/allowance.ts"
import * as judgeChecklist from "../../layers/judge-checklist.ts"
import * as judgeDefects from "../../layers/judge-defects.ts"
import * as judgeList from "../../layers/judge-list.ts"
import type { TrainConfig } from "../config.ts"
import { readRequirements } from "../requirements.ts"
import type { Judge } from "../stages/Judge.ts"
import { BadInput } from "./flags.ts"

export type GuidedSettings = Pick<TrainConfig, "checklist_file" | "judge_orders">

export const guidedNames = ["list", "checklist", "defects"] as const
export type GuidedName = typeof guidedNames[number]

export const isGuided = (name: string): name is GuidedName => (guidedNames as ReadonlyArray<string>).includes(name)

const layers: Readonly<Record<GuidedName, (s: GuidedSettings) => Effect.Effect<Layer.Layer<Judge, never, Guide>, BadInput>>> = {
  list: ({ judge_orders }) => Effect.succeed(judgeList.layer({ orders: judge_orders })),
  checklist: ({ checklist_file }) =>
    checklist_file === ""
      ? Effect.succeed(judgeChecklist.layer())
      : readRequirements(checklist_file).pipe(
        Effect.map((requirements) => judgeChecklist.layer({ requirements })),
        Effect.mapError(({ message }) => new BadInput({ message }))
      ),
  defects: () => Effect.succeed(judgeDefects.layer())
}

/** The judge over a guide model. */
export const guidedJudge = <E>(name: GuidedName, settings: GuidedSettings, guide: Effect.Effect<Layer.Layer<Guide, E>, BadInput>) =>
  Effect.gen(function*() {
    return (yield* layers[name](settings)).pipe(Layer.provide(yield* guide))
  })

/** What a run may judge, at most. */
export interface Work {
  /** Prompts, each as often as it is drawn for. */
  readonly prompts: number
  /** Drawings of each. */
  readonly k: number
  readonly pairs: number
}

interface Estimate {
  readonly calls: number
  /** About what one call takes: rubric, request and small pictures in, a filled form out. */
  readonly use: Use
}

/** Calls at most, and about what one takes. The judges not listed here put every pair in each order. */
export const estimateOf = (name: string, { judge_orders }: Pick<GuidedSettings, "judge_orders">, { k, pairs, prompts }: Work): Estimate => {
  switch (name) {
    case "list": {
      const shown = Math.min(k, 8)
      const together = pairs < prompts * k * (k - 1) / 2 ? pairs : prompts * judgeList.listsOf(k).length
      return { calls: together * judge_orders, use: { inputTokens: 600 + 300 * shown, outputTokens: 80 + 50 * shown } }
    }
    case "checklist":
      return {
        calls: prompts * k + prompts, // one more for a prompt whose requirements nobody gave
        use: { inputTokens: 900, outputTokens: 350 }
      }
    case "defects":
      return { calls: prompts * k, use: { inputTokens: 1000, outputTokens: 250 } }
    default:
      return { calls: pairs * judge_orders, use: { inputTokens: 1200, outputTokens: 250 } }
  }
}
