/** Where a sampler's quantized weights are kept, and how progress in making them is shown. */
import * as path from "node:path"
import { Effect } from "effect"
import { bytes, makeProgress, type ProgressStyle } from "../system/progress.ts"
import { cacheFolder } from "./cache-folder.ts"

export const quantizedCache = Effect.map(cacheFolder, (folder) => path.join(folder, "quantized"))

/** For the sampler's layer: a progress line from the first piece to the last. */
export const tellQuantizing = Effect.fnUntraced(function*(style: ProgressStyle, total: number) {
  const progress = yield* makeProgress(style, bytes, total)
  return (done: number) =>
    Effect.andThen(progress.tick(done, "quantized"), done < total ? Effect.void : progress.end)
})
