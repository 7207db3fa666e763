/** How a rollout stands, in the numbers that Eval Protocol's clients act on: gRPC's (google.rpc.Code) and two of their own. */
import type { Kind } from "../refusals.ts"

export const codes = {
  /** Never tried again by a client. */
  invalidArgument: 3,
  /** Tried again, like all that follow but `internal`. */
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
  finished: 100,
  running: 101
} as const

const byKind: Readonly<Record<Kind, number>> = {
  invalid: codes.invalidArgument,
  unauthenticated: codes.unauthenticated,
  forbidden: codes.permissionDenied,
  missing: codes.notFound,
  tooLarge: codes.invalidArgument,
  tooMany: codes.resourceExhausted,
  // The engine failed and lost what was under way; what is asked later may succeed.
  failed: codes.unavailable
}

export const codeOf = (kind: Kind): number => byKind[kind]
