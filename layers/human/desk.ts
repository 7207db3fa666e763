/**
 * Where pairs wait for a person: first come, first served; several people may answer at one desk. The last choice can
 * be taken back until the next one is made, for three seconds at most; then it is final. If the run is interrupted
 * before that, the pair is asked again.
 */
import { Deferred, Effect, Option, type Stream, SubscriptionRef } from "effect"
import type { Picture } from "../../src/domain.ts"
import { JudgeStopped } from "../../src/stages/Judge.ts"

export type Choice = "left" | "right" | "tie"

export interface Shown {
  /** 1, 2, 3, ... in the order in which the pairs came. */
  readonly id: number
  readonly prompt: string
  readonly left: Picture
  readonly right: Picture
}

interface Open extends Shown {
  readonly answer: Deferred.Deferred<Choice, JudgeStopped>
}

export interface DeskState {
  /** Pairs without a choice yet, oldest first. */
  readonly waiting: ReadonlyArray<Shown>
  /** The last choice, while it can be taken back. */
  readonly last: Shown | undefined
  /** Choices made, without those taken back. */
  readonly answered: number
}

interface Inside extends DeskState {
  readonly waiting: ReadonlyArray<Open>
  readonly last: (Open & { readonly choice: Choice }) | undefined
}

export interface Desk {
  readonly state: Effect.Effect<DeskState>
  /** The state now, then each new one. */
  readonly changes: Stream.Stream<DeskState>
  /** Waits for a person, however long it takes. */
  readonly ask: (prompt: string, left: Picture, right: Picture) => Effect.Effect<Choice, JudgeStopped>
  /** False if this pair no longer waits: another person was faster, or the run continued without it. */
  readonly choose: (id: number, choice: Choice) => Effect.Effect<boolean>
  /** False if there is nothing to take back. */
  readonly undo: Effect.Effect<boolean>
  /** Nobody will answer any more: every pair that waits or still comes stops the run. */
  readonly leave: (message: string) => Effect.Effect<void>
}

export interface DeskOptions {
  /** Seconds in which a choice can be taken back, while no other is made. Default 3. */
  readonly grace?: number | undefined
}

/** Lives as long as the scope; pairs that still wait at its end are interrupted. */
export const makeDesk = Effect.fnUntraced(function*({ grace = 3 }: DeskOptions) {
  const ref = yield* SubscriptionRef.make<Inside>({ waiting: [], last: undefined, answered: 0 })
  const scope = yield* Effect.scope
  let left = Option.none<JudgeStopped>()
  let id = 0
  const handOut = (last: Inside["last"]) => last === undefined ? Effect.void : Deferred.succeed(last.answer, last.choice)
  const all = ({ last, waiting }: Inside) => (last === undefined ? waiting : [last, ...waiting])

  yield* Effect.addFinalizer(() =>
    Effect.flatMap(SubscriptionRef.get(ref), (state) => Effect.forEach(all(state), ({ answer }) => Deferred.interrupt(answer)))
  )

  const ask: Desk["ask"] = (prompt, leftPicture, right) =>
    Effect.suspend(() => {
      if (Option.isSome(left)) return Effect.fail(left.value)
      const open: Open = { id: ++id, prompt, left: leftPicture, right, answer: Deferred.makeUnsafe() }
      return Effect.acquireUseRelease(
        SubscriptionRef.update(ref, (state) => ({ ...state, waiting: [...state.waiting, open] })),
        () => Deferred.await(open.answer),
        () =>
          SubscriptionRef.update(ref, (state) => ({
            ...state,
            waiting: state.waiting.filter((other) => other !== open),
            last: state.last?.id === open.id ? undefined : state.last
          }))
      )
    })

  const choose = Effect.fnUntraced(function*(id: number, choice: Choice) {
    const before = yield* SubscriptionRef.modify(ref, (state) => {
      const open = state.waiting.find((open) => open.id === id)
      if (open === undefined) return [undefined, state]
      const chosen = { ...open, choice }
      return [{ chosen, last: state.last }, {
        waiting: state.waiting.filter((other) => other !== open),
        last: chosen,
        answered: state.answered + 1
      }]
    })
    if (before === undefined) return false
    yield* handOut(before.last)
    yield* Effect.sleep(grace * 1000).pipe(
      // This choice alone: if it was taken back, a later choice on the same pair has its own time.
      Effect.andThen(SubscriptionRef.modify(ref, (state) =>
        state.last === before.chosen ? [state.last, { ...state, last: undefined }] : [undefined, state])),
      Effect.flatMap(handOut),
      Effect.forkIn(scope)
    )
    return true
  })

  const undo = SubscriptionRef.modify(ref, (state) => {
    if (state.last === undefined) return [false, state]
    const { choice: _, ...open } = state.last
    return [true, { waiting: [open, ...state.waiting], last: undefined, answered: state.answered - 1 }]
  })

  const leave = Effect.fnUntraced(function*(message: string) {
    const stopped = new JudgeStopped({ message })
    left = Option.some(stopped)
    const state = yield* SubscriptionRef.get(ref)
    yield* handOut(state.last)
    yield* Effect.forEach(state.waiting, ({ answer }) => Deferred.fail(answer, stopped))
  })

  return { state: SubscriptionRef.get(ref), changes: SubscriptionRef.changes(ref), ask, choose, undo, leave } satisfies Desk
})
