/**
 * Ray Jobs, by the REST API of its dashboard (`POST /api/jobs/` and what follows it; Ray's "Ray Jobs REST API"). The submission id
 * is ours, and Ray takes each once. `entrypoint` is read by a shell on the cluster, so every argument is quoted.
 */
import { Effect, Schema } from "effect"
import type { JobCluster, JobState } from "./cluster.ts"
import { asking, linesOf, longestLog, orNone, type Server } from "./http.ts"

export interface RayOptions extends Omit<Server, "name" | "tokenName"> {
  /** GPUs that the job's entry point gets; 0 asks for none. */
  readonly gpus: number
}

const Details = Schema.Struct({
  status: Schema.Literals(["PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"]),
  message: Schema.optionalKey(Schema.NullOr(Schema.String))
})
const statuses = { PENDING: "waiting", RUNNING: "running", STOPPED: "stopped", SUCCEEDED: "succeeded", FAILED: "failed" } as const
const Log = Schema.Struct({ logs: Schema.NullOr(Schema.String) })

/** A word as POSIX shells read it. */
export const quoted = (word: string): string => /^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`

export const rayJobs = ({ gpus, ...server }: RayOptions): JobCluster => {
  const name = `Ray at ${server.url}`
  const { json, shown, text } = asking({ ...server, name, tokenName: "RAY_AUTH_TOKEN" })
  const at = (id: string, more = "") => `/api/jobs/${encodeURIComponent(id)}${more}`
  return {
    name,
    find: (id) =>
      Effect.map(orNone(json(Details, { path: at(id) })), (found): JobState | undefined =>
        found && { status: statuses[found.status], message: shown(found.message ?? "") }),
    start: ({ command, id }) =>
      Effect.asVoid(text({
        method: "POST",
        path: "/api/jobs/",
        body: {
          submission_id: id,
          entrypoint: command.map(quoted).join(" "),
          runtime_env: { env_vars: { PYTHONUNBUFFERED: "1" } },
          metadata: { made_by: "vequinox" },
          ...(gpus > 0 ? { entrypoint_num_gpus: gpus } : {})
        }
      })),
    remove: (id) => Effect.asVoid(orNone(text({ method: "DELETE", path: at(id) }))),
    stop: (id) => Effect.asVoid(orNone(text({ method: "POST", path: at(id, "/stop") }))),
    log: (id) => Effect.map(json(Log, { path: at(id, "/logs"), most: longestLog }), ({ logs }) => linesOf(logs ?? "").map(shown)),
    byHand: (id) => `ray job stop --address ${server.url} ${id}`
  }
}
