/** What a person asks of a run while it is under way. Without this service nothing is ever asked. */
import { Context, Effect, Latch } from "effect"

export interface SteeringState {
  readonly paused: boolean
  /** The run ends after the step under way. */
  readonly stopping: boolean
  /** Most that judges may cost in all, US dollars; undefined: nothing beside the settings. */
  readonly budgetUsd: number | undefined
}

export const Steering = Context.Reference<{
  /** Between two steps: waits while the run is paused; interrupts it where it is to stop. */
  readonly betweenSteps: Effect.Effect<void>
  /** Most that judges may cost in all, US dollars; Infinity where nobody lowered it. */
  readonly mostUsd: () => number
}>("vequinox/Steering", { defaultValue: () => ({ betweenSteps: Effect.void, mostUsd: () => Infinity }) })

/** A steering wheel: the service, and what a person does with it. */
export const makeSteering = Effect.gen(function*() {
  const road = yield* Latch.make(true)
  let state: SteeringState = { paused: false, stopping: false, budgetUsd: undefined }
  const set = (change: Partial<SteeringState>) =>
    Effect.suspend(() => {
      state = { ...state, ...change }
      return state.paused && !state.stopping ? road.close : road.open
    })
  return {
    service: {
      betweenSteps: Effect.andThen(road.await, Effect.suspend(() => state.stopping ? Effect.interrupt : Effect.void)),
      mostUsd: () => state.budgetUsd ?? Infinity
    } satisfies typeof Steering.Service as typeof Steering.Service,
    state: Effect.sync(() => state),
    /** @param paused whether the next step waits */
    pause: (paused: boolean) => set({ paused }),
    /** Ends the run after the step under way, as Ctrl-C does. */
    stop: set({ stopping: true }),
    /** Never raises what it was: a budget that a person set may only shrink. @param usd US dollars, >= 0 */
    lower: (usd: number) => Effect.suspend(() => set({ budgetUsd: Math.min(usd, state.budgetUsd ?? Infinity) }))
  }
})

export type SteeringWheel = Effect.Success<typeof makeSteering>
