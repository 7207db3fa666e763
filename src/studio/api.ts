/**
 * The HTTP API of the studio: what its page reads and changes. Everything is paged or bounded, so that a run of thousands of
 * steps answers as quickly as a small one. Pictures leave as PNG, drawn behind the gate: the page never holds a stranger's SVG
 * as anything but text.
 */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Finish, KillReason, Outcome, RejectReason } from "../domain.ts"
import { between, whole } from "../serve/fields.ts"
import { Guarded, Readable } from "../serve/guard.ts"
import { errors } from "../serve/refusals.ts"

const fromQuery = (minimum: number, maximum: number) =>
  Schema.NumberFromString.check(Schema.isInt(), Schema.isBetween({ minimum, maximum }))

/** Rollouts of one page. */
export const mostRollouts = 200
/** Characters of a prompt, typed or searched for. */
export const mostPrompt = 2000
/** Characters of a drawing that the playground lets judge. */
export const mostSvg = 200_000
const mostStep = 2 ** 31

/**
 * `running`: a process works on it. `paused`: a person stopped it between two steps. `stopped`: it can be resumed.
 * `diverged`: it ended because it ran away.
 */
export const RunStanding = Schema.Literals(["running", "paused", "stopped", "finished", "diverged"])

export const RunCard = Schema.Struct({
  /** Its folder's name. */
  name: Schema.String,
  standing: RunStanding,
  /** Steps done. */
  step: Schema.Int,
  /** Steps asked for. */
  steps: Schema.NullOr(Schema.Int),
  judge: Schema.NullOr(Schema.String),
  /** Folder or Hub name of the policy. */
  model: Schema.NullOr(Schema.String),
  objective: Schema.NullOr(Schema.String),
  /** Milliseconds since 1970. */
  startedAt: Schema.NullOr(Schema.Finite),
  /** Wall clock of all steps, seconds. */
  seconds: Schema.Finite,
  costUsd: Schema.Finite,
  /** Share of held-out prompts drawn right, each policy at its best temperature; once finished. */
  right: Schema.NullOr(Schema.Struct({ before: Schema.Finite, after: Schema.Finite }))
}).annotate({ identifier: "RunCard" })

export const Runs = Schema.Struct({
  /** Newest first. */
  runs: Schema.Array(RunCard),
  /** Folders that were left out because there are too many. */
  leftOut: Schema.Int
})

const Fault = Schema.Struct({
  /** `rejected`, `killed`, `failed`, `invalid`, `stale`. */
  kind: Schema.String,
  reason: Schema.String,
  count: Schema.Int,
  example: Schema.NullOr(Schema.String)
})

/** What the process that trains lets a person do. */
export const Steering = Schema.Struct({
  paused: Schema.Boolean,
  /** It ends after the step under way. */
  stopping: Schema.Boolean,
  /** Most that judges may still cost in all, US dollars; null where the judge is free. */
  budgetUsd: Schema.NullOr(Schema.Finite)
}).annotate({ identifier: "Steering" })

/** Between two boxes of the map. */
const Queue = Schema.Struct({
  /** `sample`, `render`, `judge`, `train`. */
  stage: Schema.String,
  /** Batches that wait in front of it. */
  waiting: Schema.Int,
  /** Batches that it works on. */
  working: Schema.Int
})

export const Overview = Schema.Struct({
  run: RunCard,
  /** Steps whose numbers can be read. */
  firstStep: Schema.NullOr(Schema.Int),
  lastStep: Schema.NullOr(Schema.Int),
  drawings: Schema.Int,
  pairs: Schema.Int,
  /** Seconds of the last steps by stage: median of up to 50. `step` is the whole, `wait` what the optimizer waited. */
  stages: Schema.Array(Schema.Struct({ stage: Schema.String, seconds: Schema.Finite })),
  /** Null where another process trains, or none. */
  queues: Schema.NullOr(Schema.Array(Queue)),
  /** Seconds until the last step; null if unknown. */
  secondsLeft: Schema.NullOr(Schema.Finite),
  cost: Schema.Struct({
    usd: Schema.Finite,
    byJudge: Schema.Array(Schema.Struct({ judge: Schema.String, answers: Schema.Int, usd: Schema.Finite })),
    /** At the rate so far, when all steps are done; null before the first step. */
    forecastUsd: Schema.NullOr(Schema.Finite),
    budgetUsd: Schema.NullOr(Schema.Finite)
  }),
  faults: Schema.Array(Fault),
  /** What a person should look into. */
  alarms: Schema.Array(Schema.Struct({ step: Schema.Int, message: Schema.String })),
  /** Policies that can be drawn with: `base`, `step-N` of the checkpoints, `adapter` once finished. */
  policies: Schema.Array(Schema.String),
  /** Judges that the playground may ask. */
  judges: Schema.Array(Schema.String),
  /** Why the playground cannot draw; null if it can. */
  noPlayground: Schema.NullOr(Schema.String),
  /** Null where another process trains, or none. */
  steering: Schema.NullOr(Steering),
  /** The last lines that the process told, oldest first; empty where another process trains. */
  log: Schema.Array(Schema.Struct({ at: Schema.Finite, line: Schema.String })),
  /** One sentence: what was learned and what was not; once finished. */
  sentence: Schema.NullOr(Schema.String),
  kinds: Schema.Array(Schema.Struct({ kind: Schema.String, prompts: Schema.Int, before: Schema.Finite, after: Schema.Finite })),
  /** config.json, one row a setting. */
  settings: Schema.Array(Schema.Struct({ name: Schema.String, value: Schema.String }))
}).annotate({ identifier: "Overview" })

export const Curves = Schema.Struct({
  /** How many steps one point is the mean of. */
  every: Schema.Int,
  /** First step of each point. */
  steps: Schema.Array(Schema.Int),
  panels: Schema.Array(Schema.Struct({
    title: Schema.String,
    note: Schema.String,
    /** A share in [0, 1]. */
    share: Schema.Boolean,
    series: Schema.Array(Schema.Struct({ label: Schema.String, values: Schema.Array(Schema.NullOr(Schema.Finite)) }))
  }))
}).annotate({ identifier: "Curves" })

/** A drawing by its place. */
const place = { step: Schema.Int, promptId: Schema.String, index: Schema.Int }

const became = {
  /** `rendered`, `rejected` by the gate, or `killed` with its renderer. */
  rendering: Schema.Literals(["rendered", "rejected", "killed"]),
  reason: Schema.NullOr(Schema.Union([RejectReason, KillReason]))
}

export const RolloutRow = Schema.Struct({
  ...place,
  prompt: Schema.String,
  policyVersion: Schema.Int,
  tokens: Schema.Int,
  finish: Finish,
  ...became,
  /** Of its pairs, by verdict. */
  won: Schema.Int,
  lost: Schema.Int,
  tied: Schema.Int,
  failed: Schema.Int,
  /** The judge's, in its own unit; null if it gives none. */
  score: Schema.NullOr(Schema.Finite)
}).annotate({ identifier: "RolloutRow" })

export const Standing = Schema.Literals(["won", "lost", "tied", "failed", "unjudged"])

export const RolloutsQuery = {
  /** Part of a prompt, in any case. */
  prompt: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(mostPrompt))),
  /** `rendered`, or why it was not. */
  reason: Schema.optionalKey(Schema.Union([Schema.Literal("rendered"), RejectReason, KillReason])),
  /** It has at least one pair of that verdict; `unjudged`: it has none. */
  verdict: Schema.optionalKey(Standing),
  /** First and last step, both included. */
  from: Schema.optionalKey(fromQuery(0, mostStep)),
  to: Schema.optionalKey(fromQuery(0, mostStep)),
  /** `next` of the page before. */
  after: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(300))),
  limit: Schema.optionalKey(fromQuery(1, mostRollouts))
}

export const Rollouts = Schema.Struct({
  /** Newest step first. */
  rows: Schema.Array(RolloutRow),
  /** Where the next page begins; null at the end. */
  next: Schema.NullOr(Schema.String)
}).annotate({ identifier: "Rollouts" })

const Token = Schema.Struct({
  id: Schema.Int,
  /** Null if the policy's tokenizer is not at hand. */
  text: Schema.NullOr(Schema.String),
  /** Log p under the policy that drew it, nats. */
  logp: Schema.Finite
})

export const Rollout = Schema.Struct({
  ...RolloutRow.fields,
  seed: Schema.Int,
  /** What the gate or the renderer said. */
  detail: Schema.NullOr(Schema.String),
  svg: Schema.String,
  tokenList: Schema.Array(Token),
  /** All drawings of its prompt in that step. */
  siblings: Schema.Array(Schema.Struct({ index: Schema.Int, ...became })),
  /** Its pairs. */
  verdicts: Schema.Array(Schema.Struct({
    /** Index of the other drawing. */
    against: Schema.Int,
    /** For this drawing. */
    outcome: Schema.Literals(["won", "lost", "tie", "invalid", "failed"]),
    confidence: Schema.Finite,
    score: Schema.NullOr(Schema.Finite),
    otherScore: Schema.NullOr(Schema.Finite),
    by: Schema.String,
    reason: Schema.NullOr(Schema.String),
    costUsd: Schema.NullOr(Schema.Finite),
    /** Which of the two places the judge chose, one entry for each order that was asked; empty if it saw no places. */
    places: Schema.Array(Schema.Literals(["this", "other", "tie"])),
    /** What a person said, if one did. */
    person: Schema.NullOr(Schema.Literals(["won", "lost", "tie"]))
  })),
  /** What was trained on it. */
  lessons: Schema.Array(Schema.Struct({
    as: Schema.Literals(["chosen", "rejected", "advantage"]),
    /** Index of the other drawing of a pair. */
    against: Schema.NullOr(Schema.Int),
    /** Label of a pair, or the advantage. */
    signal: Schema.Finite,
    weight: Schema.Finite,
    trainedAtStep: Schema.NullOr(Schema.Int),
    droppedAtStep: Schema.NullOr(Schema.Int)
  }))
}).annotate({ identifier: "Rollout" })

const Choice = Schema.Literals(["left", "right", "tie"])

/** A person's choice. */
export const Vote = Schema.Struct({
  step: Schema.Int,
  promptId: Schema.String.check(Schema.isMaxLength(200)),
  /** Indexes of the two drawings as they were shown. */
  left: whole(0, 100_000),
  right: whole(0, 100_000),
  choice: Choice,
  /** Whether the person saw no verdict before. False: a past verdict is corrected. */
  blind: Schema.Boolean
}).annotate({ identifier: "Vote" })

const interval = { value: Schema.Finite, lower: Schema.Finite, upper: Schema.Finite }

/** People and the judge, over the pairs that people voted on blindly and the judge answered. */
export const Agreement = Schema.Struct({
  /** Votes, blind or not. */
  votes: Schema.Int,
  corrections: Schema.Int,
  /** Pairs that both decided: share on which they agree, 95 % (Wilson). */
  agreement: Schema.NullOr(Schema.Struct({ ...interval, n: Schema.Int })),
  /** Cohen's kappa over A, B and tie, 95 % (bootstrap); null where it is undefined. */
  kappa: Schema.NullOr(Schema.Struct({ ...interval, n: Schema.Int })),
  /** Whether the last vote can be taken back. */
  undoable: Schema.Boolean
}).annotate({ identifier: "Agreement" })

export const NextPair = Schema.Struct({
  /** Null if every judged pair has a vote. */
  pair: Schema.NullOr(Schema.Struct({ step: Schema.Int, promptId: Schema.String, prompt: Schema.String, left: Schema.Int, right: Schema.Int }))
})

export const Draw = Schema.Struct({
  prompts: Schema.Array(Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(mostPrompt))).check(Schema.isMinLength(1), Schema.isMaxLength(24)),
  /** Names of `policies`. */
  policies: Schema.Array(Schema.String.check(Schema.isMaxLength(200))).check(Schema.isMinLength(1), Schema.isMaxLength(4)),
  /** 0 is greedy. */
  temperature: between(0, 2),
  seed: whole(0, 2 ** 31 - 1),
  /** Drawings of each prompt and policy. */
  n: whole(1, 4)
}).annotate({ identifier: "Draw" })

export const Drawn = Schema.Struct({
  drawings: Schema.Array(Schema.Struct({
    policy: Schema.String,
    prompt: Schema.String,
    index: Schema.Int,
    svg: Schema.String,
    tokens: Schema.Int,
    /** Of all tokens, nats. */
    logp: Schema.Finite,
    ...became,
    detail: Schema.NullOr(Schema.String),
    /** A data URL of a PNG; null if it did not render. */
    picture: Schema.NullOr(Schema.String)
  }))
}).annotate({ identifier: "Drawn" })

export const JudgeAsked = Schema.Struct({
  prompt: Schema.String.check(Schema.isMaxLength(mostPrompt)),
  left: Schema.String.check(Schema.isMaxLength(mostSvg)),
  right: Schema.String.check(Schema.isMaxLength(mostSvg)),
  /** One of `judges`. */
  judge: Schema.String
}).annotate({ identifier: "JudgeAsked" })

export const Judged = Schema.Struct({
  /** A is the left one. */
  outcome: Outcome,
  confidence: Schema.Finite,
  scores: Schema.NullOr(Schema.Struct({ left: Schema.Finite, right: Schema.Finite })),
  by: Schema.String,
  reason: Schema.NullOr(Schema.String),
  costUsd: Schema.Finite
}).annotate({ identifier: "Judged" })

/** What is absent stays as it is. */
export const Steer = Schema.Struct({
  pause: Schema.optionalKey(Schema.Boolean),
  /** Ends after the step under way, as Ctrl-C does: the run can be resumed. */
  stop: Schema.optionalKey(Schema.Literal(true)),
  /** US dollars in all; only less than before. */
  budgetUsd: Schema.optionalKey(between(0, 1e6))
}).annotate({ identifier: "Steer" })

const inRun = { run: Schema.String.check(Schema.isMaxLength(255)) }
const inRollout = { ...inRun, step: fromQuery(0, mostStep), prompt: Schema.String.check(Schema.isMaxLength(200)), index: fromQuery(0, 100_000) }
const Png = Schema.Uint8Array.pipe(HttpApiSchema.asUint8Array({ contentType: "image/png" }))
const Lines = Schema.String.pipe(HttpApiSchema.asText({ contentType: "application/x-ndjson" }))

class Watch extends HttpApiGroup.make("watch").add(
  HttpApiEndpoint.get("runs", "/api/runs", { success: Runs, error: errors }),
  HttpApiEndpoint.get("overview", "/api/runs/:run", { params: inRun, success: Overview, error: errors }),
  HttpApiEndpoint.get("curves", "/api/runs/:run/curves", { params: inRun, success: Curves, error: errors }),
  HttpApiEndpoint.get("rollouts", "/api/runs/:run/rollouts", { params: inRun, query: RolloutsQuery, success: Rollouts, error: errors }),
  HttpApiEndpoint.get("rollout", "/api/runs/:run/rollouts/:step/:prompt/:index", { params: inRollout, success: Rollout, error: errors }),
  HttpApiEndpoint.get("picture", "/api/runs/:run/pictures/:step/:prompt/:index", { params: inRollout, success: Png, error: errors })
).middleware(Readable).middleware(Guarded).annotate(OpenApi.Description, "Runs, finished or under way") {}

class People extends HttpApiGroup.make("people").add(
  HttpApiEndpoint.get("agreement", "/api/runs/:run/votes", { params: inRun, success: Agreement, error: errors }),
  HttpApiEndpoint.get("nextPair", "/api/runs/:run/votes/next", { params: inRun, success: NextPair, error: errors }),
  HttpApiEndpoint.post("vote", "/api/runs/:run/votes", { params: inRun, payload: Vote, success: Agreement, error: errors }),
  HttpApiEndpoint.delete("unvote", "/api/runs/:run/votes/last", { params: inRun, success: Agreement, error: errors }),
  HttpApiEndpoint.get("voteRows", "/api/runs/:run/votes/preferences.jsonl", { params: inRun, success: Lines, error: errors })
).middleware(Readable).middleware(Guarded).annotate(OpenApi.Description, "What people say of pairs") {}

class Playground extends HttpApiGroup.make("playground").add(
  HttpApiEndpoint.post("draw", "/api/runs/:run/draw", { params: inRun, payload: Draw, success: Drawn, error: errors }),
  HttpApiEndpoint.post("judge", "/api/runs/:run/judge", { params: inRun, payload: JudgeAsked, success: Judged, error: errors })
).middleware(Readable).middleware(Guarded).annotate(OpenApi.Description, "Draw with a run's policies, and judge") {}

class Steers extends HttpApiGroup.make("steering").add(
  HttpApiEndpoint.post("steer", "/api/steer", { payload: Steer, success: Steering, error: errors })
).middleware(Readable).middleware(Guarded).annotate(OpenApi.Description, "The run that this process trains") {}

export class StudioApi extends HttpApi.make("vequinox-studio").add(Watch, People, Playground, Steers).annotateMerge(
  OpenApi.annotations({ title: "vequinox studio", description: "Watch and steer a run, draw, compare and vote." })
) {}
