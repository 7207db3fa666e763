/**
 * The trainable weights and their version. The optimizer publishes a version; the sampler waits for the version it may
 * draw from. Versions count optimizer steps: version 0 is the untrained adapter, step n turns version n into n + 1.
 */
import { Context, Effect, Layer, Schema, SubscriptionRef, Stream } from "effect"
import type { Parameters } from "../engine/weights/tensor.ts"

/** An immutable copy of the trainable parameters, by their file names (PEFT names for an adapter). */
export interface PolicySnapshot {
  readonly version: number
  readonly parameters: Parameters
}

/** The version was asked for after it was dropped: a bug in the caller, not bad input. */
export class VersionGone extends Schema.TaggedError<VersionGone>()("VersionGone", {
  message: Schema.String
}) {}

export class Policy extends Context.Service<Policy, {
  readonly latest: Effect.Effect<PolicySnapshot>
  /** Waits until `version` was published. The last `keep` versions stay readable. */
  readonly at: (version: number) => Effect.Effect<PolicySnapshot, VersionGone>
  readonly publish: (snapshot: PolicySnapshot) => Effect.Effect<void>
}>()("vequinox/Policy") {
  /**
   * @param initial version 0, or the version a resumed run starts from
   * @param keep how many of the newest versions stay readable: maxStaleness + 1
   * @param earlier the versions just before `initial` that a resumed run still draws from, oldest first
   */
  static readonly layer = (initial: PolicySnapshot, keep: number, earlier: ReadonlyArray<PolicySnapshot> = []) =>
    Layer.effect(
      Policy,
      Effect.gen(function*() {
        const versions = yield* SubscriptionRef.make<ReadonlyArray<PolicySnapshot>>([...earlier, initial])
        const newest = (snapshots: ReadonlyArray<PolicySnapshot>) => snapshots[snapshots.length - 1]!
        const at = Effect.fnUntraced(function*(version: number) {
          const known = yield* SubscriptionRef.changes(versions).pipe(
            Stream.filter((snapshots) => newest(snapshots).version >= version),
            Stream.take(1),
            Stream.runCollect
          )
          const found = known[0]?.find((snapshot) => snapshot.version === version)
          return found ?? (yield* new VersionGone({
            message: `policy version ${version} was dropped; the oldest kept is ${known[0]?.[0]?.version}`
          }))
        })
        return Policy.of({
          latest: Effect.map(SubscriptionRef.get(versions), newest),
          at,
          publish: (snapshot) =>
            SubscriptionRef.update(versions, (snapshots) => [...snapshots, snapshot].slice(-Math.max(keep, 1)))
        })
      })
    )
}
