/** Servers that trackers tell numbers to: Trackio's and an OpenTelemetry collector's, and ones that misbehave. */
import * as http from "node:http"
import * as net from "node:net"
import { listening } from "./loopback.ts"

export interface TrackioLog {
  readonly project: string
  readonly run: string
  readonly run_id: string
  readonly step: number
  readonly log_id: string
  readonly metrics: Readonly<Record<string, number>>
  readonly config?: Readonly<Record<string, unknown>>
}

const bodyOf = async (request: http.IncomingMessage): Promise<Buffer> => {
  const parts: Array<Buffer> = []
  for await (const part of request) parts.push(part as Buffer)
  return Buffer.concat(parts)
}

/** Refuses whoever does not know the token, and keeps each log_id once, as Trackio 0.43 does. */
export const trackioServer = async (token: string | undefined, { failing = 0 } = {}) => {
  const logs = new Map<string, TrackioLog>()
  let left = failing
  let requests = 0
  const server = http.createServer(async (request, response) => {
    requests++
    const body = await bodyOf(request)
    if (request.headers["x-trackio-write-token"] !== token) return void response.writeHead(400).end(JSON.stringify({ error: `not the token: ${request.headers["x-trackio-write-token"]}` }))
    if (request.url !== "/api/bulk_log" || request.method !== "POST") return void response.writeHead(404).end()
    if (left-- > 0) return void response.writeHead(503).end()
    const { logs: sent } = JSON.parse(body.toString()) as { readonly logs: ReadonlyArray<TrackioLog> }
    for (const log of sent) if (!logs.has(log.log_id)) logs.set(log.log_id, log)
    response.writeHead(200, { "content-type": "application/json" }).end("{\"data\":null}")
  })
  return { ...await listening(server), logs, requests: () => requests }
}

interface Attribute {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}

/** Keeps what is posted as JSON. */
export const collector = async () => {
  const spans: Array<{ readonly name: string; readonly traceId: string; readonly spanId: string; readonly parentSpanId?: string }> = []
  const gauges = new Map<string, number>()
  const headers: Array<http.IncomingHttpHeaders> = []
  let resource: ReadonlyArray<Attribute> = []
  const server = http.createServer(async (request, response) => {
    headers.push(request.headers)
    const told = JSON.parse((await bodyOf(request)).toString())
    for (const { resource: its, scopeSpans } of told.resourceSpans ?? []) {
      resource = its.attributes
      for (const { spans: own } of scopeSpans) spans.push(...own)
    }
    for (const { scopeMetrics } of told.resourceMetrics ?? []) {
      for (const { metrics } of scopeMetrics) {
        for (const { gauge, name } of metrics) for (const { asDouble } of gauge?.dataPoints ?? []) gauges.set(name, asDouble)
      }
    }
    response.writeHead(200, { "content-type": "application/json" }).end("{}")
  })
  return { ...await listening(server), spans, gauges, headers, resource: () => resource }
}

/** Takes connections and answers nothing. */
export const hangingServer = () => listening(http.createServer(() => {}))

/** Breaks each connection off in the middle of an answer. */
export const dyingServer = () =>
  listening(http.createServer((request, response) => {
    response.writeHead(200, { "content-length": 100 })
    response.write("{")
    setTimeout(() => request.socket.destroy(), 5)
  }))

/** An address that nobody listens at. */
export const refusingAddress = async (): Promise<string> => {
  const server = net.createServer()
  const url = await new Promise<string>((resolve) => server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(server.address() as net.AddressInfo).port}`)))
  await new Promise((resolve) => server.close(resolve))
  return url
}
