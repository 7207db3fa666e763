/** Models of the Hub, fetched in-process from a server on a real socket: what goes wrong on the way, and what is left then. */
import nodeFs, * as fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import * as path from "node:path"
import { it as effectIt } from "@effect/vitest"
import { Clock, ConfigProvider, Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { assert, describe, it } from "vitest"
import { openDecoder, weightsHash } from "../../src/model/model-folder.ts"
import { openJudge } from "../../src/wiring/open-judge.ts"
import { resolveConfig } from "../../src/wiring/settings.ts"
import { HubBusy } from "../../src/model/hub/errors.ts"
import { parseModelId } from "../../src/model/hub/model-id.ts"
import { policyKind } from "../../src/model/hub/model-kind.ts"
import { resolveModel } from "../../src/model/hub/resolve-model.ts"
import { withHubRetry } from "../../src/model/hub/retry.ts"
import { byteSize } from "../../src/system/progress.ts"
import { blobOf, commitA, commitB, filesOf, type HubServer, type HubServerOptions, sharded, startHubServer } from "../support/hub-server.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("hub")

const policy = path.join(import.meta.dirname, "../../models/policy")
const small = path.join(import.meta.dirname, "../golden/qwen3")
const files = new Map([...filesOf(policy), ...await sharded(small)])
files.delete("model.safetensors")
const token = "hf_secret-of-the-test"
let homes = 0

/** Where nobody listens. */
const nowhere = await (async () => {
  const { close, url } = await startHubServer({ repos: {} })
  await close()
  return url
})()

interface Place {
  readonly server: HubServer
  readonly repo: string
  readonly resolve: (text: string, revision?: string, env?: Readonly<Record<string, string>>) => Promise<string>
  /** Names below the model's folder in the cache. */
  readonly cached: (folder: string) => ReadonlyArray<string>
}

const withHub = async (options: HubServerOptions, use: (place: Place) => Promise<void>) => {
  const server = await startHubServer({ token, ...options })
  const home = path.join(work, `home-${homes++}`)
  const repo = path.join(home, "hub/models--tiny--policy")
  try {
    await use({
      server,
      repo,
      resolve: (text, revision = "", env = {}) =>
        Effect.runPromise(
          resolveModel(text, policyKind, { revision, style: "none" }).pipe(
            Effect.map(({ folder }) => folder),
            Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord({ HF_ENDPOINT: server.url, HF_HOME: home, ...env })))
          )
        ),
      cached: (folder) => fs.existsSync(path.join(repo, folder)) ? fs.readdirSync(path.join(repo, folder)).sort() : []
    })
  } finally {
    await server.close()
  }
}
const tiny = { "tiny/policy": { files } }
const wanted = [
  "config.json",
  "generation_config.json",
  "model-00001-of-00002.safetensors",
  "model-00002-of-00002.safetensors",
  "model.safetensors.index.json",
  "tokenizer.json",
  "tokenizer_config.json"
]
const blobsOf = (names: ReadonlyArray<string>) => names.map((name) => blobOf(name, files.get(name)!)).sort()
const hashOf = async (folder: string) => weightsHash(await Effect.runPromise(openDecoder(folder)))
const failure = (promise: Promise<unknown>): Promise<string> =>
  promise.then(() => assert.fail("it should have failed"), (error: unknown) => (error as Error).message)

describe.concurrent("a model of the Hub", () => {
  it("comes whole, without what is not needed, into huggingface_hub's layout", () =>
    withHub({ repos: tiny }, async ({ cached, repo, resolve, server }) => {
      const folder = await resolve("tiny/policy")
      assert.strictEqual(folder, path.join(repo, "snapshots", commitA))
      assert.deepStrictEqual(cached(`snapshots/${commitA}`), wanted)
      assert.deepStrictEqual(cached("blobs"), blobsOf(wanted))
      for (const name of wanted) {
        assert.strictEqual(fs.readlinkSync(path.join(folder, name)), `../../blobs/${blobOf(name, files.get(name)!)}`)
        assert.deepStrictEqual(fs.readFileSync(path.join(folder, name)), Buffer.from(files.get(name)!))
      }
      assert.strictEqual(fs.readFileSync(path.join(repo, "refs/main"), "utf8"), commitA)
      assert.include(server.seen.map(({ url }) => url.split("?")[0]), `/api/models/tiny/policy/revision/main`)
      // The same again asks which commit it is and what it has, and fetches nothing.
      const before = server.seen.length
      assert.strictEqual(await resolve("tiny/policy"), folder)
      assert.isTrue(server.seen.slice(before).every(({ url }) => url.startsWith("/api/models/tiny/policy/")))
    }))

  it("comes through a busy server, cut and silent connections and one that knows no ranges", () =>
    withHub({
      repos: tiny,
      faults: { hub: ["429", undefined, "503"], cdn: ["cut", "503", "whole", "stall", "cut"] }
    }, async ({ cached, resolve, server }) => {
      const folder = await resolve("tiny/policy", "", { HF_HUB_DOWNLOAD_TIMEOUT: "1" })
      assert.deepStrictEqual(cached("blobs"), blobsOf(wanted))
      for (const name of wanted) assert.deepStrictEqual(fs.readFileSync(path.join(folder, name)), Buffer.from(files.get(name)!))
      assert.isAtLeast(server.seen.filter(({ host, range }) => host === "cdn" && /^bytes=\d+-$/.test(range ?? "")).length, 2)
    }))

  it("goes on from what an earlier process left, and keeps nothing that is wrong", () =>
    withHub({ repos: tiny }, async ({ cached, repo, resolve, server }) => {
      const [first, second] = wanted.filter((name) => name.endsWith(".safetensors")).map((name) => files.get(name)!)
      fs.mkdirSync(path.join(repo, "blobs"), { recursive: true })
      const part = (bytes: Uint8Array) => path.join(repo, "blobs", `${blobOf("x.safetensors", bytes)}.incomplete`)
      fs.writeFileSync(part(first!), first!.subarray(0, first!.length - 100))
      fs.writeFileSync(part(second!), new Uint8Array(second!.length - 100)) // as after a power cut
      const message = await failure(resolve("tiny/policy"))
      assert.match(message, /^model-00002-of-00002\.safetensors came with the hash .*run the same command again/)
      assert.include(server.seen.map(({ range }) => range), `bytes=${first!.length - 100}-`)
      assert.isFalse(fs.existsSync(part(second!)))
      assert.notInclude(cached("blobs"), blobOf("x.safetensors", second!))
      const before = server.sent()
      const folder = await resolve("tiny/policy")
      assert.isAtMost(server.sent() - before, second!.length)
      assert.strictEqual(await hashOf(folder), await hashOf(path.join(repo, "snapshots", commitA)))
    }))

  it("is fetched by several at once without harm", () =>
    withHub({ repos: tiny, speed: 1e6 }, async ({ cached, resolve }) => {
      const folders = await Promise.all([resolve("tiny/policy"), resolve("tiny/policy"), resolve("tiny/policy")])
      assert.strictEqual(new Set(folders).size, 1)
      assert.deepStrictEqual(cached("blobs"), blobsOf(wanted))
      for (const name of wanted) assert.deepStrictEqual(fs.readFileSync(path.join(folders[0]!, name)), Buffer.from(files.get(name)!))
    }))

  it("is taken at a branch, a tag or a commit; what two commits share is fetched once, and a cached commit asks nobody", () => {
    const other = new Map(files).set("generation_config.json", new TextEncoder().encode("{\"eos_token_id\":0}"))
    const repo = { files: other, revisions: { main: commitB, "refs/pr/1": commitA, "v1.0": commitA } }
    return withHub({ repos: { "tiny/policy": repo } }, async ({ cached, resolve, server }) => {
      const first = await resolve("tiny/policy@refs/pr/1")
      assert.strictEqual(path.basename(first), commitA)
      assert.deepStrictEqual(cached("refs/refs/pr"), ["1"])
      const sent = server.sent()
      assert.strictEqual(path.basename(await resolve("tiny/policy")), commitB)
      assert.strictEqual(await resolve("tiny/policy", "v1.0"), first)
      assert.isAtMost(server.sent() - sent, 100, "no weights again")
      const before = server.seen.length
      assert.strictEqual(await resolve(`tiny/policy@${commitA}`), first)
      assert.strictEqual(await resolve("tiny/policy", "v1.0", { HF_HUB_OFFLINE: "1" }), first)
      assert.strictEqual(server.seen.length, before)
    })
  })

  it("is taken from the cache where the Hub is down or forbidden", () =>
    withHub({ repos: tiny }, async ({ resolve, server }) => {
      const folder = await resolve("tiny/policy")
      const before = server.seen.length
      assert.strictEqual(await resolve("tiny/policy", "", { HF_ENDPOINT: nowhere }), folder)
      assert.strictEqual(await resolve("tiny/policy", "", { HF_HUB_OFFLINE: "true" }), folder)
      assert.strictEqual(server.seen.length, before)
    }))

  it("is listed on pages elsewhere: the token does not go there", () =>
    withHub({ repos: tiny, pagesOn: "cdn" }, async ({ resolve, server }) => {
      await resolve("tiny/policy", "", { HF_TOKEN: token })
      const pages = server.seen.filter(({ url }) => url.includes("cursor="))
      assert.isAbove(pages.length, 0)
      for (const { authorization, host } of pages) assert.deepStrictEqual([host, authorization], ["cdn", undefined])
    }))

  it("is private: the token goes to the Hub and to nobody else", () =>
    withHub({ repos: { "tiny/policy": { files, private: true } } }, async ({ repo, resolve, server }) => {
      await resolve("tiny/policy", "", { HF_TOKEN: ` ${token}\n` })
      const of = (host: string) => [...new Set(server.seen.filter((request) => request.host === host).map(({ authorization }) => authorization))]
      assert.deepStrictEqual(of("hub"), [`Bearer ${token}`])
      assert.deepStrictEqual(of("cdn"), [undefined])
      for (const entry of fs.readdirSync(repo, { recursive: true, withFileTypes: true })) {
        if (entry.isFile()) assert.notInclude(fs.readFileSync(path.join(entry.parentPath, entry.name), "latin1"), token)
      }
    }))

  it("is a folder where there is one of that name", () =>
    withHub({ repos: {} }, async ({ resolve, server }) => {
      assert.strictEqual(await resolve("models/policy"), "models/policy")
      assert.strictEqual(await resolve("/nowhere"), "/nowhere")
      assert.strictEqual(server.seen.length, 0)
    }))
})

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
const without = (...names: ReadonlyArray<string>) => new Map([...files].filter(([name]) => !names.includes(name)))
const index = "model.safetensors.index.json"

describe.concurrent("what goes wrong is one sentence, and leaves nothing half-written under a final name", () => {
  interface Case {
    readonly options?: HubServerOptions
    readonly text?: string
    readonly revision?: string
    readonly env?: Readonly<Record<string, string>>
    readonly message: RegExp
    /** The files that were fetched before. */
    readonly fetched?: ReadonlyArray<string>
    readonly prepare?: (place: Place) => void
  }
  const cases: Readonly<Record<string, Case>> = {
    "no network": {
      env: { HF_ENDPOINT: nowhere },
      message: /^127\.0\.0\.1:\d+ cannot be reached \(.*ECONNREFUSED.*\), and tiny\/policy is not in .*hub: check the network, or give a folder that exists\.$/
    },
    "offline": {
      env: { HF_HUB_OFFLINE: "1" },
      message: /^tiny\/policy is not in .*hub, and HF_HUB_OFFLINE forbids fetching it/
    },
    "offline, and the cache has a part": {
      env: { HF_HUB_OFFLINE: "1" },
      prepare: ({ repo }) => {
        fs.mkdirSync(path.join(repo, "refs"), { recursive: true })
        fs.writeFileSync(path.join(repo, "refs/main"), commitA)
        fs.mkdirSync(path.join(repo, "snapshots", commitA), { recursive: true })
        for (const name of ["config.json", "tokenizer.json", "tokenizer_config.json", index]) {
          fs.writeFileSync(path.join(repo, "snapshots", commitA, name), files.get(name)!)
        }
      },
      message: /^tiny\/policy has no model-00001-of-00002\.safetensors in .*HF_HUB_OFFLINE/
    },
    "no such model": {
      options: { repos: {} },
      message: /^There is no model tiny\/policy on 127\.0\.0\.1:\d+, nor a folder of that name here: check the name; if it is private, set HF_TOKEN/
    },
    "no such model for this token": {
      options: { repos: {} },
      env: { HF_TOKEN: token },
      message: /^There is no model tiny\/policy .* the token in HF_TOKEN must be allowed to read it\.$/
    },
    "a private model": {
      options: { repos: { "tiny/policy": { files, private: true } } },
      message: /^There is no model tiny\/policy .* if it is private, set HF_TOKEN/
    },
    "a token that is none": { env: { HF_TOKEN: "hf_old" }, message: /does not accept HF_TOKEN \(Invalid credentials/ },
    "a token with a line break": { env: { HF_TOKEN: "hf_a\nb" }, message: /^HF_TOKEN has characters in it that no token has: set it anew\.$/ },
    "a gated model": {
      options: { repos: { "tiny/policy": { files, gated: "asks" } } },
      message: /^tiny\/policy is gated: accept its terms at http.*\/tiny\/policy, then set HF_TOKEN to a token of that account\.$/
    },
    "a gated model that lets others in": {
      options: { repos: { "tiny/policy": { files, gated: "refuses" } } },
      env: { HF_TOKEN: token },
      message: /^tiny\/policy is gated: .*the one in HF_TOKEN has no access/
    },
    "no such revision": { revision: "v9", message: /^tiny\/policy has no revision "v9": give a branch, a tag or a whole commit\.$/ },
    "a revision that is none": { revision: "../main", message: /^"\.\.\/main" is no revision/ },
    "two revisions": { text: "tiny/policy@v1", revision: "v2", message: /ask for two revisions/ },
    "a revision of a folder": { text: policy, revision: "v1", message: /--revision v1 is of models on the Hub, and .* is a folder/ },
    "an unknown family": {
      options: { repos: { "tiny/policy": { files: new Map(files).set("config.json", json({ model_type: "mamba" })) } } },
      message: /config\.json is of the family "mamba": known are/,
      fetched: ["config.json"]
    },
    "no safetensors": {
      options: { repos: { "tiny/policy": { files: without(index, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors") } } },
      message: /^tiny\/policy has no model\.safetensors: choose a repository with safetensors/,
      fetched: []
    },
    "no tokenizer.json": {
      options: { repos: { "tiny/policy": { files: without("tokenizer.json") } } },
      message: /^tiny\/policy has no tokenizer\.json/,
      fetched: []
    },
    "a shard that is not there": {
      options: { repos: { "tiny/policy": { files: without("model-00002-of-00002.safetensors") } } },
      message: /^tiny\/policy has no model-00002-of-00002\.safetensors/,
      fetched: ["config.json", index]
    },
    "a shard outside the repository": {
      options: { repos: { "tiny/policy": { files: new Map(files).set(index, json({ weight_map: { a: "../../../../passwords" } })) } } },
      message: /model\.safetensors\.index\.json names \.\.\/\.\.\/\.\.\/\.\.\/passwords, which is no file beside it/,
      fetched: ["config.json", index]
    },
    "a listing that would write elsewhere": {
      options: {
        repos: { "tiny/policy": { files, listed: (entry) => (entry.path === "config.json" ? { ...entry, oid: "../../evil" } : entry) } }
      },
      message: /does not answer as the Hub does/,
      fetched: []
    },
    "another hash than is listed": {
      options: {
        repos: {
          "tiny/policy": { files, listed: (entry) => (entry.path === "tokenizer.json" ? { ...entry, oid: "5".repeat(40) } : entry) }
        }
      },
      message: /^tokenizer\.json came with the hash .{12}\.\.\., but the Hub lists 555555555555\.\.\.: it was thrown away/
    },
    "more than is listed": {
      options: { repos: { "tiny/policy": { files, listed: (entry) => (entry.path === "config.json" ? { ...entry, size: 7 } : entry) } } },
      message: /^config\.json is longer than the 7 bytes/,
      fetched: []
    },
    "a page that is not the Hub's": { options: { repos: tiny, faults: { hub: ["html"] } }, message: /does not answer as the Hub does: check HF_ENDPOINT and the network/ },
    "an address that is none": { env: { HF_ENDPOINT: "huggingface.co" }, message: /^HF_ENDPOINT is no address/ },
    "a deadline that is none": { env: { HF_HUB_DOWNLOAD_TIMEOUT: "soon" }, message: /^HF_HUB_DOWNLOAD_TIMEOUT is "soon"/ },
    "a disk without room": {
      options: {
        repos: {
          "tiny/policy": {
            files,
            listed: (entry) => (entry.lfs === undefined ? entry : { ...entry, size: 1e15, lfs: { ...entry.lfs, size: 1e15 } })
          }
        }
      },
      message: /^tiny\/policy takes 200\d{10}\d* bytes more and .*hub has room for \d+: make room for \d+ bytes more, or set HF_HOME/,
      fetched: ["config.json", index]
    },
    "a cache that cannot be": {
      prepare: ({ repo }) => {
        fs.mkdirSync(path.dirname(path.dirname(repo)), { recursive: true })
        fs.writeFileSync(path.dirname(repo), "")
      },
      message: /hub cannot be written to \(a part of its path is a file\): set HF_HOME/
    }
  }
  if (fs.existsSync("/dev/full")) {
    const shard = files.get("model-00002-of-00002.safetensors")!
    Object.assign(cases, {
      "a disk that becomes full": {
        prepare: ({ repo }) => {
          fs.mkdirSync(path.join(repo, "blobs"), { recursive: true })
          fs.symlinkSync("/dev/full", path.join(repo, "blobs", `${blobOf("x.safetensors", shard)}.incomplete`))
        },
        message: new RegExp(`^The disk of .*hub is full, and \\d+ bytes of tiny/policy are still missing: make room or set HF_HOME .*the same command again\\.$`)
      } satisfies Case
    })
  }
  it.each(Object.entries(cases))("%s", async (_name, { env, fetched, message, options, prepare, revision, text }) => {
    await withHub(options ?? { repos: tiny }, async (place) => {
      prepare?.(place)
      const said = await failure(place.resolve(text ?? "tiny/policy", revision, env))
      assert.match(said, message)
      assert.notInclude(said, token)
      assert.strictEqual(said.trim().split("\n").length, 1)
      if (fetched !== undefined) assert.deepStrictEqual(place.cached(`snapshots/${commitA}`), [...fetched].sort())
      for (const name of place.cached("blobs").filter((name) => !name.endsWith(".incomplete"))) {
        assert.strictEqual(blobOf(name.length === 64 ? "lfs.bin" : "", fs.readFileSync(path.join(place.repo, "blobs", name))), name)
      }
      if (prepare === undefined) assert.isFalse(fs.existsSync(path.join(place.repo, "refs")), "no revision is remembered")
    })
  })
})

describe.concurrent("--judge-model", () => {
  const clip = path.join(import.meta.dirname, "../../models/clip")
  const judge = async (server: HubServer, home: string, settings: Record<string, string>) => {
    const c = await Effect.runPromise(resolveConfig(undefined, settings))
    const env = ConfigProvider.layer(ConfigProvider.fromEnvRecord({ HF_ENDPOINT: server.url, HF_HOME: path.join(work, home), ANTHROPIC_API_KEY: "none" }))
    return Effect.runPromise(Effect.result(openJudge(c, "none")).pipe(Effect.provide(env)))
  }
  const repos = { "tiny/clip": { files: filesOf(clip), revisions: { main: commitB, v1: commitA } }, ...tiny }

  it.each([{ judge: "clip" }, { judge: "cascade", guide: "claude" }])("is a model of the Hub where it is a checkpoint: $judge", (settings) =>
    withHub({ repos }, async ({ server }) => {
      const home = `judge-${settings.judge}`
      const opened = await judge(server, home, { ...settings, judge_model: "tiny/clip@v1" })
      assert.strictEqual(opened._tag, "Success", String(opened))
      const snapshot = path.join(work, home, "hub/models--tiny--clip/snapshots", commitA)
      assert.includeMembers(fs.readdirSync(snapshot), ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"])
    }))

  it.each<readonly [string, Record<string, string>, RegExp]>([
    ["is of another family", { judge: "siglip", judge_model: "tiny/clip" }, /config\.json is of the family "clip", not "siglip"/],
    ["has not all that is needed", { judge: "hps", judge_model: "tiny/clip" }, /^tiny\/clip has no HPS_v2\.1_compressed\.pt: download .* beside it tokenizer\.json .* give the folder\.$/],
    ["is fetched only when the rest is given", { judge: "dino", judge_model: "tiny/clip" }, /give it as --judge-references/],
    ["names no model where the guide model has that name", { judge: "openai", judge_model: "tiny/clip" }, /needs a key/]
  ])("%s", (name, settings, message) =>
    withHub({ repos }, async ({ server }) => {
      const opened = await judge(server, name, settings)
      assert.match(opened._tag === "Failure" ? opened.failure.message : "it did not fail", message)
      assert.isFalse(fs.existsSync(path.join(work, name, "hub/models--tiny--clip/refs")))
    }))
})

it("without symbolic links files are linked hard, and read all the same", () =>
  withHub({ repos: tiny }, async ({ cached, repo, resolve }) => {
    const { symlinkSync } = nodeFs
    nodeFs.symlinkSync = () => {
      throw Object.assign(new Error("not permitted"), { code: "EPERM" })
    }
    syncBuiltinESMExports()
    try {
      const folder = await resolve("tiny/policy")
      assert.deepStrictEqual(cached(`snapshots/${commitA}`), wanted)
      for (const name of wanted) {
        const [link, blob] = [path.join(folder, name), path.join(repo, "blobs", blobOf(name, files.get(name)!))].map((at) => fs.lstatSync(at))
        assert.isTrue(link!.isFile())
        assert.strictEqual(link!.ino, blob!.ino)
      }
    } finally {
      nodeFs.symlinkSync = symlinkSync
      syncBuiltinESMExports()
    }
  }))

describe("asking again", () => {
  const attempts = (error: HubBusy, patient: boolean) =>
    Effect.gen(function*() {
      const times: Array<number> = []
      const notes: Array<string> = []
      const ask = Effect.gen(function*() {
        times.push(yield* Clock.currentTimeMillis)
        return yield* error
      })
      const fiber = yield* Effect.forkChild(Effect.flip(withHubRetry((line) => Effect.sync(() => void notes.push(line)), patient)(ask)))
      yield* TestClock.adjust(Duration.minutes(10))
      assert.strictEqual(yield* Fiber.join(fiber), error)
      return { notes, waits: times.slice(1).map((time, i) => time - times[i]!) }
    })
  const busy = (reached: boolean, retryAfter: number) => new HubBusy({ message: "it is busy", reached, retryAfter })

  effectIt.effect("5 times, later and later, and never before the Hub allows", () =>
    Effect.gen(function*() {
      const { notes, waits } = yield* attempts(busy(true, 0), false)
      assert.strictEqual(waits.length, 5)
      waits.forEach((wait, i) => assert.approximately(wait, 500 * 2 ** i, 0.25 * 500 * 2 ** i))
      assert.match(notes[0]!, /^it is busy; again in 1s\.$/)
      const told = yield* attempts(busy(true, 60), false)
      assert.isAtLeast(Math.min(...told.waits), 60_000)
    }))

  effectIt.effect("without a connection only where something was fetched", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* attempts(busy(false, 0), false)).waits.length, 0)
      assert.strictEqual((yield* attempts(busy(false, 0), true)).waits.length, 5)
    }))
})

it("what is a model's name on the Hub, and what is not", () => {
  assert.deepStrictEqual(parseModelId("Qwen/Qwen3-0.6B"), { id: "Qwen/Qwen3-0.6B", revision: undefined })
  assert.deepStrictEqual(parseModelId("a/b@refs/pr/1"), { id: "a/b", revision: "refs/pr/1" })
  for (const text of ["policy", "/a/b", "./a", "../a", "a/../b", "a/b/c", "a\\b/c", "a/b.git", "a--b/c", "a/b@", "a/b@..", "a/b@x..y", "a/b@/x", "a/b@x y", ""]) {
    assert.isUndefined(parseModelId(text), text)
  }
})

it("bytes in words", () => {
  assert.deepStrictEqual([0, 999, 1000, 1_503_300_328].map(byteSize), ["0 bytes", "999 bytes", "1.0 kB", "1.5 GB"])
})
