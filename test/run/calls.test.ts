/** How much a run draws in one call of its sampler, which Ctrl-C waits for. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { promptOf } from "../../src/prompts.ts"
import type { SampleRequest } from "../../src/stages/Sampler.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { drive } from "../survival/drive.ts"

const folder = scratchFolder("calls")

it.live("compares the policies by calls no larger than those of training", () =>
  Effect.gen(function*() {
    const requests: Array<SampleRequest> = []
    const heldOut = ["a moon", "a pea", "a ring", "a drop", "a pearl", "an orange", "a button", "a wheel of cheese"].map(promptOf)
    yield* drive(folder, 2, { heldOut, onSample: (request) => requests.push(request) })
    const largest = (evaluates: boolean) =>
      Math.max(...requests.filter(({ step }) => step < 0 === evaluates).map(({ k, prompts }) => k * prompts.length))
    assert.isAtMost(largest(true), largest(false))
    assert.isAbove(largest(true), 1)
  }))
