/** A run that a person pauses and stops between two steps, and what is under way meanwhile. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Ref, Stream } from "effect"
import { TestClock } from "effect/testing"
import { judgeGreen } from "../../examples/03-custom-judge.ts"
import { makeBudget } from "../../layers/guide/budget.ts"
import { run } from "../../src/index.ts"
import { train } from "../../src/pipeline.ts"
import { makeSteering, Steering } from "../../src/stages/Steering.ts"
import { boxes, makeTraffic, Traffic } from "../../src/stages/Traffic.ts"
import { type Audience, makeAudience, makeLog } from "../../src/studio/live.ts"
import { Listener, makeProgress } from "../../src/system/progress.ts"
import { config, inVirtualTime, prompts, stages } from "../support/fake-stages.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("steered")
const given = {
  judge: judgeGreen, prompts: ["a leaf", "a lime"], max_steps: 4, prompts_per_step: 2, num_generations: 3, max_new_tokens: 32, trust_pairs: 0,
  eval_prompts: 0, lr_scheduler_type: "constant", threads: 1
} as const

describe("a steered run", () => {
  it.live("waits while it is paused, and ends where it is stopped, with a checkpoint", () =>
    Effect.gen(function*() {
      const output_dir = path.join(work, "steered")
      const wheel = yield* makeSteering
      const steps = yield* Ref.make(0)
      const steered = yield* Effect.forkChild(
        Effect.gen(function*() {
          const { outcomes, summary } = yield* run({ ...given, output_dir })
          yield* Effect.ignore(Stream.runForEach(outcomes, ({ step }) => Effect.andThen(Ref.set(steps, step + 1), step === 0 ? wheel.pause(true) : Effect.void)))
          return yield* Effect.flip(summary)
        }).pipe(Effect.scoped, Effect.provideService(Steering, wheel.service))
      )
      while ((yield* Ref.get(steps)) === 0) yield* Effect.sleep(50)
      yield* Effect.sleep(1500) // the pause may have come a step late
      const paused = yield* Ref.get(steps)
      yield* Effect.sleep(1500)
      assert.strictEqual(yield* Ref.get(steps), paused)
      assert.isBelow(paused, given.max_steps)
      yield* wheel.stop
      assert.strictEqual((yield* Fiber.join(steered))._tag, "RunStopped")
      assert.isFalse(fs.existsSync(path.join(output_dir, "summary.json")))

      // As after Ctrl-C: everything learned so far is kept, and the run can be resumed.
      assert.deepStrictEqual(fs.readdirSync(path.join(output_dir, "checkpoints")), [`step-${paused}`])
    }), 300_000)
})

describe("traffic", () => {
  it.effect("says what waits in front of a slow stage, and nothing once all is done", () =>
    Effect.gen(function*() {
      const traffic = makeTraffic()
      const seen: Array<string> = []
      const watched = Stream.runForEach(train({ ...config, maxStaleness: 3 }, prompts), () =>
        Effect.sync(() => void seen.push(traffic.now().map(({ waiting, working }) => `${waiting}/${working}`).join(" "))))
      yield* inVirtualTime(watched).pipe(
        Effect.provide(stages({ judge: 200 })),
        Effect.provideService(Traffic, traffic.service)
      )
      assert.deepStrictEqual(traffic.now(), boxes.map((stage) => ({ stage, waiting: 0, working: 0 })))
      assert.isTrue(seen.some((now) => Number(now.split(" ")[2]!.split("/")[1]) > 0), seen.join("\n")) // the judge is at work
    }))
})

describe("the end of a run", () => {
  const asked = Effect.succeed("an overview")
  /** Seconds that the goodbye takes. */
  const goodbye = (audience: Audience) => Effect.map(Effect.timed(audience.farewell), ([took]) => Duration.toSeconds(took))

  it.effect("takes no time where no page is open, or none has asked for long", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* goodbye(yield* makeAudience), 0)
      const closed = yield* makeAudience
      yield* closed.tell(asked)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* goodbye(closed), 0)
      assert.isTrue(closed.ended())
    }))

  it.effect("is told to an open page, which may ask what follows from it", () =>
    Effect.gen(function*() {
      const audience = yield* makeAudience
      yield* audience.tell(asked)
      const leaving = yield* Effect.forkChild(goodbye(audience))
      yield* Effect.forkChild(audience.tell(Effect.delay(asked, "3 seconds"))) // as the page asks a while later
      yield* TestClock.adjust("4 seconds")
      assert.isUndefined(leaving.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(leaving), 4.5)
    }))

  it.effect("waits ten seconds at most, and not for an answer from before", () =>
    Effect.gen(function*() {
      const audience = yield* makeAudience
      yield* audience.tell(asked)
      yield* Effect.forkChild(audience.tell(Effect.delay(asked, "1 second")))
      yield* TestClock.adjust("500 millis")
      const leaving = yield* Effect.forkChild(goodbye(audience))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(leaving), 10)
    }))
})

describe("a budget that a person lowers", () => {
  it.effect("is obeyed by the next call, and may not be raised again", () =>
    Effect.gen(function*() {
      const wheel = yield* makeSteering
      const budget = makeBudget(1, 0, { mostUsd: wheel.service.mostUsd })
      const spend = budget.spend(100_000_000, Effect.void, () => 100_000_000)
      yield* spend
      yield* wheel.lower(0.15)
      assert.match((yield* Effect.flip(spend)).message, /budget of \$0\.15 has \$0\.050000 left/)
      yield* wheel.lower(0.9)
      assert.strictEqual(wheel.service.mostUsd(), 0.15)
    }))
})

describe("the log", () => {
  it.effect("hears what progress tells in any style, and forgets old lines", () =>
    Effect.gen(function*() {
      const log = makeLog()
      yield* Effect.gen(function*() {
        const { note } = yield* makeProgress("none", "step", 3)
        for (let n = 0; n < 250; n++) yield* note(`line ${n} ${"x".repeat(2000)}`)
      }).pipe(Effect.provideService(Listener, log.add))
      assert.strictEqual(log.lines().length, 200)
      assert.match(log.lines()[0]!.line, /^line 50 x+$/)
      assert.isAtMost(log.lines()[0]!.line.length, 1000)
    }).pipe(Effect.provide(Layer.empty)))
})
