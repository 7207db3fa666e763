/** In which order rows are trained: a pure function of the seed, the rows, and the steps at which stages began. */
import { random, shuffled } from "../engine/random.ts"
import { type Role, roles } from "../roles/roles.ts"
import type { Mix } from "./mix.ts"

export interface Placed {
  readonly kind: Role
  /** From 0: the stage of a curriculum that brings the row. */
  readonly stage: number
}

/** Epochs without replacement over the rows of a stage and those before it. A new stage begins a new epoch. */
class Queue {
  readonly #rows: ReadonlyArray<readonly [row: number, stage: number]>
  readonly #counters: ReadonlyArray<number>
  #stage = 0
  #epoch = 0
  #left: Array<number> = []

  constructor(rows: ReadonlyArray<readonly [row: number, stage: number]>, ...counters: ReadonlyArray<number>) {
    this.#rows = rows
    this.#counters = counters
  }

  /** Undefined if no row is there yet. */
  next(stage: number): number | undefined {
    if (stage !== this.#stage) this.#left = []
    this.#stage = stage
    if (this.#left.length === 0) {
      const there = this.#rows.flatMap(([row, its]) => its <= stage ? [row] : [])
      this.#left = shuffled(random(...this.#counters, this.#epoch++), there).reverse()
    }
    return this.#left.pop()
  }
}

interface Weighted {
  readonly queue: Queue
  readonly weight: number
  credit: number
}

/**
 * Without a mix all rows are alike. With one, each kind has its share of any stretch of the order, to within a row
 * (smooth weighted round robin); a kind has epochs of its own.
 */
export class TrainingOrder {
  readonly #kinds: ReadonlyArray<Weighted>

  constructor(rows: ReadonlyArray<Placed>, mix: Mix | undefined, seed: number) {
    const placed = rows.map(({ kind, stage }, row) => ({ kind, row: [row, stage] as const }))
    this.#kinds = mix === undefined
      ? [{ queue: new Queue(placed.map(({ row }) => row), seed), weight: 1, credit: 0 }]
      : roles.flatMap((kind, n) => {
        const own = placed.flatMap((row) => row.kind === kind ? [row.row] : [])
        return mix.has(kind) ? [{ queue: new Queue(own, seed, 1 + n), weight: mix.get(kind)!, credit: 0 }] : []
      })
  }

  /** The next rows. @param stage from 0; at least one row must be there */
  take(count: number, stage: number): ReadonlyArray<number> {
    return Array.from({ length: count }, () => {
      const waiting = new Set(this.#kinds)
      while (true) {
        for (const kind of waiting) kind.credit += kind.weight
        const total = [...waiting].reduce((sum, { weight }) => sum + weight, 0)
        const first = [...waiting].reduce((most, kind) => kind.credit > most.credit ? kind : most)
        const row = first.queue.next(stage)
        if (row !== undefined) {
          first.credit -= total
          return row
        }
        // An easy stage may have no row of this kind.
        for (const kind of waiting) kind.credit -= kind.weight
        waiting.delete(first)
      }
    })
  }
}
