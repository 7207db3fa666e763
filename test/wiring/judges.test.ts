/** The registry of judges, and what is made of it. */
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { embedded } from "../../src/system/installed.ts"
import { judges } from "../../src/wiring/judges/judges.ts"
import { openJudge } from "../../src/wiring/judges/open-judge.ts"
import { resolveConfig, settings } from "../../src/wiring/settings.ts"
import { tableIn, tableOf, tables } from "../support/docs-tables.ts"

describe("the registry of judges", () => {
  it("is the table of docs/judges.md; node test/support/docs-tables.ts writes it", () => {
    assert.strictEqual(tableIn(tables.judges), tableOf(tables.judges))
  })

  it("is what --help says", () => {
    for (const [name, { says }] of Object.entries(judges)) assert.include(settings.judge[1], `${name}: ${says.replaceAll("`", "")}`)
  })

  it.effect("is what an unknown name is compared with", () =>
    Effect.gen(function*() {
      const { message } = yield* Effect.flip(openJudge(yield* resolveConfig(undefined, { judge: "toString" }), "none"))
      assert.strictEqual(message, `There is no judge "toString": --judge is one of ${Object.keys(judges).join(", ")}.`)
    }))

  it.effect("asks for pictures of the size that a checkpoint reads, unless told otherwise", () =>
    Effect.gen(function*() {
      const size = Effect.fnUntraced(function*(given: Parameters<typeof resolveConfig>[1]) {
        return (yield* openJudge(yield* resolveConfig(undefined, { judge: "clip", ...given }), "none")).size
      })
      assert.strictEqual(yield* size({}), 112)
      assert.strictEqual(yield* size({ judge_model: embedded("clip-heldout") }), 96)
      assert.strictEqual(yield* size({ judge_model: embedded("clip-heldout"), render_size: 64 }), 64)
    }).pipe(Effect.provide(NodeServices.layer)))
})
