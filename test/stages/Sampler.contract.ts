/** What every Sampler must do. */
import { assert, layer as suite } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { PolicySnapshot } from "../../src/stages/Policy.ts"
import { Sampler, type SampleRequest } from "../../src/stages/Sampler.ts"
import type { Candidate } from "../../src/domain.ts"
import { prompt } from "./make.ts"

/** The same but for the last bits of log-probabilities. @param rounding nats */
export const sameCandidates = (candidates: ReadonlyArray<Candidate>, others: ReadonlyArray<Candidate>, rounding: number): void => {
  const logps = (all: ReadonlyArray<Candidate>) => all.map(({ drawnLogps = [], exactLogps = [], logps }) => [...logps, ...drawnLogps, ...exactLogps])
  const rest = (all: ReadonlyArray<Candidate>) => all.map((candidate) => ({ ...candidate, logps: 0, drawnLogps: 0, exactLogps: 0 }))
  assert.deepStrictEqual(rest(candidates), rest(others))
  const [own, wanted] = [logps(candidates), logps(others)]
  own.forEach((all, n) => {
    assert.strictEqual(all.length, wanted[n]!.length)
    all.forEach((logp, i) => assert.closeTo(logp, wanted[n]![i]!, rounding))
  })
}

/**
 * One life of the layer answers all requests, in the order of the tests; a test that needs another says so.
 *
 * @param policy a snapshot that the layer can draw from
 * @param rounding how far log-probabilities of the same tokens may be apart where what is decoded together changes their last bits, nats
 */
export const samplerContract = <E>(name: string, layer: Layer.Layer<Sampler, E>, policy: PolicySnapshot, rounding = 0) =>
  suite(layer, { excludeTestServices: true })(`Sampler contract: ${name}`, (it) => {
    const [cat, hat] = [prompt("a cat"), prompt("a hat")]
    const request: SampleRequest = { step: 3, prompts: [cat, hat], k: 3, seed: 7, policy }
    const sample = (changes: Partial<SampleRequest> = {}) =>
      Sampler.use((sampler) => sampler.sample({ ...request, ...changes }))

    const same = (groups: Effect.Success<ReturnType<typeof sample>>, others: typeof groups) =>
      rounding === 0 ? assert.deepStrictEqual(groups, others) : sameCandidates(groups.flat(), others.flat(), rounding)

    it.effect("gives k candidates a prompt, in order, with all they must carry", () =>
      Effect.gen(function*() {
        const groups = yield* sample()
        assert.deepStrictEqual(groups.map((group) => group.length), [3, 3])
        groups.forEach((group, n) =>
          group.forEach((candidate, index) => {
            assert.deepStrictEqual(candidate.prompt, request.prompts[n])
            assert.deepStrictEqual([candidate.step, candidate.index, candidate.policyVersion], [3, index, policy.version])
            assert.strictEqual(candidate.logps.length, candidate.completionIds.length)
            assert.isTrue(candidate.logps.every((logp) => logp <= 0))
            assert.isAbove(candidate.promptIds.length, 0)
          })
        )
        assert.strictEqual(new Set(groups.flat().map(({ seed }) => seed)).size, 6)
      }))

    it.effect("is deterministic, in one life and across two", () =>
      Effect.gen(function*() {
        const first = yield* sample()
        same(yield* sample(), first)
        same(yield* sample().pipe(Effect.provide(Layer.fresh(layer))), first)
      }))

    it.effect("draws a candidate's random numbers apart from what is sampled beside it", () =>
      Effect.gen(function*() {
        const together = yield* sample()
        const alone = yield* sample({ prompts: [hat], k: 2 })
        assert.deepStrictEqual(alone[0]!.map(({ seed }) => seed), together[1]!.slice(0, 2).map(({ seed }) => seed))
        assert.deepStrictEqual(alone[0]!.map(({ svg }) => svg), together[1]!.slice(0, 2).map(({ svg }) => svg))
      }))

    it.effect("draws anew for another step and another seed", () =>
      Effect.gen(function*() {
        const seeds = [yield* sample(), yield* sample({ step: 4 }), yield* sample({ seed: 8 })]
          .map((groups) => groups.flat().map(({ seed }) => seed).join())
        assert.strictEqual(new Set(seeds).size, 3)
      }))

    it.effect("takes a request's temperature in place of its own: 0 draws one thing for all seeds, 1 what it drew anyway", () =>
      Effect.gen(function*() {
        const greedy = [...yield* sample({ temperature: 0 }), ...yield* sample({ temperature: 0, seed: 8 })]
        for (const at of [0, 1]) {
          assert.strictEqual(new Set([...greedy[at]!, ...greedy[at + 2]!].map(({ svg }) => svg)).size, 1)
        }
        for (const { completionIds, drawnLogps } of greedy.flat()) {
          assert.deepStrictEqual(drawnLogps?.map(Math.abs), completionIds.map(() => 0))
        }
        const drawn = yield* sample()
        assert.notDeepEqual(drawn.map((group) => group[1]!.svg), greedy.slice(0, 2).map((group) => group[1]!.svg))
        same(yield* sample({ temperature: 1 }), drawn)
      }))
  })
