/** The studio's HTTP API, typed. Every address is relative, since the page's own begins with a token. */
import type * as Api from "../api.ts"

export type RunCard = (typeof Api.RunCard)["Type"]
export type Runs = (typeof Api.Runs)["Type"]
export type Overview = (typeof Api.Overview)["Type"]
export type Steering = (typeof Api.Steering)["Type"]
export type Steer = (typeof Api.Steer)["Type"]
export type Curves = (typeof Api.Curves)["Type"]
export type RolloutRow = (typeof Api.RolloutRow)["Type"]
export type Rollouts = (typeof Api.Rollouts)["Type"]
export type Rollout = (typeof Api.Rollout)["Type"]
export type Vote = (typeof Api.Vote)["Type"]
export type Agreement = (typeof Api.Agreement)["Type"]
export type NextPair = (typeof Api.NextPair)["Type"]
export type Draw = (typeof Api.Draw)["Type"]
export type Drawn = (typeof Api.Drawn)["Type"]
export type Drawing = Drawn["drawings"][number]
export type JudgeAsked = (typeof Api.JudgeAsked)["Type"]
export type Judged = (typeof Api.Judged)["Type"]

/** A drawing by its place in its run. */
export interface Place {
  readonly step: number
  readonly promptId: string
  readonly index: number
}

const refusalOf = (body: string, status: number): string => {
  try {
    return (JSON.parse(body) as { error: { message: string } }).error.message
  } catch {
    return `The studio answered with status ${status}.`
  }
}

/** Its error's message is a sentence for people. */
const call = async <A>(path: string, init: RequestInit): Promise<A> => {
  const answer = await fetch(`api/${path}`, init)
    .then(async (response) => ({ response, body: await response.text() }))
    .catch((cause: unknown) => {
      throw init.signal?.aborted === true ? cause : new Error("The studio does not answer: has its process ended?")
    })
  if (!answer.response.ok) throw new Error(refusalOf(answer.body, answer.response.status))
  return JSON.parse(answer.body) as A
}

const get = <A>(path: string, signal?: AbortSignal): Promise<A> => call(path, signal === undefined ? {} : { signal })
const post = <A>(path: string, body: unknown): Promise<A> =>
  call(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })

const inRun = (run: string): string => `runs/${encodeURIComponent(run)}`
const at = ({ index, promptId, step }: Place): string => `${step}/${encodeURIComponent(promptId)}/${index}`

export const ask = {
  runs: (signal: AbortSignal) => get<Runs>("runs", signal),
  overview: (run: string, signal: AbortSignal) => get<Overview>(inRun(run), signal),
  curves: (run: string, signal: AbortSignal) => get<Curves>(`${inRun(run)}/curves`, signal),
  rollouts: (run: string, query: Readonly<Record<string, string>>, signal: AbortSignal) =>
    get<Rollouts>(`${inRun(run)}/rollouts?${new URLSearchParams(query)}`, signal),
  rollout: (run: string, place: Place, signal: AbortSignal) => get<Rollout>(`${inRun(run)}/rollouts/${at(place)}`, signal),
  agreement: (run: string, signal: AbortSignal) => get<Agreement>(`${inRun(run)}/votes`, signal),
  nextPair: (run: string, signal: AbortSignal) => get<NextPair>(`${inRun(run)}/votes/next`, signal),
  vote: (run: string, vote: Vote) => post<Agreement>(`${inRun(run)}/votes`, vote),
  unvote: (run: string) => call<Agreement>(`${inRun(run)}/votes/last`, { method: "DELETE" }),
  draw: (run: string, draw: Draw) => post<Drawn>(`${inRun(run)}/draw`, draw),
  judge: (run: string, asked: JudgeAsked) => post<Judged>(`${inRun(run)}/judge`, asked),
  steer: (steer: Steer) => post<Steering>("steer", steer)
}

export const pictureOf = (run: string, place: Place): string => `api/${inRun(run)}/pictures/${at(place)}`
export const voteRowsOf = (run: string): string => `api/${inRun(run)}/votes/preferences.jsonl`

export const told = (error: unknown): string => error instanceof Error ? error.message : String(error)
