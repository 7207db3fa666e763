/** Models of the Hub, fetched in-process from a server on a real socket. */
import * as fs from "node:fs"
import * as path from "node:path"
import { ConfigProvider, Effect } from "effect"
import { policyKind } from "../../src/model/hub/model-kind.ts"
import { resolveModel } from "../../src/model/hub/resolve-model.ts"
import { filesOf, type HubServer, type HubServerOptions, sharded, startHubServer } from "./hub-server.ts"
import { during } from "./loopback.ts"
import { scratchFolder } from "./scratch-folder.ts"

export const work = scratchFolder("hub")

export const policy = path.join(import.meta.dirname, "../../models/policy")
const small = path.join(import.meta.dirname, "../golden/qwen3")
export const files = new Map([...filesOf(policy), ...await sharded(small)])
files.delete("model.safetensors")
export const token = "hf_secret-of-the-test"
let homes = 0

/** Where nobody listens. */
export const nowhere = await (async () => {
  const { close, url } = await startHubServer({ repos: {} })
  await close()
  return url
})()

export interface Place {
  readonly server: HubServer
  readonly repo: string
  readonly resolve: (text: string, revision?: string, env?: Readonly<Record<string, string>>) => Promise<string>
  /** Names below the model's folder in the cache. */
  readonly cached: (folder: string) => ReadonlyArray<string>
}

/** With a server and an empty cache of its own. */
export const withHub = (options: HubServerOptions, use: (place: Place) => Promise<void>) => {
  const home = path.join(work, `home-${homes++}`)
  const repo = path.join(home, "hub/models--tiny--policy")
  return during(startHubServer({ token, ...options }), (server) =>
    use({
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
    }))
}

/** What most servers of these tests offer. */
export const tiny = { "tiny/policy": { files } }

/** The message of what must fail. */
export const failure = (promise: Promise<unknown>): Promise<string> =>
  promise.then(() => {
    throw new Error("it should have failed")
  }, (error: unknown) => (error as Error).message)
