/** Plans of `vequinox ablate`. test/long/ablate.test.ts trains one. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { afterAll } from "vitest"
import { readPlan } from "../../src/wiring/comparison/plan.ts"
import { commandLine } from "../support/command-line.ts"

const { remove, work } = commandLine()
afterAll(remove)
const plan = (name: string, value: unknown) => {
  fs.writeFileSync(path.join(work, name), JSON.stringify(value))
  return name
}

it.effect("says in one sentence what is wrong with a plan", () => Effect.gen(function*() {
  const bad: ReadonlyArray<readonly [unknown, RegExp]> = [
    [{ variants: { a: {} } }, /p\.yaml: .*seeds/],
    [{ seeds: [1], variants: {} }, /p\.yaml has no variants\.$/],
    [{ seeds: [1], variants: { "a b": {} } }, /p\.yaml: no variant can be called "a b"/],
    [{ seeds: [1], variants: { base: {} } }, /p\.yaml: no variant can be called "base"/],
    [{ seeds: [1], variants: { a: { bta: 1 } } }, /p\.yaml, variant a: there is no setting "bta"\.$/],
    [{ seeds: [1], variants: { a: { seed: 1 } } }, /p\.yaml, variant a: seed is not given here/],
    [{ seeds: [1], variants: { a: { beta: -1 } } }, /p\.yaml, variant a: --beta is -1/],
    [{ seeds: [1], variants: { a: { after: "c" } } }, /p\.yaml: a starts after c, and there is no such variant\.$/],
    [{ seeds: [1], variants: { a: { after: "b" }, b: { after: "a" } } }, /p\.yaml: a starts after b, which in turn waits for it\.$/],
    [{ seeds: [1], variants: { a: {}, b: { prefill: "<svg>" } } }, /p\.yaml: b has another prefill than a/],
    [{ seeds: [1], variants: { a: {} }, extra: 1 }, /p\.yaml: .*extra/]
  ]
  for (const [value, sentence] of bad) {
    const { message } = yield* Effect.flip(readPlan(path.join(work, plan("p.yaml", value))))
    assert.match(message, sentence)
    assert.notInclude(message, "\n")
  }
}))

it.effect("the example's plan can be read", () =>
  Effect.gen(function*() {
    const { seeds, variants } = yield* readPlan(path.resolve(import.meta.dirname, "../../examples/ablation.yaml"))
    assert.deepStrictEqual([seeds.length, variants.map(({ after, name }) => [name, after])], [3, [["dpo", undefined], ["dapo", undefined], ["dapo-after-dpo", "dpo"]]])
  }))
