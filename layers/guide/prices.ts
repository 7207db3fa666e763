/**
 * Prices of a model, USD per million tokens. Prices change: the settings judge_input_price and judge_output_price
 * override those that are known here (claude-models.ts).
 */
export interface Price {
  readonly input: number
  readonly output: number
  /** What a call costs whose input has more than `above` tokens. Default: the same. */
  readonly long?: { readonly above: number; readonly input: number; readonly output: number }
}

const half = <A extends Price>(price: A): A => ({ ...price, input: price.input / 2, output: price.output / 2 })

/** The price in the Message Batches API: half of every price. */
export const batchPrice = (price: Price): Price => ({ ...half(price), ...(price.long === undefined ? {} : { long: half(price.long) }) })

/** nano-USD of one call, whole, rounded up. */
export const costOf = (price: Price, inputTokens: number, outputTokens: number): number => {
  const { input, output } = price.long !== undefined && inputTokens > price.long.above ? price.long : price
  return Math.ceil((inputTokens * input + outputTokens * output) * 1000 - 1e-6)
}

/** An upper bound of a text's tokens, by its characters: for what is set aside, never for what is paid. */
export const tokensAtMost = (characters: number): number => characters
