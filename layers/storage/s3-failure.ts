/**
 * What a failed call of the AWS SDK means for people. What a server says about itself is not repeated, except for the
 * code of its error: an answer may echo what it was sent.
 */
import { Data } from "effect"
import { StorageFailed } from "../../src/stages/ObjectStore.ts"
import { codeOf } from "../../src/system/http-failure.ts"

/** What the SDK threw. */
export class SdkFailed extends Data.TaggedError("SdkFailed")<{ readonly cause: unknown }> {}

export interface Asked {
  readonly bucket: string
  /** Of the server, for people. */
  readonly host: string
  /** What was to be done, as in "may not `read` s3://bucket/key". */
  readonly verb: "list" | "read" | "remove" | "write"
  /** `s3://bucket/key` */
  readonly object: string
}

/** Another process changed an object that was thought to be known. */
const overtaken = ["PreconditionFailed", "ConditionalRequestConflict"]
const mismatches = ["BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"]
const unaccepted = ["ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "InvalidSecurity", "SignatureDoesNotMatch", "TokenRefreshRequired", "InvalidClientTokenId"]
const otherRegion = ["PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"]

const permissions: Readonly<Record<Asked["verb"], string>> = {
  list: "s3:ListBucket and s3:ListBucketMultipartUploads",
  read: "s3:GetObject",
  remove: "s3:DeleteObject and s3:AbortMultipartUpload",
  write: "s3:PutObject and s3:ListMultipartUploadParts"
}

/** The name of the SDK's error or of the server's; empty if it is no plain word. */
const nameOf = (cause: unknown): string => {
  const { Code, name } = cause as { readonly Code?: unknown; readonly name?: unknown }
  return [Code, name].find((text): text is string => typeof text === "string" && /^[A-Z][A-Za-z]{2,39}$/.test(text)) ?? ""
}
const statusOf = (cause: unknown): number =>
  Number((cause as { readonly $metadata?: { readonly httpStatusCode?: unknown } }).$metadata?.httpStatusCode ?? 0)

/** Whether the server does not know the request's conditions; then it is sent without them. */
export const isUnknown = ({ cause }: SdkFailed): boolean => nameOf(cause) === "NotImplemented" || statusOf(cause) === 501

export const isOvertaken = ({ cause }: SdkFailed): boolean => overtaken.includes(nameOf(cause))

export const isMissing = ({ cause }: SdkFailed): boolean => ["NoSuchKey", "NotFound", "NoSuchUpload"].includes(nameOf(cause)) && statusOf(cause) === 404

/** What came back is not what was sent. */
export const mismatch = (object: string, host: string) =>
  new StorageFailed({ message: `${object} did not arrive at ${host} as it was sent (its checksum differs): check the network and the proxies between.`, passes: true })

/** An answer that no S3 server gives. */
export const notS3 = ({ host }: Asked, said = ""): StorageFailed =>
  new StorageFailed({ message: `${host} does not answer as S3 does${said}: check AWS_ENDPOINT_URL_S3.`, passes: false })

export const failureOf = (failed: SdkFailed, asked: Asked): StorageFailed => {
  const { cause } = failed
  const { bucket, host, object, verb } = asked
  if (cause instanceof StorageFailed) return cause
  const [name, status, code] = [nameOf(cause), statusOf(cause), codeOf(cause)]
  const fail = (message: string, passes: boolean) => new StorageFailed({ message, passes })
  if (name === "NoSuchBucket") return fail(`${host} has no bucket ${bucket}: make it, or check the address and AWS_ENDPOINT_URL_S3.`, false)
  if (overtaken.includes(name)) return fail(`Another process wrote ${object} meanwhile: only one may work on a run, so end one of the two.`, false)
  if (mismatches.includes(name)) return mismatch(object, host)
  if (name === "RequestTimeTooSkewed") return fail(`This machine's clock differs too much from that of ${host}: set it, for example by NTP.`, false)
  if (name === "CredentialsProviderError" || /^(Could not load credentials|Resolved credential object is not valid)/.test(messageOf(cause))) {
    return fail(`There are no credentials for s3://${bucket}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.`, true)
  }
  if (unaccepted.includes(name) || status === 401) {
    return fail(`${host} does not accept the credentials${name === "" ? "" : ` (${name})`}: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or AWS_PROFILE.`, true)
  }
  if (otherRegion.includes(name) || status === 301) return fail(`The bucket ${bucket} is in another region: set AWS_REGION to it.`, false)
  if (messageOf(cause).startsWith("Region is missing")) return fail(`The region of the bucket ${bucket} is not known: set AWS_REGION.`, false)
  if (status === 403) return fail(`These credentials may not ${verb} ${object} (${host} answered 403): they need ${permissions[verb]}.`, true)
  if (isMissing(failed)) return fail(`${object} is not there: ${host} does not have it.`, true)
  if (status === 429 || status >= 500) return fail(`${host} is busy or broken at the moment (${[status, name].filter((word) => word !== "").join(" ")}): try again later.`, true)
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return fail(`${host} cannot be found (${code}): check AWS_ENDPOINT_URL_S3 and the network.`, true)
  if (name === "TimeoutError" || name === "AbortError" || code !== "" || status === 0) {
    return fail(`${host} cannot be reached (${code === "" ? name === "" ? "the connection was lost" : name : code}): check AWS_ENDPOINT_URL_S3 and the network.`, true)
  }
  return notS3(asked, ` (${[status, name].filter((word) => word !== "").join(" ")})`)
}

const messageOf = (cause: unknown): string => String((cause as { readonly message?: unknown }).message ?? "")
