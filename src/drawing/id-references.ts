/**
 * Counts what a drawing's `#id` references expand to. The renderer expands `use`, patterns, masks, clips, markers and
 * filters; a few lines can make it draw millions of elements, or the drawing itself for ever.
 */

export interface Referencing {
  readonly id: string | undefined
  /** Ids that this element's own attributes name. */
  readonly names: ReadonlyArray<string>
  readonly children: ReadonlyArray<Referencing>
}

/**
 * Elements drawn when every reference is expanded, counted up to `limit`.
 *
 * @returns Infinity for a cycle or for more than `limit`
 */
export const expandedSize = (root: Referencing, limit: number): number => {
  const byId = new Map<string, Referencing>()
  const index = (node: Referencing): void => {
    if (node.id !== undefined && !byId.has(node.id)) byId.set(node.id, node)
    node.children.forEach(index)
  }
  index(root)
  const known = new Map<Referencing, number>()
  const open = new Set<Referencing>()
  const size = (node: Referencing): number => {
    const before = known.get(node)
    if (before !== undefined) return before
    if (open.has(node)) return Infinity
    open.add(node)
    let total = 1
    for (const next of [...node.children, ...node.names.flatMap((name) => byId.get(name) ?? [])]) {
      total += size(next)
      if (total > limit) total = Infinity
    }
    open.delete(node)
    known.set(node, total)
    return total
  }
  return size(root)
}
