/** The token that a push is made with. */
import * as fs from "node:fs"
import { Effect, Redacted } from "effect"
import { PushRefused } from "./errors.ts"
import { defaultEndpoint, type HubSettings, isToken } from "./settings.ts"

const isLoopback = (host: string): boolean => /^(localhost|127(\.\d+){3}|\[::1\])$/.test(host)

/**
 * HF_TOKEN, else the token that Hugging Face's own tools keep in a file. That file is for huggingface.co: another host
 * gets its token only if HF_TOKEN_PATH names the file. No token goes over plain HTTP, but to this machine itself. Fails with
 * `PushRefused`; no message contains a token.
 */
export const pushToken = ({ endpoint, token, tokenFile }: HubSettings): Effect.Effect<Redacted.Redacted, PushRefused> => {
  const refuse = (message: string) => Effect.fail(new PushRefused({ message }))
  const { host, hostname, protocol } = new URL(endpoint)
  if (protocol === "http:" && !isLoopback(hostname)) {
    return refuse(`HF_ENDPOINT is ${endpoint}, where everybody on the way could read the token: use https.`)
  }
  if (token !== undefined) return Effect.succeed(token)
  const own = endpoint === defaultEndpoint || tokenFile.named
  let text = ""
  if (own) {
    try {
      text = fs.readFileSync(tokenFile.path, "utf8").trim()
    } catch { // none there
    }
  }
  if (!isToken(text)) return refuse(`${tokenFile.path} contains characters that no token has: log in again, or set HF_TOKEN.`)
  return text !== "" ? Effect.succeed(Redacted.make(text)) : refuse(
    own
      ? `There is no token to push with: set HF_TOKEN to one that may write (${endpoint}/settings/tokens).`
      : `There is no token for ${host}: set HF_TOKEN to one of that host, since the one in ${tokenFile.path} is for huggingface.co.`
  )
}
