/**
 * Hugging Face Jobs, by the Hub's HTTP API as huggingface_hub 2.4.0 uses it (`run_job`, `list_jobs`, `fetch_job_logs`). The Hub
 * names jobs itself, so ours carries its id as a label, by which it is looked for before one is started. The token goes to the
 * job as a secret, which the Hub encrypts and shows nobody.
 */
import { Effect, Redacted, Schema } from "effect"
import type { JobCluster, JobState } from "./cluster.ts"
import { asking, linesOf, longestLog, orNone, type Server } from "./http.ts"

export interface HuggingFaceOptions extends Omit<Server, "name" | "tokenName" | "token"> {
  readonly token: Redacted.Redacted
  /** User or organisation that pays. */
  readonly namespace: string
  /** Hardware: `a10g-small`, `cpu-upgrade`, ... */
  readonly flavor: string
  readonly image: string
  /** Seconds after which the Hub ends the job. */
  readonly timeout: number
}

const Job = Schema.Struct({
  id: Schema.String.check(Schema.isPattern(/^[\w-]{1,64}$/)),
  createdAt: Schema.optionalKey(Schema.NullOr(Schema.String)),
  labels: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.String))),
  status: Schema.Struct({ stage: Schema.String, message: Schema.optionalKey(Schema.NullOr(Schema.String)) })
})
const Event = Schema.fromJsonString(Schema.Struct({ data: Schema.String }))
const label = "vequinox"
const statuses: Readonly<Record<string, JobState["status"]>> = {
  SCHEDULING: "waiting",
  RUNNING: "running",
  COMPLETED: "succeeded",
  ERROR: "failed",
  CANCELED: "stopped",
  STOPPED: "stopped",
  DELETING: "stopped",
  DELETED: "stopped"
}

export const huggingFaceJobs = ({ flavor, image, namespace, timeout, ...server }: HuggingFaceOptions): JobCluster => {
  const name = `Hugging Face Jobs at ${new URL(server.url).host}`
  const { json, shown, text } = asking({ ...server, name, tokenName: "HF_TOKEN" })
  const all = `/api/jobs/${encodeURIComponent(namespace)}`
  /** The Hub's names of those started here, which a list may not show at once. */
  const own = new Map<string, string>()
  /** The Hub keeps ended jobs. */
  const removed = new Set<string>()
  /** The newest that carries the id, unless it was removed here. */
  const newest = (id: string) =>
    own.has(id) ? orNone(json(Job, { path: `${all}/${own.get(id)!}` })) : Effect.map(json(Schema.Array(Job), { path: `${all}?label=${encodeURIComponent(`${label}=${id}`)}` }), (found) =>
      found.filter((job) => job.labels?.[label] === id && !removed.has(job.id)).toSorted((a, b) => (b.createdAt ?? "").localeCompare(a.createdAt ?? ""))[0])
  return {
    name,
    find: Effect.fn("huggingFaceJobs.find")(function*(id: string) {
      const job = yield* newest(id)
      if (job === undefined) return undefined
      const { message, stage } = job.status
      const status = statuses[stage]
      return { status: status ?? "waiting", message: shown(message ?? (status === undefined ? stage : "")) } satisfies JobState as JobState
    }),
    start: ({ command, id }) =>
      Effect.map(json(Job, {
        method: "POST",
        path: all,
        body: {
          dockerImage: image,
          command,
          arguments: [],
          environment: { PYTHONUNBUFFERED: "1" },
          secrets: { HF_TOKEN: Redacted.value(server.token) },
          flavor,
          timeoutSeconds: timeout,
          labels: { [label]: id, name: id }
        }
      }), (job) => void own.set(id, job.id)),
    remove: (id) =>
      Effect.map(newest(id), (job) => {
        own.delete(id)
        if (job !== undefined) removed.add(job.id)
      }),
    stop: Effect.fn("huggingFaceJobs.stop")(function*(id: string) {
      const job = yield* newest(id)
      if (job !== undefined) yield* orNone(text({ method: "POST", path: `${all}/${job.id}/cancel` }))
    }),
    log: Effect.fn("huggingFaceJobs.log")(function*(id: string) {
      const job = yield* newest(id)
      if (job === undefined) return []
      // Server-sent events: what there is comes at once; then the stream stays open, so it is read for a while only.
      const stream = yield* text({ path: `${all}/${job.id}/logs?tail=2000`, most: longestLog, until: 5 })
      return stream.split("\n").flatMap((line) => {
        if (!line.startsWith("data: ")) return []
        const event = Schema.decodeOption(Event)(line.slice(6))
        return event._tag === "Some" ? linesOf(event.value.data).map(shown) : []
      })
    }),
    byHand: (id) => `${server.url}/jobs/${namespace} (the job named ${id})`
  }
}
