/**
 * Sampler without a model: draws one circle whose radius scatters around the policy's only parameter, so that training
 * visibly moves the drawings. Its tokens are the UTF-16 codes of the text.
 */
import { Effect, Layer } from "effect"
import { Candidate, type Prompt } from "../../src/domain.ts"
import { gaussian, pick, random } from "../../src/engine/random.ts"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import type { PolicySnapshot } from "../../src/stages/Policy.ts"
import { candidateSeed, Sampler } from "../../src/stages/Sampler.ts"

/** Name of the parameter: the mean radius, a share of half the canvas, in [0, 1]. */
export const radius = "radius"

export const radiusOf = (parameters: Parameters): number => parameters.get(radius)!.data[0]!

/** Version 0 of a policy that draws circles of this mean radius. */
export const initialPolicy = (mean = 0.2): PolicySnapshot => ({
  version: 0,
  parameters: new Map([[radius, { shape: [1], data: Float32Array.of(mean) }]])
})

export interface SamplerFakeOptions {
  /** Standard deviation of the radius. Default 0.15. */
  readonly spread?: number
  /** Share of candidates that are cut off before `</svg>`, in [0, 1]. Default 0.1. */
  readonly cutOff?: number
  /** Milliseconds a call takes; a function gets the step. Default 0. */
  readonly delay?: number | ((step: number) => number)
}

const codes = (text: string): Array<number> => Array.from({ length: text.length }, (_, i) => text.charCodeAt(i))
const prefill = "<svg"
const fills = ["#2f9e44", "#e8590c", "#1971c2", "#343a40"]

/**
 * Deterministic in seed, step, prompt, index, policy and temperature; never fails. The temperature scales the spread;
 * greedy is the mean radius, never cut off.
 */
export const layer = ({ cutOff = 0.1, delay = 0, spread = 0.15 }: SamplerFakeOptions = {}) => {
  const draw = (policy: PolicySnapshot, seed: number, step: number, prompt: Prompt, index: number, temperature: number): Candidate => {
    const key = candidateSeed(seed, step, prompt, index)
    const next = random(key)
    const z = gaussian(next)
    const r = 50 * Math.min(1, Math.max(0.02, radiusOf(policy.parameters) + temperature * spread * z))
    const drawn = pick(next, fills)
    const fill = temperature === 0 ? fills[0]! : drawn
    const whole = ` xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><circle cx="50" cy="50" r="${r.toFixed(2)}" fill="${fill}"/></svg>`
    const cut = next() < cutOff && temperature > 0
    const completion = cut ? whole.slice(0, -8) : whole // without the end of the circle and of the svg
    const completionIds = codes(completion)
    const nats = z * z / 2 + Math.log(4) // of the radius and of the colour, spread evenly over the tokens
    return new Candidate({
      prompt,
      step,
      index,
      policyVersion: policy.version,
      seed: key,
      promptIds: codes(`${prompt.text}\n${prefill}`),
      completionIds,
      logps: completionIds.map(() => -nats / completionIds.length),
      ...(temperature === 1 ? {} : { drawnLogps: completionIds.map(() => -temperature * nats / completionIds.length) }),
      svg: prefill + completion,
      finish: cut ? "length" : "stop"
    })
  }
  return Layer.succeed(Sampler, {
    name: "fake",
    sample: ({ k, policy, prompts, seed, step, temperature = 1 }) =>
      Effect.delay(
        Effect.sync(() => prompts.map((prompt) => Array.from({ length: k }, (_, i) => draw(policy, seed, step, prompt, i, temperature)))),
        typeof delay === "number" ? delay : delay(step)
      )
  })
}
