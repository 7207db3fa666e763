/** PreferenceBuffer in memory: for tests, examples and runs nobody will resume. */
import { Effect, Layer } from "effect"
import type { Lesson } from "../../src/domain.ts"
import { admit, type StalenessOptions } from "../../src/lessons/staleness.ts"
import { PreferenceBuffer } from "../../src/stages/PreferenceBuffer.ts"

/** Never fails. Putting a rollout again replaces the untrained lessons of its first copy. */
export const layer = (options: StalenessOptions) =>
  Layer.sync(PreferenceBuffer, () => {
    const waiting = new Map<number, ReadonlyArray<Lesson>>()
    return PreferenceBuffer.of({
      put: ({ lessons, step }) => Effect.sync(() => void waiting.set(step, lessons)),
      take: (version, discarded) =>
        Effect.sync(() => {
          const all = [...waiting.values()].flat()
          waiting.clear()
          const lessons = all.flatMap((lesson) => admit(lesson, version, options, discarded) ?? [])
          return { lessons, stale: all.length - lessons.length }
        })
    })
  })
