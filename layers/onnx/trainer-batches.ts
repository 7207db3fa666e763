/** How a trainer divides a batch: into updates, and into runs that fit into memory. Sequences stay with their examples. */
import type { Example } from "../../src/objectives/objective.ts"
import { microBatches, type Sequence } from "./sequences.ts"

/** What a step learns from. A sequence shared by several examples is computed once. */
export interface Batch {
  readonly sequences: ReadonlyArray<Sequence>
  /** Their members are indices of `sequences`. */
  readonly examples: ReadonlyArray<Example>
}

/** Splits the examples into so many parts of nearly the same size, in their order, each with its own sequences alone. */
export const inParts = (batch: Batch, wanted: number): ReadonlyArray<Batch> => {
  const count = Math.min(wanted, Math.max(1, batch.examples.length))
  if (count === 1) return [batch]
  return Array.from({ length: count }, (_, n) => {
    const [from, to] = [n, n + 1].map((at) => Math.round(at * batch.examples.length / count))
    const examples = batch.examples.slice(from, to)
    const own = [...new Set(examples.flatMap(({ members }) => [...members]))]
    const place = new Map(own.map((sequence, at) => [sequence, at]))
    return {
      sequences: own.map((sequence) => batch.sequences[sequence]!),
      examples: examples.map((example): Example => {
        const [first, second] = example.members
        return { ...example, members: second === undefined ? [place.get(first)!] : [place.get(first)!, place.get(second)!] }
      })
    }
  })
}

/** One run's share of a batch: `own` lists its sequences of the batch; examples name them by their place in that list. */
export interface Part extends Batch {
  readonly own: ReadonlyArray<number>
}

/** Examples that share a sequence stay together. */
export const parts = (batch: Batch, budget: number): Array<Part> => {
  const groupOf = batch.sequences.map((_, n) => n)
  const root = (n: number): number => (groupOf[n] === n ? n : (groupOf[n] = root(groupOf[n]!)))
  for (const { members: [first, second = first] } of batch.examples) groupOf[root(first)] = root(second)
  const groups = Map.groupBy(batch.examples, ({ members: [first] }) => root(first))
  const members = (examples: ReadonlyArray<Example>) => [...new Set(examples.flatMap(({ members }) => [...members]))]
  const sized = (examples: ReadonlyArray<Example>) => ({
    rows: members(examples).length,
    length: Math.max(...members(examples).map((n) => batch.sequences[n]!.ids.length))
  })
  return microBatches([...groups.values()], sized, budget).map((together) => {
    const examples = together.flat()
    const own = members(examples)
    const placed = ([first, second]: Example["members"]): Example["members"] =>
      second === undefined ? [own.indexOf(first)] : [own.indexOf(first), own.indexOf(second)]
    return {
      own,
      sequences: own.map((n) => batch.sequences[n]!),
      examples: examples.map((example) => ({ ...example, members: placed(example.members) }))
    }
  })
}
