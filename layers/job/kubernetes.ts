/**
 * Kubernetes, by its API server: a TrainJob of Kubeflow Trainer v2 (trainer.kubeflow.org/v1alpha1), whose name is ours, so the API
 * server takes it once. Image, volumes and secrets are those of the runtime that it refers to. A runtime begins the command on
 * every node; one node is asked for.
 *
 * A TrainJob says little of its pods: an image that cannot be pulled shows in them alone, and for ever.
 */
import { Effect, Schema } from "effect"
import { type JobCluster, JobRefused, type JobState } from "./cluster.ts"
import { asking, linesOf, longestLog, orNone, type Server } from "./http.ts"

export interface KubernetesOptions extends Omit<Server, "name" | "tokenName"> {
  readonly namespace: string
  /** Name of a ClusterTrainingRuntime, or, with `namespaced`, of a TrainingRuntime. */
  readonly runtime: string
  /** Replaces the runtime's image; empty leaves it. */
  readonly image: string
  /** GPUs of the node; 0 leaves the runtime's resources. */
  readonly gpus: number
}

const Text = Schema.optionalKey(Schema.NullOr(Schema.String))
const TrainJob = Schema.Struct({
  metadata: Schema.Struct({ deletionTimestamp: Text }),
  spec: Schema.optionalKey(Schema.Struct({ suspend: Schema.optionalKey(Schema.NullOr(Schema.Boolean)) })),
  status: Schema.optionalKey(Schema.NullOr(Schema.Struct({
    conditions: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.Struct({ type: Schema.String, status: Schema.String, reason: Text, message: Text }))))
  })))
})
const Waiting = Schema.Struct({ reason: Text, message: Text })
const Container = Schema.Struct({
  name: Schema.String,
  state: Schema.optionalKey(Schema.NullOr(Schema.Struct({
    waiting: Schema.optionalKey(Schema.NullOr(Waiting)),
    terminated: Schema.optionalKey(Schema.NullOr(Schema.Struct({ reason: Text, message: Text, exitCode: Schema.optionalKey(Schema.Int) })))
  })))
})
const Containers = Schema.optionalKey(Schema.NullOr(Schema.Array(Container)))
const Pods = Schema.Struct({
  items: Schema.Array(Schema.Struct({
    metadata: Schema.Struct({ name: Schema.String, creationTimestamp: Text }),
    status: Schema.optionalKey(Schema.NullOr(Schema.Struct({ phase: Text, containerStatuses: Containers, initContainerStatuses: Containers })))
  }))
})
type Pod = (typeof Pods.Type)["items"][number]

/** Reasons for which a container waits that no waiting mends. `ErrImagePull` is not one: the first pull may fail by chance. */
const hopeless: ReadonlySet<string> = new Set(["ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "CrashLoopBackOff"])

const statesOf = ({ status }: Pod) => [...status?.initContainerStatuses ?? [], ...status?.containerStatuses ?? []].map(({ state }) => state)

export const kubernetesJobs = ({ gpus, image, namespace, runtime, ...server }: KubernetesOptions): JobCluster => {
  const name = `Kubernetes at ${server.url}`
  const { json, shown, text } = asking({ ...server, name, tokenName: "KUBERNETES_TOKEN" })
  const jobs = `/apis/trainer.kubeflow.org/v1alpha1/namespaces/${encodeURIComponent(namespace)}/trainjobs`
  const pods = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`
  const at = (id: string) => `${jobs}/${encodeURIComponent(id)}`
  /** Newest first. */
  const podsOf = (id: string) =>
    Effect.map(json(Pods, { path: `${pods}?labelSelector=${encodeURIComponent(`jobset.sigs.k8s.io/jobset-name=${id}`)}` }), ({ items }) =>
      items.toSorted((a, b) => (b.metadata.creationTimestamp ?? "").localeCompare(a.metadata.creationTimestamp ?? "")))
  /** Why a pod cannot go on, or why it ended. */
  const reasonIn = (found: ReadonlyArray<Pod>, of: "waiting" | "terminated"): string | undefined => {
    for (const pod of found) {
      for (const state of statesOf(pod)) {
        const why = state?.[of]
        if (why == null || (of === "waiting" ? !hopeless.has(why.reason ?? "") : (why.reason ?? "Completed") === "Completed")) continue
        return shown(`pod ${pod.metadata.name}: ${why.reason ?? ""} ${why.message ?? ("exitCode" in why && why.exitCode !== undefined ? `(exit code ${why.exitCode})` : "")}`)
      }
    }
    return undefined
  }
  return {
    name,
    find: Effect.fn("kubernetesJobs.find")(function*(id: string) {
      const found = yield* orNone(json(TrainJob, { path: at(id) }))
      if (found === undefined) return undefined
      if (found.metadata.deletionTimestamp != null) return { status: "leaving", message: "" } satisfies JobState as JobState
      const holds = (type: string) => (found.status?.conditions ?? []).find((condition) => condition.type === type && condition.status === "True")
      if (holds("Complete") !== undefined) return { status: "succeeded", message: "" } satisfies JobState as JobState
      const its = yield* podsOf(id)
      const failed = holds("Failed")
      if (failed !== undefined) {
        const message = [shown(failed.message ?? failed.reason ?? ""), reasonIn(its, "terminated")].filter((words) => words !== undefined && words !== "").join("; ")
        return { status: "failed", message } satisfies JobState as JobState
      }
      const stuck = reasonIn(its, "waiting")
      if (stuck !== undefined) return { status: "failed", message: stuck } satisfies JobState as JobState
      if (found.spec?.suspend === true) return { status: "waiting", message: "it is suspended: a queue, such as Kueue's, has not let it begin" } satisfies JobState as JobState
      return { status: its.some(({ status }) => status?.phase === "Running") ? "running" : "waiting", message: "" } satisfies JobState as JobState
    }),
    start: ({ command, id }) =>
      Effect.asVoid(text({
        method: "POST",
        path: jobs,
        body: {
          apiVersion: "trainer.kubeflow.org/v1alpha1",
          kind: "TrainJob",
          metadata: { name: id, labels: { "app.kubernetes.io/managed-by": "vequinox" } },
          spec: {
            runtimeRef: { name: runtime },
            trainer: {
              command: command.slice(0, 1),
              args: command.slice(1),
              numNodes: 1,
              env: [{ name: "PYTHONUNBUFFERED", value: "1" }],
              ...(image === "" ? {} : { image }),
              ...(gpus > 0 ? { resourcesPerNode: { limits: { "nvidia.com/gpu": String(gpus) }, requests: { "nvidia.com/gpu": String(gpus) } } } : {})
            }
          }
        }
      })).pipe(Effect.catchTag("JobRefused", (refused) =>
        refused.status !== 404 ? Effect.fail(refused) : Effect.fail(new JobRefused({
          message: `${name} has no TrainJobs in the namespace ${namespace}: install Kubeflow Trainer v2, or check --job-namespace.`,
          status: 404
        })))),
    remove: (id) => Effect.asVoid(orNone(text({ method: "DELETE", path: `${at(id)}?propagationPolicy=Foreground` }))),
    stop: (id) => Effect.asVoid(orNone(text({ method: "DELETE", path: `${at(id)}?propagationPolicy=Foreground` }))),
    log: Effect.fn("kubernetesJobs.log")(function*(id: string) {
      const [pod] = yield* podsOf(id)
      if (pod === undefined) return []
      // Before its container has begun, a pod has no log: 400.
      const log = yield* text({ path: `${pods}/${encodeURIComponent(pod.metadata.name)}/log?limitBytes=${longestLog}`, most: longestLog + 1024 }).pipe(
        Effect.catchTag("JobRefused", (refused) => refused.status === 400 || refused.status === 404 ? Effect.succeed("") : Effect.fail(refused)))
      return linesOf(log).map(shown)
    }),
    byHand: (id) => `kubectl delete trainjob --namespace ${namespace} ${id}`
  }
}
