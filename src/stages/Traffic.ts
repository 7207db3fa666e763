/** What is under way in the boxes of the map, and what waits in front of them. Without this service nothing is counted. */
import { Context, Effect } from "effect"

/** The boxes that take time, in the order in which a batch passes them. */
export const boxes = ["sample", "render", "judge", "train"] as const
export type Box = (typeof boxes)[number]

export interface AtBox {
  readonly stage: Box
  /** What the box before has finished and this one has not begun. The sampler's own batches wait nowhere. */
  readonly waiting: number
  readonly working: number
}

export const Traffic = Context.Reference<{
  /** Counts work while it is under way. @param passes whether it gives the next box something to do; default true */
  readonly under: <A, E, R>(box: Box, work: Effect.Effect<A, E, R>, passes?: boolean) => Effect.Effect<A, E, R>
}>("vequinox/Traffic", { defaultValue: () => ({ under: (_, work) => work }) })

export const makeTraffic = () => {
  const begun = new Map<Box, number>()
  const working = new Map<Box, number>()
  const passed = new Map<Box, number>()
  const add = (counts: Map<Box, number>, box: Box, n: number) => counts.set(box, (counts.get(box) ?? 0) + n)
  const service: typeof Traffic.Service = {
    under: (box, work, passes = true) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          add(begun, box, 1)
          add(working, box, 1)
        }),
        () => Effect.tap(work, () => Effect.sync(() => void add(passed, box, passes ? 1 : 0))),
        () => Effect.sync(() => void add(working, box, -1))
      )
  }
  return {
    service,
    now: (): ReadonlyArray<AtBox> =>
      boxes.map((stage, n) => ({
        stage,
        waiting: n === 0 ? 0 : (passed.get(boxes[n - 1]!) ?? 0) - (begun.get(stage) ?? 0),
        working: working.get(stage) ?? 0
      }))
  }
}
