/** An impossible graph: a bug in the caller, thrown while the graph is built. */
export class ShapeError extends Error {
  override readonly name = "ShapeError"
}

export const wrongShape = (message: string): never => {
  throw new ShapeError(message)
}
