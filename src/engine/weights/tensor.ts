/** Dense arrays with a shape: what flows between files, graphs and update rules. */

export interface Tensor {
  /** Row-major. */
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array
}

/** Named float32 parameters; the names are those of the checkpoint file they come from. */
export type Parameters = ReadonlyMap<string, Tensor>

export const sizeOf = (shape: ReadonlyArray<number>): number => shape.reduce((n, d) => n * d, 1)

/** The ids, right-padded to `length`. */
export const padTo = (ids: ReadonlyArray<number>, length: number, fill = 0): Array<number> =>
  Array.from({ length }, (_, i) => ids[i] ?? fill)

export const zeros = (shape: ReadonlyArray<number>): Tensor => ({ shape, data: new Float32Array(sizeOf(shape)) })

/** A deep copy: later writes on one side do not reach the other. */
export const copyParameters = (parameters: Parameters): Map<string, Tensor> =>
  new Map([...parameters].map(([name, { data, shape }]) => [name, { shape, data: data.slice() }]))
