/**
 * Prices of models, USD per million tokens. Prices change: the settings judge_input_price and judge_output_price
 * override them.
 */
export interface Price {
  readonly input: number
  readonly output: number
}

export const prices: Readonly<Record<string, Price>> = {
  "claude-haiku-4-5": { input: 1, output: 5 },
  "claude-haiku-4-5-20251001": { input: 1, output: 5 }
}

/** The price in the Message Batches API: half of every price. */
export const batchPrice = ({ input, output }: Price): Price => ({ input: input / 2, output: output / 2 })

/** nano-USD, whole, rounded up. */
export const costOf = (price: Price, inputTokens: number, outputTokens: number): number =>
  Math.ceil((inputTokens * price.input + outputTokens * price.output) * 1000 - 1e-6)

/** An upper bound of a text's tokens, by its characters: for what is set aside, never for what is paid. */
export const tokensAtMost = (characters: number): number => characters
