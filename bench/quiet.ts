/**
 * Measuring on a machine that others use too. Rivals suffer unequally: a runtime whose threads spin at every barrier loses
 * far more to a neighbour than the neighbour takes, so a disturbed figure is no figure of it.
 */
import * as os from "node:os"
import { median } from "./median.ts"

const idleSeconds = (): number => os.cpus().reduce((total, { times }) => total + times.idle, 0) / 1000
const ownSeconds = (): number => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1e6
}

/** A measurement, and how many cores were neither idle nor this process's meanwhile; its child processes count as others. */
export const watched = async (measure: () => Promise<number>): Promise<{ readonly value: number; readonly others: number }> => {
  const [start, idle, own] = [performance.now(), idleSeconds(), ownSeconds()]
  const value = await measure()
  const seconds = (performance.now() - start) / 1000
  return { value, others: Math.max(0, os.cpus().length - (idleSeconds() - idle + ownSeconds() - own) / seconds) }
}

/**
 * Rivals measured in turn, round after round: a machine that is faster in one minute than in the next is so for all of
 * them. `typical` is the median of each, `ratio` the median of the rounds' ratios.
 */
export const rounds = async <Name extends string>(measures: Readonly<Record<Name, () => Promise<number>>>, count: number) => {
  const names = Object.keys(measures) as Array<Name>
  const rows: Array<Record<Name, number>> = []
  let others = 0
  for (let round = 0; round < count; round++) {
    const row: Partial<Record<Name, number>> = {}
    for (const name of names) {
      const { others: taken, value } = await watched(measures[name])
      row[name] = value
      others = Math.max(others, taken)
    }
    rows.push(row as Record<Name, number>)
  }
  return {
    /** Cores that others took during a measurement, at worst. */
    others,
    typical: (name: Name): number => median(rows.map((row) => row[name])),
    ratio: (a: Name, b: Name): number => median(rows.map((row) => row[a] / row[b]))
  }
}
