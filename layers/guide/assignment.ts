/** One-to-one matching of the largest total worth. */

/**
 * The column given to each row so that the sum of `worth[row][column]` is the largest there is; -1 for rows left over
 * where columns are fewer. Kuhn-Munkres by shortest augmenting paths with potentials (Jonker & Volgenant 1987), O(n³).
 *
 * @param worth [row][column], finite
 */
export const assignment = (worth: ReadonlyArray<ReadonlyArray<number>>): Array<number> => {
  const rows = worth.length
  const columns = worth[0]?.length ?? 0
  if (rows > columns) {
    const given = Array<number>(rows).fill(-1)
    const transposed = Array.from({ length: columns }, (_, c) => worth.map((row) => row[c]!))
    assignment(transposed).forEach((row, column) => {
      given[row] = column
    })
    return given
  }
  const cost = (row: number, column: number): number => -worth[row]![column]!
  const rowPotential = new Float64Array(rows)
  const columnPotential = new Float64Array(columns)
  const rowOf = new Int32Array(columns).fill(-1)
  for (let row = 0; row < rows; row++) {
    const shortest = new Float64Array(columns).fill(Infinity)
    const before = new Int32Array(columns).fill(-1)
    const done = new Uint8Array(columns)
    let [at, from] = [row, -1]
    for (;;) {
      let [next, least] = [-1, Infinity]
      for (let c = 0; c < columns; c++) {
        if (done[c] === 1) continue
        const reduced = cost(at, c) - rowPotential[at]! - columnPotential[c]!
        if (reduced < shortest[c]!) {
          shortest[c] = reduced
          before[c] = from
        }
        if (shortest[c]! < least) [next, least] = [c, shortest[c]!]
      }
      rowPotential[row]! += least
      for (let c = 0; c < columns; c++) {
        if (done[c] === 1) {
          rowPotential[rowOf[c]!]! += least
          columnPotential[c]! -= least
        } else shortest[c]! -= least
      }
      done[next] = 1
      from = next
      at = rowOf[next]!
      if (at < 0) break
    }
    // The path back from the free column: each column on it takes its predecessor's row.
    for (let c = from; c >= 0; c = before[c]!) rowOf[c] = before[c]! < 0 ? row : rowOf[before[c]!]!
  }
  const given = Array<number>(rows).fill(-1)
  rowOf.forEach((row, column) => {
    if (row >= 0) given[row] = column
  })
  return given
}
