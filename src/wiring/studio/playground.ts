/**
 * The studio's playground: policies and judges are opened when they are first asked, and closed when nobody has asked for a
 * while. A run that trains keeps its own.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Context, Effect, Layer, RcMap, Semaphore, Stream } from "effect"
import * as completionsOnnx from "../../../layers/completions/onnx.ts"
import { OnnxRuntime } from "../../../layers/onnx/runtime.ts"
import type { Rendering } from "../../domain.ts"
import { encodePng } from "../../drawing/png.ts"
import { plain } from "../../engine/sampling/sampling.ts"
import { parameterCount } from "../../engine/training/memory.ts"
import { decideRenderings } from "../../lessons/decide.ts"
import { openAdapter } from "../../model/adapter.ts"
import { openDecoder } from "../../model/model-folder.ts"
import { tokenizing } from "../../model/tokenizer/limits.ts"
import { openTokenizer, promptIds } from "../../model/tokenizer/tokenizer.ts"
import { promptOf } from "../../prompts.ts"
import { asRefusal, refuse } from "../../serve/refusals.ts"
import { Completions, completionSeed } from "../../stages/Completions.ts"
import { renderFor } from "../../stages/render-for.ts"
import { Renderer } from "../../stages/Renderer.ts"
import { Playground, type RunPolicies } from "../../studio/playground.ts"
import type { Draw, Drawn } from "../../studio/api.ts"
import type { JudgeSettings } from "../judges/judge-row.ts"
import { openJudging } from "../judges/judging.ts"
import { quantizedCache } from "../quantized-cache.ts"
import type { TrainConfig } from "../settings.ts"

export interface PlaygroundOptions {
  /** By the name under which they are asked. */
  readonly judges: ReadonlyMap<string, JudgeSettings>
  readonly device: TrainConfig["device"]
  /** 0: as many as the machine has. */
  readonly threads: number
}

/** How long a policy or a judge stays open for the next question. */
const idle = "5 minutes"

/** Drawings that are decoded together; the rest of a request waits. */
const together = 32
const mostDrawings = 24 * 4 * 4

/** Adapters that a policy holds at once; the one used longest ago makes room. */
const mostAdapters = 8

/** A policy and the adapters that it holds. */
const openPolicyOf = Effect.fnUntraced(function*(model: string, { device, threads }: PlaygroundOptions) {
  const checkpoint = yield* openDecoder(model)
  const tokenizer = yield* openTokenizer(model)
  const completions = Context.get(
    yield* Layer.build(
      completionsOnnx.layer({
        checkpoint,
        tokenizer,
        maxLength: Math.min(checkpoint.config.maxPositions, 2048),
        maxNumSeqs: together,
        maxWaiting: mostDrawings,
        precision: "auto",
        cache: yield* quantizedCache,
        quantizing: () => Effect.succeed(() => Effect.void)
      }).pipe(Layer.provide(OnnxRuntime.layer(device, parameterCount(checkpoint.config), { threads, overlap: false })))
    ),
    Completions
  )
  const held = new Map<string, string>()
  const one = yield* Semaphore.make(1)
  let next = 0
  /** The name under which an adapter is held. A checkpoint of the same name that was written anew is another one. */
  const hold = (folder: string) =>
    one.withPermit(Effect.gen(function*() {
      const key = `${folder} ${fs.statSync(path.join(folder, "adapter_model.safetensors")).mtimeMs}`
      const known = held.get(key)
      if (known !== undefined) {
        held.delete(key)
        held.set(key, known)
        return known
      }
      const { lora, parameters } = yield* openAdapter(folder, checkpoint)
      const name = `adapter-${next++}`
      yield* completions.hold(name, lora, parameters)
      held.set(key, name)
      const [oldest] = held
      if (held.size > mostAdapters && oldest !== undefined) {
        held.delete(oldest[0])
        yield* Effect.ignore(completions.letGo(oldest[1]))
      }
      return name
    }))
  return { completions, tokenizer, hold }
})
type OpenPolicy = Effect.Success<ReturnType<typeof openPolicyOf>>

const became = (rendering: Rendering) =>
  rendering._tag === "Rendered"
    ? {
      rendering: "rendered" as const,
      reason: null,
      detail: null,
      picture: `data:image/png;base64,${Buffer.from(encodePng(rendering.picture.width, rendering.picture.height, rendering.picture.rgba)).toString("base64")}`
    }
    : { rendering: rendering._tag === "Rejected" ? "rejected" as const : "killed" as const, reason: rendering.reason, detail: rendering.detail, picture: null }

/** Draws a prompt with one policy: n drawings. */
const drawPrompt = Effect.fnUntraced(function*(
  { completions, tokenizer }: OpenPolicy,
  { format, maxNewTokens }: RunPolicies,
  { n, seed, temperature }: typeof Draw.Type,
  policy: string,
  adapter: string | undefined,
  text: string
) {
  const ids = yield* tokenizing(() => promptIds(tokenizer, format, text))
  const room = completions.maxLength - ids.length
  if (room < 1) return yield* Effect.fail(refuse("invalid", `The prompt has ${ids.length} tokens, and the policy reads ${completions.maxLength} at most.`, "prompts"))
  const drawings = Array.from({ length: n }, () => ({ svg: format.prefill, tokens: 0, logp: 0 }))
  const pieces = yield* completions.complete({
    adapter,
    ids,
    seeds: drawings.map((_, index) => completionSeed(seed, index)),
    options: { ...plain, temperature },
    stops: ["</svg>"],
    cut: [],
    limit: Math.min(room, maxNewTokens),
    topLogprobs: undefined
  })
  yield* Stream.runForEach(pieces, ({ ids, index, logps, text }) =>
    Effect.sync(() => {
      const drawing = drawings[index]!
      drawing.svg += text
      drawing.tokens += ids.length
      for (const logp of logps) drawing.logp += logp // one by one: however many came together, the sum is the same
    }))
  const prompt = promptOf(text)
  return yield* Effect.forEach(drawings, (drawing, index) =>
    Effect.map(renderFor(prompt, drawing.svg), (rendering) => ({ policy, prompt: text, index, ...drawing, ...became(rendering) })), { concurrency: 4 })
}, Effect.scoped)

export const layer = (options: PlaygroundOptions) =>
  Layer.effect(
    Playground,
    Effect.gen(function*() {
      const renderer = yield* Renderer
      const policies = yield* RcMap.make({ lookup: (model: string) => openPolicyOf(model, options), idleTimeToLive: idle })
      const judging = yield* RcMap.make({
        lookup: (name: string) => Effect.flatMap(openJudging(options.judges.get(name)!, "none"), ({ stages }) => Layer.build(stages)),
        idleTimeToLive: idle
      })
      const draw = Effect.fn("Playground.draw")((run: RunPolicies, asked: typeof Draw.Type) =>
        Effect.gen(function*() {
          const policy = yield* RcMap.get(policies, run.model)
          const drawn = yield* Effect.forEach(asked.policies, (name) =>
            Effect.gen(function*() {
              const folder = run.adapters.get(name)
              const adapter = folder === undefined ? undefined : yield* policy.hold(folder)
              return yield* Effect.forEach(asked.prompts, (prompt) => drawPrompt(policy, run, asked, name, adapter, prompt), { concurrency: "unbounded" })
            }), { concurrency: asked.policies.length })
          return { drawings: drawn.flat(2) } satisfies typeof Drawn.Type as typeof Drawn.Type
        }).pipe(Effect.scoped, Effect.provideService(Renderer, renderer), Effect.mapError(asRefusal)))
      return Playground.of({
        judges: [...options.judges.keys()],
        draw,
        judge: Effect.fn("Playground.judge")(({ judge, left, prompt: text, right }) =>
          Effect.gen(function*() {
            if (!options.judges.has(judge)) {
              return yield* Effect.fail(refuse("missing", `This studio asks no judge "${judge.slice(0, 100)}": start it with --judge.`, "judge"))
            }
            const stages = yield* RcMap.get(judging, judge)
            const prompt = promptOf(text)
            return yield* Effect.gen(function*() {
              const [a, b] = yield* Effect.all([renderFor(prompt, left), renderFor(prompt, right)], { concurrency: 2 })
              const { by, confidence, costUsd = 0, outcome, reason = null, scores } = yield* decideRenderings(prompt, a, b, 3) // somebody is waiting
              return { outcome, confidence, by, reason, costUsd, scores: scores === undefined ? null : { left: scores[0], right: scores[1] } }
            }).pipe(Effect.provideContext(stages))
          }).pipe(Effect.scoped, Effect.mapError(asRefusal))
        )
      })
    })
  )
