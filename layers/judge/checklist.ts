/**
 * Judge: a guide model checks each drawing against the requirements of its prompt, one by one. Score = met / n. The
 * higher score wins; equal scores are a tie. The confidence is the share of the requirements by which they differ. The
 * model looks at each drawing once, in however many pairs it is.
 *
 * Requirements come from a user's file (layers/guide/requirements.ts). For a prompt that is not in it, the model writes
 * them, once, and that answer is stored like any other.
 */
import { createHash } from "node:crypto"
import { Effect, Layer } from "effect"
import type { Prompt } from "../../src/domain.ts"
import type { Requirements } from "../guide/requirements.ts"
import { Judge } from "../../src/stages/Judge.ts"
import {
  type ChecklistAnswer,
  checklistQuestion,
  checklistRubric,
  decompositionRequest,
  decompositionRubric
} from "../guide/checklist-rubric.ts"
import { Guide } from "../guide/guide.ts"
import { makePointwiseJudge } from "../guide/pointwise.ts"
import type { Ask } from "../guide/sharing.ts"

export interface JudgeChecklistOptions {
  /** Requirements by the prompt's text. Default: none, and the model writes them all. */
  readonly requirements?: Requirements | undefined
}

interface Look {
  readonly requirements: ReadonlyArray<string>
  /** In the order of the requirements. */
  readonly rows: ChecklistAnswer["requirements"]
}

const metIn = ({ rows }: Look): number => rows.filter(({ met }) => met).length

/** The requirements that only one of them meets. */
const reasonOf = (a: Look, b: Look): string =>
  [
    `${metIn(a)} and ${metIn(b)} of ${a.rows.length} met`,
    ...a.requirements.flatMap((requirement, i) => {
      const [inA, inB] = [a.rows[i]!, b.rows[i]!]
      return inA.met === inB.met ? [] : [`only ${inA.met ? "A" : "B"}: ${requirement} (A: ${inA.evidence}; B: ${inB.evidence})`]
    })
  ].join(" | ")

export const layer = ({ requirements: known = new Map() }: JudgeChecklistOptions = {}) =>
  Layer.effect(
    Judge,
    Effect.gen(function*() {
      const guide = yield* Guide
      const requirementsOf = (ask: Ask, prompt: Prompt) => {
        const listed = known.get(prompt.text.trim())
        return listed !== undefined
          ? Effect.succeed(listed)
          : Effect.map(
            ask(guide.question(decompositionRubric, [{ text: decompositionRequest(prompt) }])),
            ({ requirements }) => requirements.map(({ requirement }) => requirement)
          )
      }
      const file = createHash("sha256").update(JSON.stringify([...known].sort(([a], [b]) => (a < b ? -1 : 1)))).digest("hex")
      return yield* makePointwiseJudge<Look>({
        name: "checklist",
        identity: [
          `checklist-1 model=${guide.model} rubric=${checklistRubric(1).version}`,
          `decomposition=${decompositionRubric.version} requirements=${known.size === 0 ? "none" : file.slice(0, 16)}`
        ].join(" "),
        look: Effect.fnUntraced(function*(ask, prompt, picture) {
          const requirements = yield* requirementsOf(ask, prompt)
          const { requirements: rows } = yield* ask(checklistQuestion(guide, prompt, requirements, picture))
          return { requirements, rows: rows.toSorted((a, b) => a.number - b.number) }
        }),
        compared: (a, b) => {
          const [metA, metB, n] = [metIn(a), metIn(b), a.rows.length]
          return {
            scores: [metA / n, metB / n],
            tie: metA === metB,
            confidence: Math.abs(metA - metB) / n,
            reason: reasonOf(a, b)
          }
        }
      })
    })
  )
