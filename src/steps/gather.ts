/** Puts the batches of one step together. */
import type { JudgedStep } from "../domain.ts"
import type { Judged } from "./judge.ts"

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((total, x) => total + x, 0)

/** Adds up their seconds. */
const together = (batches: readonly [Judged, ...ReadonlyArray<Judged>]): JudgedStep => {
  const { courseMetrics, step, version } = batches[0]
  return {
    step,
    policyVersion: version,
    courseMetrics,
    drawings: batches.flatMap(({ drawings }) => drawings.flat()),
    pairs: batches.flatMap(({ pairs }) => pairs),
    seconds: {
      sample: sum(batches.map(({ sampleSeconds }) => sampleSeconds)),
      render: sum(batches.map(({ renderSeconds }) => renderSeconds)),
      judge: sum(batches.map(({ judgeSeconds }) => judgeSeconds))
    }
  }
}

export const noBatches = (): ReadonlyArray<Judged> => []

/** A `Stream.mapAccum` step: holds the batches of a step until its last one arrives. */
export const gather = (held: ReadonlyArray<Judged>, batch: Judged): readonly [ReadonlyArray<Judged>, ReadonlyArray<JudgedStep>] => {
  const [first = batch, ...rest] = [...held, batch]
  return batch.last ? [[], [together([first, ...rest])]] : [[first, ...rest], []]
}
