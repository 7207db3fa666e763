/**
 * Loopback clusters that take jobs over real sockets with the replies that Ray, Kubernetes and the Hub document. A job is a
 * function that the test gives; what it does is real. Each server counts what was started.
 */
import * as http from "node:http"
import { listening } from "./loopback.ts"

/** What happens to the first matching request instead: a status; a broken connection; or it is done, and its answer is lost. */
export interface ClusterFault {
  readonly on: RegExp
  readonly does: number | "reset" | "lost" | "html"
}

export interface Started {
  readonly id: string
  readonly command: ReadonlyArray<string>
  /** As it was sent. */
  readonly body: any
}

export interface ClusterOptions {
  readonly run: (command: ReadonlyArray<string>, log: (line: string) => void, stopped: AbortSignal) => Promise<void>
  readonly token?: string
  readonly faults?: Array<ClusterFault>
}

interface Job extends Started {
  status: "running" | "succeeded" | "failed" | "stopped"
  message: string
  readonly log: Array<string>
  readonly stop: AbortController
}

/** The words of a shell's command, without expansions. */
export const wordsOf = (line: string): ReadonlyArray<string> =>
  [...line.matchAll(/(?:'[^']*'|\\.|[^\s'\\])+/g)].map(([word]) => word.replaceAll(/'([^']*)'|\\(.)/g, (_, quoted, plain) => quoted ?? plain))

type Reply = (status: number, value: unknown, headers?: Record<string, string>) => void

/** @param answer the API; `begin` starts a job */
export const startCluster = async (
  { faults = [], run, token }: ClusterOptions,
  answer: (at: URL, request: http.IncomingMessage, body: string, reply: Reply, jobs: Map<string, Job>, begin: (job: Started) => void) => void
) => {
  const jobs = new Map<string, Job>()
  const started: Array<Started> = []
  const seen: Array<string> = []
  const begin = (job: Started) => {
    started.push(job)
    const held: Job = { ...job, status: "running", message: "", log: [], stop: new AbortController() }
    jobs.set(job.id, held)
    run(job.command, (line) => held.log.push(line), held.stop.signal).then(
      () => (held.status = held.stop.signal.aborted ? "stopped" : "succeeded"),
      (cause) => {
        held.status = held.stop.signal.aborted ? "stopped" : "failed"
        held.message = String((cause as Error).message ?? cause)
      }
    )
  }
  const server = http.createServer((request, response) => {
    const pieces: Array<Buffer> = []
    request.on("data", (piece) => pieces.push(piece)).on("end", () => {
      const line = `${request.method} ${request.url}`
      seen.push(line)
      const at = faults.findIndex(({ on }) => on.test(line))
      const does = at < 0 ? undefined : faults.splice(at, 1)[0]!.does
      const reply: Reply = (status, value, headers = {}) =>
        does === "lost" ? void request.socket.destroy() : void response
          .writeHead(status, { "content-type": typeof value === "string" ? "text/plain" : "application/json", ...headers })
          .end(typeof value === "string" || Buffer.isBuffer(value) ? value : JSON.stringify(value))
      if (does === "reset") return void request.socket.destroy()
      if (does === "html") return void response.writeHead(200, { "content-type": "text/html" }).end("<html>Sign in to this network</html>")
      if (typeof does === "number") return void response.writeHead(does, { "retry-after": "0" }).end(JSON.stringify({ message: `as asked; you sent ${request.headers.authorization}` }))
      if (token !== undefined && request.headers.authorization !== `Bearer ${token}`) return reply(401, { message: `Unauthorized: ${request.headers.authorization}` })
      answer(new URL(request.url!, "http://cluster"), request, Buffer.concat(pieces).toString(), reply, jobs, begin)
    })
  })
  const { close, url } = await listening(server)
  return {
    url,
    seen,
    started,
    jobs,
    close: async () => {
      for (const { stop } of jobs.values()) stop.abort()
      await close()
    }
  }
}

const ray = { running: "RUNNING", succeeded: "SUCCEEDED", failed: "FAILED", stopped: "STOPPED" } as const

/** The job API as Ray 2.60.0 answered, an id that is taken (500) included. */
export const startRay = (options: ClusterOptions) => startCluster(options, (at, request, body, reply, jobs, begin) => {
  if (request.method !== "GET" && "sec-fetch-mode" in request.headers) return reply(405, "Method Not Allowed for browser traffic.")
  const [, id = "", more] = /^\/api\/jobs\/([^/]*)(?:\/(\w+))?$/.exec(at.pathname) ?? []
  if (request.method === "POST" && id === "") {
    const { entrypoint, submission_id: own } = JSON.parse(body)
    if (jobs.has(own)) return reply(500, `Traceback (most recent call last):\nValueError: Job with submission_id ${own} already exists. Please use a different submission_id.\n.\n`)
    begin({ id: own, command: wordsOf(entrypoint), body: JSON.parse(body) })
    return reply(200, { job_id: own, submission_id: own })
  }
  const job = jobs.get(id)
  if (job === undefined) return reply(404, `Job ${id} does not exist`)
  if (request.method === "DELETE") {
    if (job.status === "running") return reply(500, "RuntimeError: Attempted to delete job, but it is in a non-terminal state.")
    jobs.delete(id)
    return reply(200, { deleted: true })
  }
  if (more === "logs") return reply(200, { logs: job.log.map((line) => `${line}\n`).join("") })
  if (more === "stop") {
    job.stop.abort()
    return reply(200, { stopped: true })
  }
  reply(200, { type: "SUBMISSION", submission_id: id, status: ray[job.status], message: job.message, entrypoint: job.body.entrypoint })
})

/** What the pods of a job show, where they cannot begin. */
export interface KubernetesOptions extends ClusterOptions {
  readonly waiting?: (image: string | undefined) => { readonly reason: string; readonly message: string } | undefined
}

const jobsetLabel = "jobset.sigs.k8s.io/jobset-name="

/** The API server's part for TrainJobs of trainer.kubeflow.org/v1alpha1 and their pods. */
export const startKubernetes = ({ waiting = () => undefined, ...options }: KubernetesOptions) => startCluster(options, (at, request, body, reply, jobs, begin) => {
  const status = (code: number, reason: string, message: string) => reply(code, { kind: "Status", apiVersion: "v1", status: "Failure", message, reason, code })
  const [, id] = /^\/apis\/trainer\.kubeflow\.org\/v1alpha1\/namespaces\/default\/trainjobs(?:\/([^/]+))?$/.exec(at.pathname) ?? [undefined, null]
  const stuck = (job: Job) => waiting(job.body.spec.trainer.image)
  const shown = (job: Job) => ({
    ...job.body,
    metadata: { ...job.body.metadata, uid: "u", creationTimestamp: "2026-11-30T00:00:00Z" },
    status: {
      conditions: job.status === "running" ? [] : [job.status === "succeeded"
        ? { type: "Complete", status: "True", reason: "AllJobsCompleted", message: "jobset completed successfully" }
        : { type: "Failed", status: "True", reason: "FailedJobs", message: "jobset failed due to one or more job failures" }]
    }
  })
  if (id === undefined && request.method === "POST") {
    const sent = JSON.parse(body)
    const name = sent.metadata.name as string
    if (!/^[a-z]([-a-z0-9]*[a-z0-9])?$/.test(name) || name.length > 63) return status(422, "Invalid", `TrainJob "${name}" is invalid: metadata.name must match RFC 1035 DNS label format`)
    if (jobs.has(name)) return status(409, "AlreadyExists", `trainjobs.trainer.kubeflow.org "${name}" already exists`)
    const job = { id: name, command: [...sent.spec.trainer.command, ...sent.spec.trainer.args], body: sent }
    begin(waiting(sent.spec.trainer.image) === undefined ? job : { ...job, command: ["never"] })
    return reply(201, shown(jobs.get(name)!))
  }
  if (typeof id === "string") {
    const job = jobs.get(id)
    if (job === undefined) return status(404, "NotFound", `trainjobs.trainer.kubeflow.org "${id}" not found`)
    if (request.method === "DELETE") {
      job.stop.abort()
      jobs.delete(id)
      return reply(200, { kind: "Status", apiVersion: "v1", status: "Success" })
    }
    return reply(200, shown(job))
  }
  const pod = /^\/api\/v1\/namespaces\/default\/pods\/([^/]+)-node-0-0-abcde\/log$/.exec(at.pathname)
  if (pod) return reply(200, (jobs.get(pod[1]!)?.log ?? []).map((line) => `${line}\n`).join(""))
  const selected = at.searchParams.get("labelSelector") ?? ""
  if (at.pathname !== "/api/v1/namespaces/default/pods" || !selected.startsWith(jobsetLabel)) return status(404, "NotFound", "the server could not find the requested resource")
  const job = jobs.get(selected.slice(jobsetLabel.length))
  const state = job === undefined ? {} : stuck(job) !== undefined
    ? { waiting: stuck(job) }
    : job.status === "failed" ? { terminated: { reason: "OOMKilled", exitCode: 137 } } : { running: {} }
  reply(200, {
    kind: "PodList",
    items: job === undefined ? [] : [{
      metadata: { name: `${job.id}-node-0-0-abcde`, creationTimestamp: "2026-11-30T00:00:00Z" },
      status: { phase: stuck(job) !== undefined ? "Pending" : job.status === "running" ? "Running" : job.status === "succeeded" ? "Succeeded" : "Failed", containerStatuses: [{ name: "node", state }] }
    }]
  })
})

const stages = { running: "RUNNING", succeeded: "COMPLETED", failed: "ERROR", stopped: "CANCELED" } as const

/** The Hub's Jobs of the user `ada`. Its repositories are another server's (hub-push-server.ts), to which other requests go on. */
export const startHuggingFaceJobs = (options: ClusterOptions, forward: () => string) => startCluster(options, (at, request, body, reply, jobs, begin) => {
  const found = /^\/api\/jobs\/ada(?:\/(\w+)(?:\/(\w+))?)?$/.exec(at.pathname)
  if (!found) {
    const { host: _, ...headers } = request.headers
    void fetch(`${forward()}${request.url}`, { method: request.method!, headers: headers as Record<string, string>, ...(body === "" ? {} : { body }) }).then(async (response) =>
      reply(response.status, Buffer.from(await response.arrayBuffer())))
    return
  }
  const shown = (id: string, job: Job) => ({ type: "job", id, createdAt: `2026-11-30T00:00:${id.slice(-2)}Z`, labels: job.body.labels, secrets: Object.keys(job.body.secrets), status: { stage: stages[job.status], message: job.message || null }, owner: { id: "1", name: "ada", type: "user" } })
  const [, id, more] = found
  if (id === undefined) {
    if (request.method === "POST") {
      const sent = JSON.parse(body)
      const own = `6f00000000000000000000${10 + jobs.size}`
      begin({ id: own, command: sent.command, body: sent })
      return reply(200, shown(own, jobs.get(own)!))
    }
    const wanted = at.searchParams.getAll("label").map((label) => label.split("="))
    return reply(200, [...jobs].filter(([, job]) => wanted.every(([key, value]) => job.body.labels?.[key!] === value)).map(([own, job]) => shown(own, job)))
  }
  const job = jobs.get(id)
  if (job === undefined) return reply(404, { error: "Job not found" })
  if (more === "logs") return reply(200, job.log.map((line) => `data: ${JSON.stringify({ data: line, timestamp: "2026-11-30T00:00:00Z" })}\n\n`).join(""), { "content-type": "text/event-stream" })
  if (more === "cancel") job.stop.abort()
  reply(200, shown(id, job))
})
