/** Reads what a failed HTTP call says about itself. */

/**
 * Seconds to wait; `retry-after` may also be a date. A wait that makes no sense counts as none, one over an hour as an
 * hour.
 */
export const retryAfter = (headers: Headers | undefined): number => {
  const ms = headers?.get("retry-after-ms")
  const value = headers?.get("retry-after")
  const seconds = ms != null
    ? Number(ms) / 1000
    : value == null
    ? 0
    : /^[-\d.]+$/.test(value)
    ? Number(value)
    : (Date.parse(value) - Date.now()) / 1000
  return Number.isFinite(seconds) ? Math.min(3600, Math.max(0, seconds)) : 0
}

/** The root cause of a rejected fetch; its text may be empty. */
export const rootOf = (cause: unknown): string => {
  const error = cause as { readonly message?: string; readonly cause?: unknown }
  return error.cause instanceof Error ? rootOf(error.cause) : String(error.message ?? cause)
}

/** The system's code, such as ECONNREFUSED; empty if there is none. */
export const codeOf = (cause: unknown): string => {
  const error = cause as { readonly code?: unknown; readonly cause?: unknown }
  return typeof error.code === "string" ? error.code : error.cause === undefined ? "" : codeOf(error.cause)
}

const unsent: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "ENETUNREACH", "EHOSTUNREACH"])

/** There was no connection, so the server never saw the request. */
export const wasUnsent = (cause: unknown): boolean => unsent.has(codeOf(cause))

const textIn = (value: unknown, name: string): unknown => (typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined)

/**
 * Why a server refused, from the body of its answer: in the form of OpenAI, FastAPI, Ollama, SGLang, the Hub, Kubernetes or Ray.
 * Undefined if it has none of these.
 */
export const reasonIn = (body: string): string | undefined => {
  let json: unknown
  try {
    json = JSON.parse(body)
  } catch {
    return undefined
  }
  const of = (name: string) => textIn(json, name)
  return [textIn(of("error"), "message"), of("message"), of("error"), of("error_message"), of("detail"), of("msg")]
    .find((text): text is string => typeof text === "string" && text !== "")
}
