/** Judges that ask a guide model, as --judge names them: their layers, and about how much each asks. */
import { Effect, Layer } from "effect"
import type { Use } from "../../layers/guide/allowance.ts"
import type { AnswersFailed } from "../../layers/guide/answers-failed.ts"
import type { Guide } from "../../layers/guide/guide.ts"
import { makePairJudge } from "../../layers/guide/pair-judge.ts"
import * as judgeChecklist from "../../layers/judge/checklist.ts"
import * as judgeDefects from "../../layers/judge/defects.ts"
import * as judgeList from "../../layers/judge/list.ts"
import type { TrainConfig } from "./settings.ts"
import { readRequirements } from "../../layers/guide/requirements.ts"
import { Judge } from "../stages/Judge.ts"
import { BadInput } from "../system/errors.ts"
import { guideLayer, type GuideSettings } from "./guides.ts"

export type GuidedSettings = GuideSettings & Pick<TrainConfig, "checklist_file" | "judge_orders">

/** What a run may judge, at most. */
export interface Work {
  /** Prompts, each as often as it is drawn for. */
  readonly prompts: number
  /** Drawings of each. */
  readonly k: number
  readonly pairs: number
}

export interface Estimate {
  /** At most. */
  readonly calls: number
  /** About what one call takes: rubric, request and small pictures in, a filled form out. */
  readonly use: Use
}

interface GuidedJudge {
  readonly judge: (settings: GuidedSettings) => Effect.Effect<Layer.Layer<Judge, never, Guide>, BadInput>
  readonly estimate: (settings: Pick<GuidedSettings, "judge_orders">, work: Work) => Estimate
}

/** Pairs, in each order. */
const pairs = (name: string): GuidedJudge => ({
  judge: ({ judge_orders }) => Effect.succeed(Layer.effect(Judge, makePairJudge({ name, orders: judge_orders }))),
  estimate: ({ judge_orders }, { pairs }) => ({ calls: pairs * judge_orders, use: { inputTokens: 1200, outputTokens: 250 } })
})

export const guidedJudges = {
  claude: pairs("claude"),
  openai: pairs("openai"),
  list: {
    judge: ({ judge_orders }) => Effect.succeed(judgeList.layer({ orders: judge_orders })),
    estimate: ({ judge_orders }, { k, pairs, prompts }) => {
      const shown = Math.min(k, 8)
      const together = pairs < prompts * k * (k - 1) / 2 ? pairs : prompts * judgeList.listsOf(k).length
      return { calls: together * judge_orders, use: { inputTokens: 600 + 300 * shown, outputTokens: 80 + 50 * shown } }
    }
  },
  checklist: {
    judge: ({ checklist_file }) =>
      checklist_file === ""
        ? Effect.succeed(judgeChecklist.layer())
        : readRequirements(checklist_file).pipe(
          Effect.map((requirements) => judgeChecklist.layer({ requirements })),
          Effect.mapError(({ message }) => new BadInput({ message }))
        ),
    // One more for a prompt whose requirements nobody gave.
    estimate: (_, { k, prompts }) => ({ calls: prompts * k + prompts, use: { inputTokens: 900, outputTokens: 350 } })
  },
  defects: {
    judge: () => Effect.succeed(judgeDefects.layer()),
    estimate: (_, { k, prompts }) => ({ calls: prompts * k, use: { inputTokens: 1000, outputTokens: 250 } })
  }
} as const satisfies Readonly<Record<string, GuidedJudge>>

/** The judge over its guide model. */
export const guidedLayer = Effect.fnUntraced(function*(
  { judge }: GuidedJudge,
  settings: GuidedSettings
): Effect.fn.Return<Layer.Layer<Judge, AnswersFailed>, BadInput> {
  return (yield* judge(settings)).pipe(Layer.provide(yield* guideLayer(settings)))
})
