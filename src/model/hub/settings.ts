/** Reads the environment's settings for the Hub, under the names that huggingface_hub reads. */
import * as os from "node:os"
import * as path from "node:path"
import { Config, Effect, Redacted } from "effect"
import { mayHoldKey, serverUrl } from "../../system/server-address.ts"
import { ModelUnavailable } from "./errors.ts"

export interface HubSettings {
  /** Address without a slash at its end. */
  readonly endpoint: string
  /** For the endpoint's origin and no other. */
  readonly token: Redacted.Redacted | undefined
  /** Where Hugging Face's own tools keep a token: HF_TOKEN_PATH, else `token` in HF_HOME; and whether the first named it. */
  readonly tokenFile: { readonly path: string; readonly named: boolean }
  /** The folder of `models--owner--name`. */
  readonly cache: string
  /** The Hub is never asked. */
  readonly offline: boolean
  /** Seconds without a byte after which a connection is given up. */
  readonly deadline: number
}

/** Empty counts as not set. */
const said = (name: string) => Config.String(name).pipe(Config.withDefault(""), Config.map((text) => text.trim()))

const environment = Config.all({
  endpoint: said("HF_ENDPOINT"),
  token: Config.Redacted("HF_TOKEN").pipe(Config.withDefault(Redacted.make(""))),
  offline: said("HF_HUB_OFFLINE"),
  transformersOffline: said("TRANSFORMERS_OFFLINE"),
  deadline: said("HF_HUB_DOWNLOAD_TIMEOUT"),
  tokenPath: said("HF_TOKEN_PATH"),
  hubCache: said("HF_HUB_CACHE"),
  oldHubCache: said("HUGGINGFACE_HUB_CACHE"),
  home: said("HF_HOME"),
  xdg: said("XDG_CACHE_HOME")
})

const isTrue = (text: string): boolean => ["1", "ON", "YES", "TRUE"].includes(text.toUpperCase())

const absolute = (folder: string): string => path.resolve(folder.replace(/^~(?=$|[/\\])/, os.homedir()))

const homeFolder = ({ home, xdg }: Record<"home" | "xdg", string>): string =>
  home || path.join(xdg || path.join(os.homedir(), ".cache"), "huggingface")

export const defaultEndpoint = "https://huggingface.co"

const isAddress = (text: string): boolean => {
  const url = serverUrl(text)
  return url !== undefined && !mayHoldKey(url)
}

/** Empty, or what a header can carry: otherwise fetch's own message would contain it. */
export const isToken = (text: string): boolean => /^[\x21-\x7e]*$/.test(text)

/** Fails with `ModelUnavailable` if a variable makes no sense. No message contains the token. */
export const hubSettings = Effect.gen(function*() {
  const e = yield* environment
  const endpoint = (e.endpoint || defaultEndpoint).replace(/\/+$/, "")
  if (!isAddress(endpoint)) {
    return yield* new ModelUnavailable({
      message: "HF_ENDPOINT is not an address: it should look like https://huggingface.co, and a token belongs in HF_TOKEN."
    })
  }
  const token = Redacted.value(e.token).trim()
  if (!isToken(token)) return yield* new ModelUnavailable({ message: "HF_TOKEN contains characters that no token has: set it again." })
  const deadline = Number(e.deadline || "10")
  if (!(deadline > 0 && deadline <= 86_400)) {
    return yield* new ModelUnavailable({ message: `HF_HUB_DOWNLOAD_TIMEOUT is "${e.deadline}": it should be a number of seconds, such as 30.` })
  }
  return {
    endpoint,
    token: token === "" ? undefined : Redacted.make(token),
    tokenFile: { path: absolute(e.tokenPath || path.join(homeFolder(e), "token")), named: e.tokenPath !== "" },
    cache: absolute(e.hubCache || e.oldHubCache || path.join(homeFolder(e), "hub")),
    offline: isTrue(e.offline || e.transformersOffline),
    deadline
  } satisfies HubSettings as HubSettings
}).pipe(Effect.catchTag("ConfigError", ({ message }) => Effect.fail(new ModelUnavailable({ message }))))
