/** The store over sockets: what a server, a network or a person may do wrong, and what is said of it. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Layer } from "effect"
import { parseAddress } from "../../../layers/storage/address.ts"
import { openSentFile } from "../../../layers/storage/sent-file.ts"
import { ObjectStore, StorageFailed } from "../../../src/stages/ObjectStore.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"
import { during } from "../../support/loopback.ts"
import { type S3Fault, type S3Request, s3Server } from "../../support/s3-server.ts"
import { secret, sha256Of, storeAt } from "../../support/storage.ts"
import { refusingAddress } from "../../support/tracker-servers.ts"

const work = scratchFolder("s3")
const large = path.join(work, "large")
fs.writeFileSync(large, Buffer.from(Uint8Array.from({ length: 17 * 2 ** 20 }, (_, n) => (n * 31 + (n >> 12)) & 255)))
const small = path.join(work, "small")
fs.writeFileSync(small, "small")

const run = <A, E>(work: Effect.Effect<A, E, ObjectStore>, store: Layer.Layer<ObjectStore, StorageFailed>) =>
  Effect.runPromise(work.pipe(Effect.provide(store), Effect.scoped, Effect.result))
const upload = (file: string, key = "file") =>
  Effect.gen(function*() {
    const store = yield* ObjectStore
    const sent = yield* openSentFile(file, store.partSizeOf, new Map())
    yield* store.upload(key, sent, { run: "r", sha256: sent.sha256 })
    return yield* store.label(key)
  }).pipe(Effect.scoped)
const succeeds = async <A, E>(work: Effect.Effect<A, E, ObjectStore>, store: Layer.Layer<ObjectStore, StorageFailed>): Promise<A> => {
  const result = await run(work, store)
  if (result._tag === "Failure") throw result.failure
  return result.success
}
const refused = async (work: Effect.Effect<unknown, unknown, ObjectStore>, store: Layer.Layer<ObjectStore, StorageFailed>): Promise<StorageFailed> => {
  const result = await run(work, store)
  assert.strictEqual(result._tag, "Failure")
  const failed = result._tag === "Failure" ? result.failure : undefined
  assert.instanceOf(failed, StorageFailed)
  assert.notInclude(failed.message, secret)
  assert.notInclude(failed.message, "AKIAEXAMPLE")
  assert.strictEqual(failed.message.split("\n").length, 1)
  return failed
}
/** The same fault on the first so many requests of a kind. */
const failing = (times: number, fault: S3Fault, isMeant: (request: S3Request) => boolean = () => true) => {
  let left = times
  return (request: S3Request) => isMeant(request) && left-- > 0 ? fault : undefined
}
const isPart = ({ query }: S3Request, number: number) => query.get("partNumber") === String(number)

describe("an upload", () => {
  it("in parts arrives as it was, with its label, and leaves no parts", () =>
    during(s3Server("runs"), async (server) => {
      const label = await succeeds(upload(large), storeAt(server.url, "a"))
      assert.deepStrictEqual(label, { run: "r", sha256: sha256Of(large) })
      assert.isTrue(server.objects.get("a/file")!.bytes.equals(fs.readFileSync(large)))
      assert.strictEqual(server.uploads.size, 0)
      assert.isAtMost(server.largest(), 8 * 2 ** 20)
    }))

  for (const [what, fault, isMeant] of [
    ["a part whose connection breaks", "reset", (request: S3Request) => isPart(request, 2)],
    ["a server that asks for fewer requests", "SlowDown", (request: S3Request) => isPart(request, 1)],
    ["a server that breaks down", "InternalError", ({ method }: S3Request) => method === "POST"]
  ] as const) {
    it(`gets over ${what}`, () =>
      during(s3Server("runs", failing(2, fault, isMeant)), async (server) => {
        assert.strictEqual((await succeeds(upload(large), storeAt(server.url, "a")))!.sha256, sha256Of(large))
        assert.isTrue(server.objects.get("a/file")!.bytes.equals(fs.readFileSync(large)))
      }))
  }

  it("that broke off goes on with the parts that arrived", () =>
    during(s3Server("runs", ({ method, query }) => method === "POST" && query.has("uploadId") ? "AccessDenied" : undefined), async (first) => {
      await refused(upload(large), storeAt(first.url, "a"))
      await during(s3Server("runs"), async (server) => {
        for (const [id, upload] of first.uploads) server.uploads.set(id, upload)
        const { parts } = [...first.uploads.values()][0]!
        assert.sameMembers([...parts.keys()], [1, 2, 3])
        parts.delete(3)
        await succeeds(upload(large), storeAt(server.url, "a"))
        assert.deepStrictEqual(server.since().filter((asked) => asked.startsWith("PUT")), ["PUT a/file#3"])
        assert.isTrue(server.objects.get("a/file")!.bytes.equals(fs.readFileSync(large)))
      })
    }))

  it("begins anew where the parts that arrived are of another file", () =>
    during(s3Server("runs"), async (server) => {
      server.uploads.set("old", { key: "a/file", metadata: {}, parts: new Map([[1, { bytes: Buffer.alloc(8 * 2 ** 20), sha256: undefined }]]) })
      await succeeds(upload(large), storeAt(server.url, "a"))
      assert.isTrue(server.objects.get("a/file")!.bytes.equals(fs.readFileSync(large)))
      assert.strictEqual(server.uploads.size, 0)
    }))

  for (const fault of ["etag", "checksum", "flipped"] as const) {
    it(`that comes back with an answer of other bytes (${fault}) has not arrived`, () =>
      during(s3Server("runs", ({ method }) => method === "PUT" ? fault : undefined), async (server) => {
        for (const file of [small, large]) {
          const { message, passes } = await refused(upload(file), storeAt(server.url, "a"))
          assert.match(message, /s3:\/\/runs\/a\/file did not arrive .* checksum differs.*check the network/)
          assert.isTrue(passes)
        }
      }))
  }

  it("of a file that is changed meanwhile is no upload of it", () =>
    during(s3Server("runs"), async (server) => {
      const file = path.join(work, "changing")
      fs.writeFileSync(file, "before")
      const { message } = await refused(
        Effect.gen(function*() {
          const store = yield* ObjectStore
          const sent = yield* openSentFile(file, store.partSizeOf, new Map())
          fs.writeFileSync(file, "after!")
          yield* store.upload("file", sent, { run: "r", sha256: sent.sha256 })
        }).pipe(Effect.scoped),
        storeAt(server.url, "a")
      )
      assert.match(message, /was changed while it was sent/)
      assert.strictEqual(server.objects.size, 0)
    }))
})

describe("what a person is told", () => {
  const list = Effect.flatMap(ObjectStore, ({ list }) => list(1))
  const answers: ReadonlyArray<readonly [S3Fault, RegExp, boolean]> = [
    ["NoSuchBucket", /has no bucket runs: make it, or check the address and AWS_ENDPOINT_URL_S3\.$/, false],
    ["AccessDenied", /may not list s3:\/\/runs\/a.*they need s3:ListBucket/, true],
    ["InvalidAccessKeyId", /does not accept the credentials \(InvalidAccessKeyId\): check AWS_ACCESS_KEY_ID/, true],
    ["RequestTimeTooSkewed", /clock differs too much from that of 127\.0\.0\.1:\d+: set it/, false],
    ["SlowDown", /is busy or broken at the moment \(503 SlowDown\): try again later/, true],
    ["html", /does not answer as S3 does.*check AWS_ENDPOINT_URL_S3/, false],
    ["endless", /127\.0\.0\.1:\d+ .*check AWS_ENDPOINT_URL_S3/, true]
  ]
  for (const [fault, expected, passes] of answers) {
    it(fault, () =>
      during(s3Server("runs", () => fault), async ({ url }) => {
        const failed = await refused(list, storeAt(url, "a"))
        assert.match(failed.message, expected)
        assert.strictEqual(failed.passes, passes)
      }))
  }
  it("nobody listens", async () => {
    assert.match((await refused(list, storeAt(await refusingAddress(), "a"))).message, /cannot be reached \(ECONNREFUSED\): check AWS_ENDPOINT_URL_S3 and the network/)
  })
  it("there are no credentials", () =>
    during(s3Server("runs"), async ({ url }) => {
      const store = storeAt(url, "a")
      delete process.env["AWS_ACCESS_KEY_ID"]
      assert.match((await refused(list, store)).message, /There are no credentials for s3:\/\/runs: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE/)
    }))
  it("the endpoint is no address", async () => {
    const store = storeAt("minio", "a")
    assert.match((await refused(list, store)).message, /AWS_ENDPOINT_URL_S3 is not an address of a server/)
  })
  for (const address of ["s3://", "s3://b", "s3://BUCKET_/x", "s3://runs/../x", "s3://runs/a?b", "s3://key:secret@runs/a", "/folder"]) {
    it(`${address} is no address`, async () => {
      assert.match((await Effect.runPromise(Effect.flip(parseAddress(address, "--storage-path")))).message, /^--storage-path is not an address of the form s3:\/\/bucket\/prefix/)
    })
  }
})

describe("a small object", () => {
  const write = (text: string, replaces: string | undefined) => Effect.flatMap(ObjectStore, (store) => store.write("manifest.json", Buffer.from(text), replaces))

  it("is written over the version that is known, and over no other", () =>
    during(s3Server("runs"), async (server) => {
      const store = storeAt(server.url, "a")
      const first = await succeeds(write("1", undefined), store)
      assert.match((await refused(write("x", undefined), store)).message, /Another process wrote s3:\/\/runs\/a\/manifest\.json meanwhile/)
      await succeeds(write("2", first), store)
      assert.isFalse((await refused(write("x", first), store)).passes)
      assert.strictEqual(server.objects.get("a/manifest.json")!.bytes.toString(), "2")
    }))

  it("that arrived though its answer was lost is known as our own", () =>
    during(s3Server("runs"), async (server) => {
      const store = storeAt(server.url, "a")
      const first = await succeeds(write("1", undefined), store)
      await succeeds(write("2", first), store)
      await succeeds(write("2", first), store)
    }))

  it("is written to servers that know no conditions", () =>
    during(s3Server("runs", failing(1, "NotImplemented")), async (server) => {
      await succeeds(write("1", undefined), storeAt(server.url, "a"))
      assert.strictEqual(server.objects.size, 1)
    }))
})
