/** Small made-up things for the contract suites. */
import { createHash } from "node:crypto"
import { Candidate, type Drawing, JudgedPair, Picture, Preference, Prompt, type Rollout, Verdict } from "../../src/domain.ts"

export const prompt = (text: string): Prompt => new Prompt({ id: `id of ${text}`, text })

/** A square picture with one grey, 0 black .. 255 white, on its left half. */
const picture = (grey: number, size = 8): Picture => {
  const rgba = new Uint8Array(size * size * 4).fill(255)
  for (let p = 0; p < size * size; p++) if (p % size < size / 2) rgba.fill(grey, p * 4, p * 4 + 3)
  return new Picture({ hash: createHash("sha256").update(rgba).digest("hex"), width: size, height: size, rgba })
}

/** A picture with the first `share` of its pixels black. */
export const inked = (share: number, size = 16): Picture => {
  const rgba = new Uint8Array(size * size * 4).fill(255)
  for (let p = 0; p < Math.round(share * size * size); p++) rgba.fill(0, p * 4, p * 4 + 3)
  return new Picture({ hash: createHash("sha256").update(rgba).digest("hex"), width: size, height: size, rgba })
}

export const candidate = (of: Partial<Candidate> = {}): Candidate =>
  new Candidate({
    prompt: prompt("a cat"),
    step: 0,
    index: 0,
    policyVersion: 0,
    seed: 4_000_000_000,
    promptIds: [1, 2],
    completionIds: [3, 4, 5],
    logps: [-0.1, -1 / 3, -2.220446049250313e-16],
    svg: `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><circle cx="50" cy="50" r="${10 + (of.index ?? 0) * 5}" fill="#2f9e44"/></svg>`,
    finish: "stop",
    ...of
  })

export const verdict = (of: Partial<Verdict> = {}): Verdict =>
  new Verdict({ outcome: "A", confidence: 0.75, by: "test", ...of })

/** A rollout of one prompt with three candidates: 0 beats 1, 0 and 2 tie, 2 beats 1. */
export const rollout = (step: number, policyVersion = step): Rollout => {
  const [c0, c1, c2] = [0, 1, 2].map((index) => candidate({ step, index, policyVersion })) as [Candidate, Candidate, Candidate]
  const first = verdict({ scores: [0.9, 0.1], reason: "it's a \"cat\"", costUsd: 0.001 })
  const last = verdict({ outcome: "B", by: "gate", confidence: 1 })
  const pairs = [
    new JudgedPair({ a: c0, b: c1, verdict: first }),
    new JudgedPair({ a: c0, b: c2, verdict: verdict({ outcome: "tie", confidence: 0 }) }),
    new JudgedPair({ a: c1, b: c2, verdict: last })
  ]
  const drawings: ReadonlyArray<Drawing> = [
    { candidate: c0, rendering: { _tag: "Rendered", picture: picture(0) } },
    { candidate: c1, rendering: { _tag: "Killed", reason: "deadline", detail: "2 s" } },
    { candidate: c2, rendering: { _tag: "Rendered", picture: picture(90) } }
  ]
  const lessons = [
    new Preference({ prompt: c0.prompt, chosen: c0, rejected: c1, label: 1, weight: 1, verdict: first }),
    new Preference({ prompt: c0.prompt, chosen: c2, rejected: c1, label: 0.75, weight: 0.5, verdict: last })
  ]
  return { step, policyVersion, drawings, pairs, lessons, seconds: { sample: 0.1, render: 0.2, judge: 0.3 } }
}
