/**
 * Stores each judge's answers before they are used. Without a store nothing is kept; with one
 * (layers/store/judgments.ts) a resumed run reads the stored answers and never asks again.
 */
import { Context, type Effect } from "effect"
import type { Prompt, Verdict } from "../domain.ts"
import type { JudgeStopped } from "./Judge.ts"

/** All that a judgment depends on, and its place in the run. */
export interface Asked {
  readonly step: number
  readonly prompt: Prompt
  /** The judge's identity. */
  readonly judge: string
  /** The drawings in the order shown: position among the prompt's candidates, and hash of the picture. */
  readonly shown: ReadonlyArray<readonly [index: number, picture: string]>
  /** Whether the pictures are those without letters. */
  readonly bare: boolean
}

/** A store that fails stops the judge: an answer that cannot be kept must not be used. */
export const Judgments = Context.Reference<{
  readonly once: (
    asked: Asked,
    ask: Effect.Effect<ReadonlyArray<Verdict>, JudgeStopped>
  ) => Effect.Effect<ReadonlyArray<Verdict>, JudgeStopped>
}>("vequinox/Judgments", { defaultValue: () => ({ once: (_, ask) => ask }) })
