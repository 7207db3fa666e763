/**
 * The boxes in another order. Here nothing is trained: eight candidates a prompt, the gate, then a knockout between the
 * valid ones, so that only the best drawing of each prompt is left. The compiler says which boxes the order needs.
 *
 *     node examples/04-custom-stage-order.ts
 */
import { Console, Effect, Layer, Stream } from "effect"
import { type Candidate, Judge, type Picture, Prompt, Renderer, Sampler, withJudgeRetry } from "vequinox"
import * as JudgeFake from "vequinox/layers/judge/fake"
import * as RendererCircles from "vequinox/layers/renderer/circles"
import * as SamplerFake from "vequinox/layers/sampler/fake"

const policy = SamplerFake.initialPolicy(0.5)

const candidates = (prompt: Prompt) =>
  Sampler.use((sampler) => sampler.sample({ step: 0, prompts: [prompt], k: 8, seed: 1, policy })).pipe(
    Effect.map((groups) => groups.flat())
  )

interface Contender {
  readonly candidate: Candidate
  readonly picture: Picture
}

/** The gate as a filter: what does not render is gone. */
const rendered = (candidate: Candidate) =>
  Renderer.use((renderer) => renderer.render(candidate.svg)).pipe(
    Effect.map((rendering): ReadonlyArray<Contender> =>
      rendering._tag === "Rendered" ? [{ candidate, picture: rendering.picture }] : []
    )
  )

/** The winner stays; a tie, or no usable answer, leaves the champion where it is. */
const knockout = (prompt: Prompt, [first, ...rest]: ReadonlyArray<Contender>) =>
  Effect.gen(function*() {
    const judge = yield* Judge
    let champion = first
    for (const challenger of rest) {
      if (champion === undefined) break
      const { outcome } = yield* judge.compare(prompt, champion.picture, challenger.picture).pipe(
        withJudgeRetry,
        Effect.catchTag(["JudgeBusy", "JudgeRefused"], () => Effect.succeed({ outcome: "failed" as const }))
      )
      if (outcome === "B") champion = challenger
    }
    return { prompt, champion }
  })

export const main = Stream.make("a plum", "a moon", "a coin").pipe(
  Stream.map((text) => new Prompt({ id: text, text })),
  Stream.mapEffect((prompt) => Effect.map(candidates(prompt), (drawn) => ({ prompt, drawn }))),
  Stream.mapEffect(({ drawn, prompt }) =>
    Effect.forEach(drawn, rendered, { concurrency: 2 }).pipe(Effect.flatMap((valid) => knockout(prompt, valid.flat())))),
  Stream.runForEach(({ champion, prompt }) =>
    Console.log(champion === undefined
      ? `${prompt.text}: nothing valid`
      : `${prompt.text}: candidate ${champion.candidate.index}, ink ${JudgeFake.ink(champion.picture).toFixed(2)}`)),
  Effect.provide(Layer.mergeAll(SamplerFake.layer(), RendererCircles.layer(), JudgeFake.layer()))
)

if (import.meta.main) await Effect.runPromise(main)
