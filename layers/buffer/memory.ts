/** PreferenceBuffer in memory: for tests, examples and runs nobody will resume. */
import { Effect, Layer } from "effect"
import type { Preference } from "../../src/domain.ts"
import { admit, type StalenessOptions } from "../../src/lessons/decide.ts"
import { PreferenceBuffer } from "../../src/stages/PreferenceBuffer.ts"

/** Never fails. A rollout that is put again replaces the untrained preferences of its first copy. */
export const layer = (options: StalenessOptions) =>
  Layer.sync(PreferenceBuffer, () => {
    const waiting = new Map<number, ReadonlyArray<Preference>>()
    return PreferenceBuffer.of({
      put: ({ preferences, step }) => Effect.sync(() => void waiting.set(step, preferences)),
      take: (version) =>
        Effect.sync(() => {
          const all = [...waiting.values()].flat()
          waiting.clear()
          const preferences = all.flatMap((preference) => admit(preference, version, options) ?? [])
          return { preferences, stale: all.length - preferences.length }
        })
    })
  })
