/** What Postgres or the way to it refused: whether waiting helps, and how people are told. */
import { SqlError } from "effect/sql/SqlError"
import { codeOf } from "../../src/system/http-failure.ts"
import { oneLine } from "../../src/system/secrets.ts"

/** SQLSTATE, or the system's code (ECONNREFUSED); empty if there is neither. */
const reasonCode = ({ reason }: SqlError): string => codeOf(reason.cause)

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const passing: ReadonlySet<string> = new Set([
  "57P01", "57P02", "57P03", // the server ends, crashed, or starts
  "57P05", "25P03", "57014", // a session or a statement took too long
  "40001", "40P01", "55P03", // in the way of another transaction
  "53300", // too many connections
  "53200" // out of memory
])

/** Whether the same may work later: the connection was lost, the server starts again, or another transaction was in the way. */
export const passes = (error: SqlError): boolean => {
  const code = reasonCode(error)
  return passing.has(code) || code.startsWith("08") || (error.reason._tag === "ConnectionError" && !lasting.has(code))
}

/** Failures of a connection that no waiting mends. */
const lasting: ReadonlySet<string> = new Set(["ENOTFOUND", "ERR_TLS_CERT_ALTNAME_INVALID", "DEPTH_ZERO_SELF_SIGNED_CERT", "SELF_SIGNED_CERT_IN_CHAIN", "UNABLE_TO_VERIFY_LEAF_SIGNATURE", "CERT_HAS_EXPIRED"])

const advice: Readonly<Record<string, string>> = {
  "28P01": "refuses the user or the password: check DATABASE_URL.",
  "28000": "refuses the user: check DATABASE_URL, and who may connect (pg_hba.conf).",
  "3D000": "does not exist: create the database, or check its name in DATABASE_URL.",
  "42501": "does not let this user make or change tables: grant it that, or name another in DATABASE_URL.",
  "25006": "is read-only: name the primary server in DATABASE_URL.",
  "53100": "cannot grow: the disk is full.",
  ENOTFOUND: "has no such host: check DATABASE_URL."
}

/** One sentence. @param place host, port and name, without a user or a password */
export const sentence = (place: string, error: SqlError): string => {
  const code = reasonCode(error)
  const said = oneLine(error.reason.cause instanceof Error ? error.reason.cause.message : error.message)
  const known = advice[code]
  if (known !== undefined) return `The database ${place} ${known}`
  return passes(error)
    ? `The database ${place} does not answer (${said || code}): start it, or check DATABASE_URL.`
    : `The database ${place} could not be used (${said || code}).`
}
