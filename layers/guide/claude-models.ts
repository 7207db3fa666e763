/**
 * What is known of each Claude model: one row says its price and how it wants to be asked. A model that has no row is
 * asked in the way that every model takes, and its price has to be given.
 */
import type { Price } from "./prices.ts"

export interface ClaudeModel {
  /** Undefined where it is not known. */
  readonly price?: Price
  /** Whether it takes a temperature; a model that takes none refuses the whole request. It is then asked at 0. */
  readonly temperature: boolean
  /**
   * Tokens that it thinks before it answers. They are paid as output, and count in the limit on an answer's length.
   * `usual` is for a forecast; `most` is left free in that limit.
   */
  readonly thinking: { readonly usual: number; readonly most: number }
  /** How hard it is asked to think; undefined where it is not told. */
  readonly effort?: "low"
}

const haiku45: ClaudeModel = { price: { input: 1, output: 5 }, temperature: true, thinking: { usual: 0, most: 0 } }

const models: ReadonlyMap<string, ClaudeModel> = new Map([
  ["claude-haiku-4-5", haiku45],
  ["claude-haiku-4-5-20251001", haiku45],
  ["claude-haiku-5-5", {
    price: { input: 0.1, output: 0.5, long: { above: 100_000, input: 0.5, output: 2.5 } },
    temperature: false,
    thinking: { usual: 200, most: 4000 },
    effort: "low"
  }]
])

/** It may think by itself, as hard as it likes. */
const unknown: ClaudeModel = { temperature: false, thinking: { usual: 1000, most: 8000 } }

export const claudeModel = (name: string): ClaudeModel => models.get(name) ?? unknown

/** The model that is asked where none is named. */
export const defaultClaude = "claude-haiku-4-5"
