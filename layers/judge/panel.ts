/**
 * Judge: several judges vote. A drawing wins with more than half of all weight (`majority`), with all of it
 * (`unanimity`), or if one judge prefers it and each of the others at least ties it (`pareto`: better in something,
 * worse in nothing). A tie or an abstention is a vote for neither. A member that refuses abstains; a busy member makes
 * the panel busy, and one that stops stops the panel.
 */
import { Context, Effect, Layer, type Scope } from "effect"
import { type Picture, type Prompt, Verdict } from "../../src/domain.ts"
import { Judge, JudgeRefused } from "../../src/stages/Judge.ts"

export interface PanelMember<E, R> {
  readonly judge: Layer.Layer<Judge, E, R>
  /** > 0, default 1. */
  readonly weight?: number
}

/**
 * The service that a layer makes, so that several services of one stage can exist side by side. It lives as long as the
 * scope.
 */
export const built = <E, R>(layer: Layer.Layer<Judge, E, R>): Effect.Effect<Judge["Service"], E, R | Scope.Scope> =>
  Effect.map(Layer.build(Layer.fresh(layer)), Context.get(Judge))

export type PanelRule = "majority" | "unanimity" | "pareto"

/** Confidence is (weight for - weight against) / all weight, times the winners' mean confidence. @param members at least one */
export const layer = <E, R>(
  members: ReadonlyArray<PanelMember<E, R>>,
  rule: PanelRule = "majority"
) =>
  Layer.effect(
    Judge,
    Effect.gen(function*() {
      const panel = yield* Effect.forEach(members, ({ judge, weight = 1 }) =>
        Effect.map(built(judge), (judge) => ({ judge, weight })))
      const all = panel.reduce((sum, { weight }) => sum + weight, 0)
      const compare = Effect.fn("Judge.compare")(function*(prompt: Prompt, a: Picture, b: Picture) {
        const votes = yield* Effect.forEach(panel, ({ judge, weight }) =>
          judge.compare(prompt, a, b).pipe(
            Effect.map((verdict) => ({ verdict, weight })),
            Effect.catchTag("JudgeRefused", (error) => Effect.succeed({ verdict: undefined, weight, error }))
          ), { concurrency: "unbounded" })
        const costUsd = votes.reduce((sum, vote) => sum + (("error" in vote ? vote.error.costUsd : vote.verdict.costUsd) ?? 0), 0)
        const answers = votes.flatMap(({ verdict, weight }) => (verdict === undefined ? [] : [{ verdict, weight }]))
        if (answers.length === 0) {
          const said = votes.map((vote) => ("error" in vote ? vote.error.message : "")).join("; ")
          return yield* new JudgeRefused({ message: `no judge of the panel answered (${said})`, costUsd })
        }
        const forSide = (side: "A" | "B") => answers.filter(({ verdict }) => verdict.outcome === side)
        const weightOf = (side: "A" | "B") => forSide(side).reduce((sum, { weight }) => sum + weight, 0)
        const [weightA, weightB] = [weightOf("A"), weightOf("B")]
        const wins = (weight: number, against: number) => {
          switch (rule) {
            case "majority":
              return weight > all / 2 + 1e-9
            case "unanimity":
              return weight >= all - 1e-9
            case "pareto":
              return weight > 0 && against === 0 && answers.length === panel.length
          }
        }
        const outcome = wins(weightA, weightB) ? "A" : wins(weightB, weightA) ? "B" : "tie"
        const reason = answers.map(({ verdict }) =>
          `${verdict.by}: ${verdict.outcome}${verdict.reason === undefined ? "" : ` (${verdict.reason})`}`
        ).join(" | ")
        if (outcome === "tie") return new Verdict({ outcome, confidence: 0, by: "panel", reason, costUsd })
        const winners = forSide(outcome)
        const sure = winners.reduce((sum, { verdict, weight }) => sum + weight * verdict.confidence, 0) / weightOf(outcome)
        return new Verdict({ outcome, confidence: Math.abs(weightA - weightB) / all * sure, by: "panel", reason, costUsd })
      })
      return Judge.of({
        name: "panel",
        identity: `panel-1 ${rule} [${panel.map(({ judge, weight }) => `${weight} x ${judge.identity}`).join("; ")}]`,
        concurrency: Math.min(...panel.map(({ judge }) => judge.concurrency)),
        free: panel.every(({ judge }) => judge.free === true),
        compare
      })
    })
  )
