/** Long files are made block after block, so that memory stays small and Ctrl-C takes effect between two. */
import { Effect } from "effect"
import { CheckpointInvalid } from "../model/model-folder.ts"
import { explain, FileProblem } from "../system/files.ts"

/** Called with the number of bytes to write; the result is told how many are done. */
export type ExportProgress = (total: number) => Effect.Effect<(done: number) => Effect.Effect<void>>

/** Runs what may throw `CheckpointInvalid` or what the file system throws. @param what could not be written to `out` */
export const attempt = <A>(out: string, what: string, run: () => A): Effect.Effect<A, CheckpointInvalid | FileProblem> =>
  Effect.try({
    try: run,
    catch: (cause) =>
      cause instanceof CheckpointInvalid ? cause : new FileProblem({ message: `${what} cannot be written to ${out}: ${explain(cause)}.` })
  })

/** Makes one block after the other and hands it on. The generator is ended in any case. @param what is written to `out` */
export const forEachBlock = (
  out: string,
  what: string,
  blocks: Generator<Uint8Array>,
  write: (bytes: Uint8Array) => void,
  tell: (bytes: number) => Effect.Effect<void>
): Effect.Effect<void, CheckpointInvalid | FileProblem> =>
  Effect.ensuring(
    Effect.gen(function*() {
      for (;;) {
        const written = yield* attempt(out, what, () => {
          const { done, value } = blocks.next()
          if (done) return undefined
          write(value)
          return value.length
        })
        if (written === undefined) return
        yield* tell(written)
        yield* Effect.yieldNow
      }
    }),
    Effect.sync(() => void blocks.return(undefined))
  )
