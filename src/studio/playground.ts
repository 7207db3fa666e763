/** Draws with the policies of a run, and lets judges compare what was drawn. */
import { Context, type Effect } from "effect"
import type { Refusal } from "../serve/refusals.ts"
import type { Draw, Drawn, Judged, JudgeAsked } from "./api.ts"

/** What is asked of a run's policies. */
export interface RunPolicies {
  /** The policy's model folder, from config.json. */
  readonly model: string
  /** Adapters by name; `base` is not among them. */
  readonly adapters: ReadonlyMap<string, string>
  /** How prompts are put. */
  readonly format: { readonly systemPrompt: string; readonly promptTemplate: string; readonly prefill: string }
  /** Most tokens of a drawing. */
  readonly maxNewTokens: number
}

/** A refusal says in one sentence what is wrong with the request, or that the machine has no place for it now. */
export class Playground extends Context.Service<Playground, {
  /** Names of the judges that may be asked. */
  readonly judges: ReadonlyArray<string>
  readonly draw: (run: RunPolicies, asked: typeof Draw.Type) => Effect.Effect<typeof Drawn.Type, Refusal>
  readonly judge: (asked: typeof JudgeAsked.Type) => Effect.Effect<typeof Judged.Type, Refusal>
}>()("vequinox/studio/Playground") {}
