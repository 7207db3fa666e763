/** Models of the Hub, fetched in-process from a server on a real socket: what comes, by what ways, and where it is kept. */
import nodeFs, * as fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import * as path from "node:path"
import { ConfigProvider, Effect } from "effect"
import { assert, describe, it } from "vitest"
import { openDecoder, weightsHash } from "../../src/model/model-folder.ts"
import { openJudge } from "../../src/wiring/judges/open-judge.ts"
import { resolveConfig } from "../../src/wiring/settings.ts"
import { failure, files, nowhere, tiny, token, withHub, work } from "../support/hub-models.ts"
import { blobOf, commitA, commitB, filesOf, type HubServer } from "../support/hub-server.ts"

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

describe.concurrent("a model of the Hub", () => {
  it("comes whole, without unneeded files, in huggingface_hub's layout", () =>
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

  it("continues from what an earlier process left, and keeps nothing wrong", () =>
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
