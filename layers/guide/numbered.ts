/** Whether an answer covers each of n numbered things, 1 to n, exactly once, in any order. */
export const isNumbered = (rows: ReadonlyArray<{ readonly number: number }>, n: number): boolean =>
  rows.length === n && new Set(rows.map(({ number }) => number)).size === n &&
  rows.every(({ number }) => Number.isInteger(number) && number >= 1 && number <= n)
