/**
 * A sampler that hands on hostile drawings in place of some of its own, by a candidate's seed alone: a resumed run meets the
 * same ones. Their tokens stay those that were drawn, so that the trainer's numbers are those of a real policy.
 */
import { Effect, Layer } from "effect"
import { Candidate } from "../../src/domain.ts"
import { integer, pick, random } from "../../src/engine/random.ts"
import { drawScene, sampleScene } from "../../src/scenes/index.ts"
import { Sampler } from "../../src/stages/Sampler.ts"
import { attacks, hostile } from "../layers/renderer/hostile.ts"
import { mutant } from "../layers/renderer/mutants.ts"

/** The pixels of a side at which the deadline below is far away on both sides for all of them. */
export const renderSize = 96

/** Attacks in sizes of which nobody can say on which side of the deadline they end: two runs could differ by them. */
const undecided: ReadonlySet<string> = new Set(["dashes", "doubling"])
const decided = Object.entries(attacks).flatMap(([name, attack]) => (undecided.has(name) ? [] : [attack]))
const known = Object.values(hostile)
/** 3 to 5 seconds of CPU time, where 2 are allowed; the gate lets it pass. */
const slow = [77, 92].map(attacks["dashes"]!)

const scene = (n: number): string => {
  const draw = random(0x5eed, n)
  return drawScene(sampleScene(draw, "train"), draw)
}

/** The hostile drawing that stands for the candidate with this seed; undefined leaves it its own. @param rate share of all, in [0, 1] */
export const hostileFor = (seed: number, rate: number): string | undefined => {
  const draw = random(0x50ac, seed)
  if (draw() >= rate) return undefined
  const kind = draw()
  const n = integer(draw, 400)
  const svg = kind < 0.5
    ? pick(draw, decided)(n % 24)
    : kind < 0.85
    ? mutant(n % 3 === 0 ? attacks["innocent"]!(n) : scene(n), n)
    : pick(draw, kind < 0.98 ? known : slow)
  return svg.toWellFormed() // no tokenizer gives half a surrogate pair
}

/** Around a sampler's layer. */
export const hostileSampler = (rate: number) => <E, R>(own: Layer.Layer<Sampler, E, R>): Layer.Layer<Sampler, E, R> =>
  Layer.effect(
    Sampler,
    Effect.map(Sampler, (sampler) =>
      Sampler.of({
        name: sampler.name,
        sample: (request) =>
          Effect.map(sampler.sample(request), (groups) =>
            groups.map((group) =>
              group.map((candidate) => {
                const svg = hostileFor(candidate.seed, rate)
                return svg === undefined ? candidate : new Candidate({ ...candidate, svg })
              })
            ))
      }))
  ).pipe(Layer.provide(own))
