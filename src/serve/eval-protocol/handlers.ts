/** What each of Eval Protocol's endpoints does. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../api.ts"
import { refuse } from "../refusals.ts"
import type { Served } from "../request.ts"
import type { FlatTraces, PointwiseTraces } from "./api.ts"
import { codes } from "./codes.ts"
import { payloadsOf } from "./payloads.ts"
import { makeRollouts, type Drawn, type Rollout, type RolloutLimits } from "./rollouts.ts"

const usualRows = 100

interface Query {
  readonly tags?: string | ReadonlyArray<string> | undefined
  readonly rollout_id?: string | undefined
  readonly limit?: number | undefined
}

const tagsIn = ({ rollout_id, tags = [] }: Query) => {
  const all = [...(rollout_id === undefined ? [] : [`rollout_id:${rollout_id}`]), ...(typeof tags === "string" ? [tags] : tags)]
  return all.length === 0
    ? Effect.fail(refuse("invalid", "Name at least one tag, as tags=rollout_id:...: nobody is shown all rollouts.", "tags"))
    : Effect.succeed(all)
}

interface Finished extends Rollout {
  readonly drawn: Drawn
}
const isFinished = (rollout: Rollout): rollout is Finished => rollout.drawn !== undefined

const isYes = (text: string | undefined): boolean => /^(true|1)$/i.test(text ?? "")
const at = (milliseconds: number): string => new Date(milliseconds).toISOString()

const payloads = ({ drawn: { ids, logps, prompt } }: Finished, wanted: boolean) => (wanted ? { payloads: payloadsOf([...prompt], [...ids], [...logps]) } : {})
const input = ({ messages }: Rollout) => ({ messages })
const output = ({ drawn: { content } }: Finished) => ({ role: "assistant" as const, content })

const pointwise = (rollout: Finished, wanted: boolean): (typeof PointwiseTraces.Type)["traces"][number] => {
  const { drawn, extras, tags } = rollout
  return {
    id: drawn.id,
    name: "rollout",
    timestamp: at(drawn.began),
    tags,
    input: input(rollout),
    output: output(rollout),
    observations: [{
      id: `${drawn.id}-0`,
      type: "GENERATION",
      name: "drawing",
      model: drawn.model,
      start_time: at(drawn.began),
      end_time: at(drawn.ended),
      usage: extras
    }],
    ...payloads(rollout, wanted)
  }
}

const flat = (rollout: Finished, wanted: boolean): (typeof FlatTraces.Type)["traces"][number] => ({
  InsertionId: rollout.drawn.id,
  Timestamp: at(rollout.drawn.began),
  Tags: rollout.tags,
  Input: input(rollout),
  Output: output(rollout),
  ...payloads(rollout, wanted)
})

export const evalProtocol = (served: Served, limits?: RolloutLimits) =>
  HttpApiBuilder.group(Api, "evalProtocol", Effect.fn(function*(handlers) {
    const rollouts = yield* makeRollouts(served, limits)
    const status = ({ query: { rollout_id } }: { readonly query: { readonly rollout_id: string } }) =>
      Effect.sync(() => {
        const rollout = rollouts.get(rollout_id)
        return rollout === undefined
          // So the client sends it again. Without a status it would ask for two minutes and give up.
          ? { rollout_id, status: { code: codes.notFound, message: "This rollout never began here, or is no longer kept.", details: [] }, extras: {} }
          : { rollout_id, status: rollout.status, extras: rollout.extras }
      })
    const logs = ({ query }: { readonly query: Query }) =>
      Effect.map(tagsIn(query), (tags) => ({ entries: rollouts.tagged(tags).flatMap(({ logs }) => logs).slice(0, query.limit ?? usualRows) }))
    const traces = <A>(of: (rollout: Finished, wanted: boolean) => A) => ({ query }: { readonly query: Query & { readonly include_payloads?: string | undefined } }) =>
      Effect.map(tagsIn(query), (tags) => {
        const finished = rollouts.tagged(tags).filter(isFinished)
        const shown = finished.slice(0, query.limit ?? usualRows)
        return { project_id: "vequinox", total_traces: finished.length, traces: shown.map((rollout) => of(rollout, isYes(query.include_payloads))) }
      })
    return handlers.handleAll({
      init: ({ payload }) =>
        Effect.as(rollouts.start(payload), {
          status: "accepted" as const,
          rollout_id: payload.metadata.rollout_id,
          message: "The rollout has begun: ask for its status."
        }),
      status,
      statusOfOld: status,
      logs,
      logsOfOld: logs,
      pointwise: traces(pointwise),
      traces: traces(flat)
    })
  }))
