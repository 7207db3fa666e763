/** A round of two pairs on the embedded policy, as test/long/jobs.test.ts and a process of its own ask for it. */
import { Effect } from "effect"
import { Preference } from "../../src/domain.ts"
import { defaultFormat, promptIds } from "../../src/model/tokenizer/tokenizer.ts"
import type { OptimizerState } from "../../src/stages/Optimizer.ts"
import { trainerDefaults } from "../../src/wiring/trainer-defaults.ts"
import { candidate, verdict } from "../stages/make.ts"
import { checkpoint, lora, parameters, tokenizer } from "./embedded-policy.ts"

export const initial: OptimizerState = { version: 0, updates: 0, parameters, moments: new Map() }

export const ids = (text: string) => tokenizer.encode(text)
const prompt = promptIds(tokenizer, defaultFormat, "a red circle")

export const pair = (index: number, good: string, bad: string, more: Partial<Preference> = {}) => {
  const of = (index: number, svg: string) => candidate({ index, promptIds: prompt, completionIds: ids(svg) })
  const chosen = of(2 * index, good)
  return new Preference({ prompt: chosen.prompt, chosen, rejected: of(2 * index + 1, bad), label: 1, weight: 1, verdict: verdict(), ...more })
}

export const pairs = [
  pair(0, "<circle cx=\"32\" cy=\"32\" r=\"14\" fill=\"red\"/></svg>", "<rect x=\"4\" y=\"4\" width=\"9\" height=\"9\" fill=\"blue\"/></svg>"),
  pair(1, "<circle cx=\"20\" cy=\"40\" r=\"12\" fill=\"red\"/></svg>", "<circle cx=\"20\" cy=\"40\" r=\"12\" fill=\"green\"/></svg>")
]

/** Everything but the cluster and the files. */
export const jobOptions = {
  checkpoint,
  tokenizer,
  lora,
  initial,
  run: "0a1b2c3d4e5f",
  program: ["trl"],
  seed: 1,
  steps: 1,
  batchSize: 8,
  more: [],
  ...trainerDefaults(256, 1024, { learningRate: 1e-3 }),
  objective: { lossType: "sigmoid", beta: 0.1, labelSmoothing: 0 },
  tell: () => Effect.void,
  poll: 0.02,
  patience: 5
} as const
