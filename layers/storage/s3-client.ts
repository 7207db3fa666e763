/**
 * The AWS SDK's client, an optional package: loaded where a store is asked for, and nowhere else. Credentials come by its
 * usual chain (variables, profiles, SSO, the machine's role), stay inside it, and are handed to nobody.
 */
import { Readable } from "node:stream"
import { Effect } from "effect"
import { StorageFailed } from "../../src/stages/ObjectStore.ts"
import { packageJson } from "../../src/system/installed.ts"
import { serverUrl } from "../../src/system/server-address.ts"

type Sdk = typeof import("@aws-sdk/client-s3")

/** Milliseconds until a connection stands; without a byte on it; for one whole request, which is a part at most. */
const waits = { connectionTimeout: 10_000, socketTimeout: 30_000, requestTimeout: 600_000, throwOnRequestTimeout: true } as const

/** How often the SDK sends a request that fails in passing: 429, 5xx, a lost connection, a clock that it has corrected. */
const tries = 3

/** Most bytes of an answer that is no object: a page of a list has a thousand keys of a thousand bytes. */
const longestAnswer = 8e6

const load = Effect.tryPromise({
  try: (): Promise<Sdk> => import("@aws-sdk/client-s3"),
  catch: (cause) =>
    new StorageFailed({
      message: (cause as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND"
        ? `s3:// needs a package that is not installed: npm install @aws-sdk/client-s3@${packageJson.peerDependencies["@aws-sdk/client-s3"]}`
        : `The package @aws-sdk/client-s3 cannot be loaded: install it anew.`,
      passes: false
    })
})

const given = (...names: ReadonlyArray<string>): string | undefined => names.map((name) => process.env[name]).find((value) => value !== undefined && value !== "")

/** Cuts an answer off that is longer than any of its kind. */
const limited = async function*(body: AsyncIterable<Uint8Array>) {
  let read = 0
  for await (const piece of body) {
    read += piece.length
    if (read > longestAnswer) throw new Error(`the answer is longer than ${longestAnswer} bytes`)
    yield piece
  }
}

/** Closed with the scope. Fails with `StorageFailed` if the package is missing or an address in the environment is none. */
export const s3Client = Effect.gen(function*() {
  const sdk = yield* load
  const endpoint = given("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
  const url = endpoint === undefined ? undefined : serverUrl(endpoint)
  if (endpoint !== undefined && url === undefined) {
    return yield* new StorageFailed({ message: "AWS_ENDPOINT_URL_S3 is not an address of a server, such as https://s3.example.org.", passes: false })
  }
  const region = given("AWS_REGION", "AWS_DEFAULT_REGION") ?? (url === undefined ? undefined : "us-east-1")
  const client = yield* Effect.acquireRelease(
    Effect.sync(() => new sdk.S3Client({
      ...(region === undefined ? {} : { region }),
      // Buckets as subdomains need a DNS that few servers besides Amazon's have.
      ...(url === undefined ? {} : { endpoint: url.href, forcePathStyle: true }),
      followRegionRedirects: true,
      maxAttempts: tries,
      requestHandler: waits,
      // Checksums are sent and compared here, in headers that older servers ignore.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED"
    })),
    (client) => Effect.sync(() => client.destroy())
  )
  client.middlewareStack.add((next, context) => async (args) => {
    const out = await next(args)
    const response = out.response as { readonly statusCode: number; body: NodeJS.ReadableStream }
    if (context["commandName"] !== "GetObjectCommand" || response.statusCode >= 300) {
      response.body = Readable.from(limited(response.body as AsyncIterable<Uint8Array>))
    }
    return out
  }, { step: "deserialize", priority: "low", name: "limitAnswers" })
  return { sdk, client, host: url?.host ?? "Amazon S3" }
})
