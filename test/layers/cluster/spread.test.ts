/** Stages whose work runners do, in one process with an in-memory store: what they give, and what they ask again. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Layer, Schema, Stream } from "effect"
import { ClusterWorkflowEngine, TestRunner } from "effect/cluster"
import type { WorkflowEngine } from "effect/workflow"
import { makeAsking } from "../../../layers/cluster/asking.ts"
import { PicturePng, RenderingPng } from "../../../layers/cluster/picture-png.ts"
import { makePolicyReader, makePolicyWriter, policiesFolder } from "../../../layers/cluster/policy-files.ts"
import * as runner from "../../../layers/cluster/runner.ts"
import * as spread from "../../../layers/cluster/stages.ts"
import * as JudgeFake from "../../../layers/judge/fake.ts"
import * as RendererCircles from "../../../layers/renderer/circles.ts"
import * as SamplerFake from "../../../layers/sampler/fake.ts"
import { decodePng, encodePng, NotOurPng } from "../../../src/drawing/png.ts"
import { Picture } from "../../../src/domain.ts"
import { train } from "../../../src/pipeline.ts"
import { Judge, JudgeBusy } from "../../../src/stages/Judge.ts"
import { Renderer } from "../../../src/stages/Renderer.ts"
import type { Sampler } from "../../../src/stages/Sampler.ts"
import { prompt } from "../../stages/make.ts"
import { boxes, config, finished, prompts, trained } from "../../support/fake-stages.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"

const work = scratchFolder("spread")
let folders = 0
const folder = () => {
  const at = path.join(work, String(folders++))
  fs.mkdirSync(at)
  return at
}

const usual = (judge: Layer.Layer<Judge> = JudgeFake.layer()) => Layer.mergeAll(SamplerFake.layer(), RendererCircles.layer({ size: 16 }), judge)

/** The stages of an optimizer's life, over runners that carry out its work. */
const stages = (at: string, life: number, local: Layer.Layer<Sampler | Renderer | Judge>) => {
  const options = { run: "r", folder: at, asking: makeAsking(life) }
  return Layer.mergeAll(spread.sampler(options), spread.renderer(options), spread.judge(options)).pipe(Layer.provide(local))
}
const cluster = ClusterWorkflowEngine.layer.pipe(Layer.provideMerge(TestRunner.layer))
const runners = (at: string, local: Layer.Layer<Sampler | Renderer | Judge>) => runner.layer(at).pipe(Layer.provide(local), Layer.provideMerge(cluster))

const picture = (fill: number) => Effect.map(
  Effect.flatMap(Renderer, ({ render }) => render(`<svg><circle cx="50" cy="50" r="${fill}" fill="#2f9e44"/></svg>`)),
  (rendering) => rendering._tag === "Rendered" ? rendering.picture : assert.fail(rendering.detail)
).pipe(Effect.provide(RendererCircles.layer({ size: 16 })))

describe("a run that is spread", () => {
  it.live("comes to what it comes to in one place", () =>
    Effect.gen(function*() {
      const at = folder()
      const short = { ...config, steps: 3 }
      const there = yield* finished(Stream.runCollect(train(short, prompts))).pipe(
        Effect.provide(Layer.merge(boxes(), stages(at, 1, usual())).pipe(Layer.provide(runners(at, usual()))))
      )
      assert.deepStrictEqual(there, yield* trained(short))
      assert.isAtMost(fs.readdirSync(path.join(at, policiesFolder)).length, 4)
    }))

  it.live("draws, renders and judges nothing a second time for an optimizer that begins anew", () =>
    Effect.gen(function*() {
      const at = folder()
      const asked = { sample: 0, render: 0, compare: 0 }
      const short = { ...config, steps: 2 }
      const life = (number: number) =>
        finished(Stream.runCollect(train(short, prompts))).pipe(Effect.provide(Layer.merge(boxes(), stages(at, number, usual()))))
      yield* Effect.gen(function*() {
        const first = yield* life(1)
        const done = { ...asked }
        assert.isAbove(done.sample * done.render * done.compare, 0)
        assert.deepStrictEqual(yield* life(2), first)
        assert.deepStrictEqual(asked, done)
      }).pipe(
        Effect.provide(runners(at, usual())),
        Effect.provideService(runner.Done, (kind) => void asked[kind]++)
      )
    }))

  it.live("asks a busy judge again, and one that was busy in an earlier life at once", () =>
    Effect.gen(function*() {
      const at = folder()
      let [calls, free] = [0, false]
      const judge = usual(Layer.effect(Judge, Effect.map(Judge, (fake) => ({
        ...fake,
        compare: (...pair: Parameters<typeof fake.compare>) =>
          Effect.suspend(() => {
            calls++
            return free ? fake.compare(...pair) : Effect.fail(new JudgeBusy({ message: "later", retryAfter: Duration.seconds(7) }))
          })
      }))).pipe(Layer.provide(JudgeFake.layer())))
      const [a, b] = [yield* picture(10), yield* picture(30)]
      const compare = (life: Layer.Layer<Sampler | Renderer | Judge, never, WorkflowEngine.WorkflowEngine>) =>
        Effect.flatMap(Judge, ({ compare }) => compare(prompt("a cat"), a, b)).pipe(Effect.provide(life))
      yield* Effect.gen(function*() {
        yield* Effect.gen(function*() {
          const busy = Effect.flip(Effect.flatMap(Judge, ({ compare }) => compare(prompt("a cat"), a, b)))
          const error = yield* busy
          assert.deepStrictEqual(error, new JudgeBusy({ message: "later", retryAfter: Duration.seconds(7) }))
          yield* busy
        }).pipe(Effect.provide(stages(at, 1, judge)))
        assert.strictEqual(calls, 2)
        free = true
        const verdict = yield* compare(stages(at, 2, judge))
        assert.deepStrictEqual([verdict.outcome, calls], ["B", 3])
        assert.deepStrictEqual(yield* compare(stages(at, 3, judge)), verdict)
        assert.strictEqual(calls, 3)
      }).pipe(Effect.provide(runners(at, judge)))
    }))

  it.live("tells of a bug in a runner, which a later life meets only if it is still there", () =>
    Effect.gen(function*() {
      const at = folder()
      let broken = true
      const local = Layer.merge(usual(), Layer.effect(Renderer, Effect.map(Renderer, (circles) => ({
        ...circles,
        render: (svg: string) => broken ? Effect.die(new Error("a bug")) : circles.render(svg)
      }))).pipe(Layer.provide(RendererCircles.layer({ size: 16 }))))
      const rendered = (life: number) => Effect.flatMap(Renderer, ({ render }) => render("<svg>")).pipe(Effect.provide(stages(at, life, local)))
      yield* Effect.gen(function*() {
        const exit = yield* Effect.exit(rendered(1))
        assert.include(String(Exit.isFailure(exit) && Cause.squash(exit.cause)), "a bug")
        broken = false
        assert.strictEqual((yield* rendered(2))._tag, "Rejected")
      }).pipe(Effect.provide(runners(at, local)))
    }))
})

describe("a version of the policy", () => {
  const snapshot = (mean: number) => ({ ...SamplerFake.initialPolicy(mean), version: Math.round(10 * mean) })

  it.live("is read as it was written, and refused where it was changed or is missing", () =>
    Effect.gen(function*() {
      const at = folder()
      const writer = makePolicyWriter(at)
      const read = makePolicyReader(at)
      yield* writer.use(snapshot(0.3), (name) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* read(name), snapshot(0.3))
          const [file] = fs.readdirSync(path.join(at, policiesFolder))
          const whole = path.join(at, policiesFolder, file!)
          const bytes = fs.readFileSync(whole)
          fs.writeFileSync(whole, bytes.map((byte, n) => (n === bytes.length - 1 ? byte ^ 1 : byte)))
          assert.match((yield* Effect.flip(makePolicyReader(at)(name))).message, /is damaged: it is not as it was written\.$/)
          fs.rmSync(whole)
          yield* Effect.flip(makePolicyReader(at, 0)(name))
        }))
    }))

  it.effect("stays while it is drawn from, however many come after it", () =>
    Effect.gen(function*() {
      const at = folder()
      const { use } = makePolicyWriter(at)
      const files = () => fs.readdirSync(path.join(at, policiesFolder)).length
      yield* use(snapshot(0), (first) =>
        Effect.gen(function*() {
          for (let n = 1; n < 10; n++) yield* use(snapshot(n / 10), () => Effect.void)
          assert.strictEqual(files(), 5)
          assert.strictEqual((yield* makePolicyReader(at)(first)).version, 0)
        }))
      assert.strictEqual(files(), 4)
    }))
})

describe("a picture on its way", () => {
  it.effect("keeps every pixel, opaque or not", () =>
    Effect.gen(function*() {
      const rendering = { _tag: "Rendered" as const, picture: yield* picture(20), bare: yield* picture(30) }
      const json = yield* Schema.encodeEffect(Schema.toCodecJson(RenderingPng))(rendering)
      assert.deepStrictEqual(yield* Schema.decodeEffect(Schema.toCodecJson(RenderingPng))(JSON.parse(JSON.stringify(json))), rendering)
      const rgba = Uint8Array.from({ length: 3 * 5 * 4 }, (_, n) => (37 * n) % 256)
      assert.deepStrictEqual(decodePng(encodePng(3, 5, rgba)), { width: 3, height: 5, rgba })
    }))

  it.effect("is refused if it is another one than its hash says, or no PNG of ours", () =>
    Effect.gen(function*() {
      const [a, b] = [yield* picture(20), yield* picture(30)]
      const other = new Picture({ ...a, hash: b.hash })
      const json = yield* Schema.encodeEffect(Schema.toCodecJson(PicturePng))(other)
      assert.match((yield* Effect.flip(Schema.decodeEffect(Schema.toCodecJson(PicturePng))(json))).message, /not those of its hash/)
      const png = encodePng(2, 2, new Uint8Array(16).fill(255))
      const changed = (at: number, to: number) => png.map((byte, n) => (n === at ? to : byte))
      for (const bad of [new Uint8Array(0), png.subarray(0, 50), changed(0, 0), changed(16, 255), changed(23, 3), changed(25, 3), changed(37, 0), changed(42, 0), changed(43, 255)]) {
        assert.throws(() => decodePng(bad), NotOurPng)
      }
    }))
})
