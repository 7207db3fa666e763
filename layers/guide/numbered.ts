/** Whether an answer speaks of each of n numbered things, 1 to n, once. In any order. */
export const isNumbered = (rows: ReadonlyArray<{ readonly number: number }>, n: number): boolean =>
  rows.length === n && new Set(rows.map(({ number }) => number)).size === n &&
  rows.every(({ number }) => Number.isInteger(number) && number >= 1 && number <= n)
