/** `vequinox push` and a Hub on a real socket; as a real process where it is about what a process leaves. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { ConfigProvider, Effect } from "effect"
import { Command } from "effect/cli"
import { TestConsole } from "effect/testing"
import { afterAll, assert, describe, it } from "vitest"
import { push } from "../../src/commands/push.ts"
import { commandLine, refusedInOneLine } from "../support/command-line.ts"
import { type HubPushOptions, startHubPushServer } from "../support/hub-push-server.ts"
import { during } from "../support/loopback.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)
const root = path.join(import.meta.dirname, "../..")
const token = "hf_secret-of-the-push"
const hub = (options: Partial<HubPushOptions> = {}) => startHubPushServer({ token, owner: "me", ...options })
type Hub = Awaited<ReturnType<typeof hub>>
const env = ({ url }: { readonly url: string }) => ({ HF_ENDPOINT: url, HF_TOKEN: token, HF_HOME: path.join(work, "hf") })
const on = (options: Partial<HubPushOptions>, use: (server: Hub) => Promise<void>) => during(hub(options), use)
let made = 0
const fresh = () => {
  const folder = path.join(work, `f${made++}`)
  fs.mkdirSync(folder)
  return folder
}

/** The command in this process: what it printed. */
const pushing = (env: Readonly<Record<string, string>>, ...args: ReadonlyArray<string>): Promise<string> =>
  Effect.runPromise(
    Command.runWith(push, { version: "test" })([...args]).pipe(
      Effect.andThen(TestConsole.logLines),
      Effect.map((lines) => lines.join("\n")),
      Effect.provide([TestConsole.layer, NodeServices.layer, ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))])
    )
  )
/** Its failure: one sentence without the secret. */
const refused = async (result: Promise<string>, expected: RegExp, secret = token): Promise<void> => {
  const message = await result.then((said) => `it worked: ${said}`, (cause: Error) => cause.message)
  assert.match(message, expected)
  assert.notInclude(message, secret)
  assert.notInclude(message, "\n")
}

/** An adapter's folder, as a run on the embedded model leaves it, and a note that is nobody's business. */
const adapter = () => {
  const folder = fresh()
  fs.cpSync(path.join(root, "test/golden/qwen3/adapter"), folder, { recursive: true })
  const at = path.join(folder, "adapter_config.json")
  fs.writeFileSync(at, JSON.stringify({ ...JSON.parse(fs.readFileSync(at, "utf8")), base_model_name_or_path: path.join(root, "models/policy") }))
  fs.writeFileSync(path.join(folder, "README.md"), `---\nbase_model: ${path.join(root, "models/policy")}\n---\n# SVG adapter for ${path.join(root, "models/policy")}\n`)
  fs.writeFileSync(path.join(folder, "keys.env"), "my secret")
  return folder
}
const model = () => {
  const folder = fresh()
  fs.cpSync(path.join(root, "test/golden/qwen3"), folder, { recursive: true, filter: (at) => !/adapter|golden\.json/.test(at) })
  return folder
}
const lastOf = (server: Hub, id: string) => server.repos.get(id)!.commits.at(-1)!
const textOf = (server: Hub, id: string, file: string) => lastOf(server, id).files.get(file)!.toString()

describe("what is pushed", () => {
  it("an adapter, with a base that others can find, and nothing else of its folder; by hash, and the token for the Hub alone", () =>
    on({}, async (server) => {
      const folder = adapter()
      const { code, stderr, stdout } = await vequinox(env(server), "push", folder, "--repo", "me/circles", "--base-model", "me/tiny")
      assert.strictEqual(code, 0, stderr)
      assert.match(stdout, /^Pushed 3 files of .* to http:\/\/127\.0\.0\.1:\d+\/me\/circles, new and private: [\d.]+ kB sent, 0 bytes there already\. Left out: keys\.env\.$/m)
      const { files, summary } = lastOf(server, "models/me/circles")
      assert.strictEqual(server.repos.get("models/me/circles")!.visibility, "private")
      assert.strictEqual(summary, "Push adapter with vequinox")
      assert.deepStrictEqual([...files.keys()].sort(), ["README.md", "adapter_config.json", "adapter_model.safetensors"])
      assert.isTrue(files.get("adapter_model.safetensors")!.equals(fs.readFileSync(path.join(folder, "adapter_model.safetensors"))))
      assert.strictEqual(JSON.parse(textOf(server, "models/me/circles", "adapter_config.json")).base_model_name_or_path, "me/tiny")
      assert.match(textOf(server, "models/me/circles", "README.md"), /^---\nbase_model: me\/tiny\n---\n# SVG adapter for me\/tiny\n$/)
      for (const [, bytes] of files) assert.notInclude(bytes.toString("latin1"), root) // no path of this machine
      for (const { authorization, host } of server.seen) assert.strictEqual(authorization, host === "hub" ? `Bearer ${token}` : undefined)
      assert.notInclude(stdout + stderr, token)
    }))

  it("a model with a card, in every form, large files by parts; then an update of it sends only what is new", () =>
    on({ partSize: 20_000 }, async (server) => {
      const folder = model()
      fs.mkdirSync(path.join(folder, "onnx"))
      fs.writeFileSync(path.join(folder, "onnx/model.onnx"), Buffer.alloc(70_000, 1))
      fs.writeFileSync(path.join(folder, "onnx/model.onnx_data"), Buffer.alloc(1500, 2))
      fs.writeFileSync(path.join(folder, "tiny.gguf"), Buffer.alloc(1200, 3))
      const args = [folder, "--repo", "me/tiny", "--license", "mit", "--public", "--json"]
      const first = await pushing(env(server), ...args)
      const weights = fs.statSync(path.join(folder, "model.safetensors")).size
      const said = JSON.parse(first)
      assert.deepStrictEqual({ ...said, commit: 0, url: 0 }, {
        url: 0, commit: 0, kind: "model", created: true, known: 0, sent: weights + 72_700, left: [],
        files: ["config.json", "model.safetensors", "tiny.gguf", "onnx/model.onnx", "onnx/model.onnx_data", "README.md"]
      })
      const { files } = lastOf(server, "models/me/tiny")
      for (const [name, bytes] of files) {
        if (name !== "README.md") assert.isTrue(bytes.equals(fs.readFileSync(path.join(folder, name))), name)
      }
      const card = textOf(server, "models/me/tiny", "README.md")
      assert.match(card, /^---\nlicense: mit\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- svg\n- vequinox\n---\n/)
      assert.match(card, /A qwen3 of 0\.0 million parameters in 2 layers, for up to 256 tokens/)
      assert.match(card, /--hf-file tiny\.gguf/)
      await refused(pushing(env(server), ...args), /me\/tiny has config\.json already: give --update to commit over it/)
      assert.strictEqual(server.repos.get("models/me/tiny")!.commits.length, 1)
      fs.writeFileSync(path.join(folder, "tiny.gguf"), Buffer.alloc(1300, 4))
      const again = JSON.parse(await pushing(env(server), ...args, "--update"))
      assert.deepStrictEqual([again.created, again.sent, again.known], [false, 1300, weights + 71_500])
      assert.strictEqual(lastOf(server, "models/me/tiny").files.get("tiny.gguf")!.length, 1300)
    }))

  it("a run's preferences as a dataset, with a card that says what is in it", () =>
    on({}, async (server) => {
      const run = fresh()
      const row = (prompt: string, i: number) => JSON.stringify({
        prompt: [{ role: "user", content: prompt }], chosen: [{ role: "assistant", content: `<svg>${i}</svg>` }], rejected: [{ role: "assistant", content: "<svg/>" }], judge: "clip", label: 1
      })
      const lines = Array.from({ length: 12 }, (_, i) => row(`circle ${i % 5}`, i)).join("\n") + "\n"
      fs.writeFileSync(path.join(run, "preferences.jsonl"), lines)
      fs.writeFileSync(path.join(run, "metrics.jsonl"), "")
      fs.writeFileSync(path.join(run, "config.json"), "{}")
      await refused(pushing(env(server), run, "--repo", "me/pairs"), /is a run, which has several things to push: say which with --kind/)
      await pushing(env(server), run, "--repo", "me/pairs", "--kind", "dataset", "--message", "Twelve")
      const { files, summary } = lastOf(server, "datasets/me/pairs")
      assert.strictEqual(summary, "Twelve")
      assert.strictEqual(files.get("preferences.jsonl")!.toString(), lines)
      const card = textOf(server, "datasets/me/pairs", "README.md")
      assert.match(card, /\nsize_categories:\n- n<1K\n/)
      assert.match(card, /\nconfigs:\n- config_name: default\n {2}data_files: preferences\.jsonl\n/)
      assert.match(card, /12 preferences .*, of 5 different prompts, as TRL reads them; decided by clip\./)
      assert.match(card, /\| `label` \| probability/)
    }))
})

describe("a push that breaks off", () => {
  it("is tried again by itself, and sends no object twice that was taken", () =>
    on({ largeFrom: 500, faults: [{ on: /storage PUT/, does: "reset" }, { on: /hub POST .*commit/, does: 503 }] }, async (server) => {
      const folder = model()
      const { code, stderr, stdout } = await vequinox(env(server), "push", folder, "--repo", "me/tiny")
      assert.strictEqual(code, 0, stderr)
      assert.match(stderr, /The connection to 127\.0\.0\.1:\d+ broke off \(.*\); again in \d+s\./)
      assert.match(stderr, /answered 503 \(as asked\); again in/)
      const puts = server.seen.filter(({ host }) => host === "storage").map(({ path }) => path)
      const times = [...new Set(puts)].map((path) => puts.filter((other) => other === path).length).sort()
      assert.deepStrictEqual(times, [1, 1, 2]) // weights, config.json, card; one of them was cut off
      assert.match(stdout, /: [\d.]+ kB sent, 0 bytes there already\./)
      assert.strictEqual(server.repos.get("models/me/tiny")!.commits.length, 1)
    }))

  it("and is given up commits nothing; the same command sends only what is not there", () =>
    on({ faults: [{ on: /hub POST .*commit/, does: 400 }] }, async (server) => {
      const args = [model(), "--repo", "me/tiny", "--json"] as const
      await refused(pushing(env(server), ...args), /answered 400 \(as asked\): nothing was committed\.$/)
      assert.strictEqual(server.repos.get("models/me/tiny")!.commits.length, 0)
      const before = server.stored()
      assert.isAbove(before, 20_000)
      const { known, sent } = JSON.parse(await pushing(env(server), ...args))
      assert.deepStrictEqual([server.stored() - before, sent, known], [0, 0, before])
      assert.strictEqual(server.repos.get("models/me/tiny")!.commits.length, 1)
    }))
})

describe("is refused in one sentence", () => {
  it("a token that is not accepted, echoed or not, or may not write there", () =>
    on({ faults: [{ on: /create/, does: "echo" }] }, async (server) => {
      const folder = model()
      await refused(pushing(env(server), folder, "--repo", "me/tiny"), /does not accept the token \(Invalid token Bearer …\): set HF_TOKEN to a valid one/)
      const wrong = "hf_another-token"
      await refused(pushing({ ...env(server), HF_TOKEN: wrong }, folder, "--repo", "me/tiny"), /does not accept the token \(Invalid username or password\.\)/, wrong)
      await refused(pushing(env(server), folder, "--repo", "you/tiny"), /The token may not write to the model you\/tiny on .* \(You don't have the rights/)
      assert.strictEqual(server.repos.size, 0)
      assert.strictEqual(server.stored(), 0)
    }))

  it("no token; a token file of another host; a host over plain HTTP; no network", () =>
    on({}, async (server) => {
      const folder = model()
      const home = path.join(work, "hf-home")
      fs.mkdirSync(home)
      const push = (more: Readonly<Record<string, string>>) => pushing({ HF_HOME: home, ...more }, folder, "--repo", "me/tiny", "--json")
      await refused(push({}), /There is no token to push with: set HF_TOKEN to one that may write \(https:\/\/huggingface\.co\/settings\/tokens\)/)
      fs.writeFileSync(path.join(home, "token"), `${token}\n`)
      await refused(push({ HF_ENDPOINT: server.url }), /There is no token for 127\.0\.0\.1:\d+: set HF_TOKEN to one of that host/)
      assert.strictEqual(server.seen.length, 0)
      await refused(push({ HF_ENDPOINT: "http://hub.example", HF_TOKEN: token }), /where everybody on the way could read the token: use https/)
      const closed = await startHubPushServer({ token, owner: "me" })
      await closed.close()
      await refused(push({ HF_ENDPOINT: closed.url, HF_TOKEN: token }), /127\.0\.0\.1:\d+ cannot be reached \(.*\); nothing was committed: the same command sends only what/)
      await refused(push({ HF_ENDPOINT: server.url, HF_TOKEN: token, HF_HUB_OFFLINE: "1" }), /HF_HUB_OFFLINE forbids asking the Hub/)
      const named = await push({ HF_ENDPOINT: server.url, HF_TOKEN_PATH: path.join(home, "token") })
      assert.strictEqual(JSON.parse(named).kind, "model")
    }))

  it("what is nothing to push, and an adapter of a folder of this machine", () =>
    on({}, async (server) => {
      const push = (from: string) => pushing(env(server), from, "--repo", "me/x")
      await refused(push("nowhere"), /There is no nowhere: give an adapter's or a model's folder/)
      await refused(push(fresh()), /holds neither adapter_config\.json nor config\.json/)
      await refused(push(adapter()), /names a folder of this machine as its base, .*: say with --base-model/)
      const rows = path.join(fresh(), "rows.jsonl")
      fs.writeFileSync(rows, "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\"}\n{\"prompt\":\"a\"}\n")
      await refused(push(rows), /rows\.jsonl, line 2, has no prompt, chosen and rejected/)
      await refused(pushing(env(server), model(), "--repo", "no-owner"), /./)
      assert.strictEqual(server.seen.length, 0)
    }))

  it("a server that is no Hub", () =>
    on({ faults: [{ on: /preupload/, does: "html" }] }, async (server) => {
      await refused(pushing(env(server), model(), "--repo", "me/tiny"), /does not answer as the Hub does \(.*\): check HF_ENDPOINT/)
    }))
})

it("a process that is refused says one sentence, and leaves the token in no file", () =>
  on({}, async (server) => {
    const folder = model()
    const before = fs.readdirSync(folder, { recursive: true }).sort()
    await refusedInOneLine(vequinox(env(server), "push", folder, "--repo", "you/tiny"), /The token may not write to the model you\/tiny/, token)
    assert.deepStrictEqual(fs.readdirSync(folder, { recursive: true }).sort(), before)
    for (const entry of fs.readdirSync(work, { recursive: true, withFileTypes: true })) {
      const at = path.join(entry.parentPath, entry.name)
      if (entry.isFile() && at !== path.join(work, "hf-home/token")) assert.notInclude(fs.readFileSync(at, "latin1"), token, at)
    }
  }))
