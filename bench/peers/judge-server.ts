/**
 * Judges pairs for a program that is not ours: a JSON line {"prompt", "a", "b"} on stdin, two drawings' texts, becomes a
 * line on stdout: 0 where a is better, 1 where b is, -1 where neither is. Rendered and judged as in a run, but a tie goes
 * to the higher score: the program knows no ties. It ends when stdin does.
 *
 *     node bench/peers/judge-server.ts perfect|clip|coin SEED
 */
import { createInterface } from "node:readline"
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Effect, Layer, Stream } from "effect"
import { OnnxRuntime } from "../../layers/onnx/runtime.ts"
import * as rendererResvg from "../../layers/renderer/resvg.ts"
import type { Verdict } from "../../src/domain.ts"
import { decideRenderings } from "../../src/lessons/decide.ts"
import { promptOf } from "../../src/prompts.ts"
import { renderFor } from "../../src/stages/render-for.ts"
import { openJudge } from "../../src/wiring/judges/open-judge.ts"
import { resolveConfig } from "../../src/wiring/settings.ts"
import * as perfect from "../learn/perfect.ts"

/** As TRL ranks two completions: the better one's place. */
const rankOf = ({ outcome, scores: [a, b] = [0, 0] }: Verdict): 0 | 1 | -1 =>
  outcome === "A" ? 0 : outcome === "B" ? 1 : outcome === "tie" && a !== b ? (a > b ? 0 : 1) : -1

const rank = Effect.fnUntraced(function*(line: string) {
  const { a, b, prompt: text } = JSON.parse(line) as { readonly prompt: string; readonly a: string; readonly b: string }
  const prompt = promptOf(text)
  const [x, y] = yield* Effect.all([renderFor(prompt, a), renderFor(prompt, b)], { concurrency: 2 })
  return rankOf(yield* decideRenderings(prompt, x, y))
})

/** Lines that wait together are judged together, and answered in their order. */
const together = 64

const serve = Effect.fnUntraced(function*(judge: string, seed: number) {
  const settings = yield* resolveConfig(undefined, { judge: judge === "perfect" ? "coin" : judge, seed })
  const { layer, size } = judge === "perfect" ? { layer: perfect.layer, size: 64 } : yield* openJudge(settings, "none")
  // Made when it is read: lines that come before are lost.
  const lines = Stream.suspend(() => Stream.fromAsyncIterable(createInterface({ input: process.stdin }), (cause) => cause as Error))
  yield* lines.pipe(
    Stream.mapEffect(rank, { concurrency: together }),
    Stream.runForEach((answer) => Effect.sync(() => void process.stdout.write(`${answer}\n`))),
    Effect.provide(Layer.mergeAll(layer, rendererResvg.layer({ size })).pipe(
      Layer.provide(OnnxRuntime.layer("cpu", 0, { threads: 1, overlap: false }))
    ))
  )
}, Effect.scoped)

const [judge = "", seed = "0"] = process.argv.slice(2)
NodeRuntime.runMain(serve(judge, Number(seed)).pipe(Effect.provide(NodeServices.layer)))
