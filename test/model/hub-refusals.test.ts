/** Models of the Hub that cannot be had: what is said, and what is left behind. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { failure, files, nowhere, type Place, policy, tiny, token, withHub } from "../support/hub-models.ts"
import { blobOf, commitA, type HubServerOptions } from "../support/hub-server.ts"

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
    "a token with a line break": { env: { HF_TOKEN: "hf_a\nb" }, message: /^HF_TOKEN contains characters that no token has: set it again\.$/ },
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
    "something that is not a revision": { revision: "../main", message: /^"\.\.\/main" is not a revision/ },
    "two revisions": { text: "tiny/policy@v1", revision: "v2", message: /ask for two revisions/ },
    "a revision of a folder": { text: policy, revision: "v1", message: /--revision v1 is only for models on the Hub, and .* is a folder/ },
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
      message: /model\.safetensors\.index\.json names \.\.\/\.\.\/\.\.\/\.\.\/passwords, which is not a file beside it/,
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
      message: /^tokenizer\.json came with the hash .{12}\.\.\., but the Hub lists 555555555555\.\.\.: it was deleted/
    },
    "more than is listed": {
      options: { repos: { "tiny/policy": { files, listed: (entry) => (entry.path === "config.json" ? { ...entry, size: 7 } : entry) } } },
      message: /^config\.json is longer than the 7 bytes/,
      fetched: []
    },
    "a page that is not the Hub's": { options: { repos: tiny, faults: { hub: ["html"] } }, message: /does not answer as the Hub does: check HF_ENDPOINT and the network/ },
    "something that is not an address": { env: { HF_ENDPOINT: "huggingface.co" }, message: /^HF_ENDPOINT is not an address/ },
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
