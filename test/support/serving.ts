/** `vequinox serve` in a process of its own, at a free port. */
import { spawn } from "node:child_process"
import * as path from "node:path"
import { assert } from "vitest"

/** Fails with what it says if it does not listen. @param work folder for its cache */
export const serving = async (work: string, args: ReadonlyArray<string>, env: Readonly<Record<string, string>>) => {
  const child = spawn(process.execPath, [path.resolve(import.meta.dirname, "../../src/main.ts"), "serve", "--port", "0", "--json", ...args], {
    env: { PATH: process.env["PATH"], XDG_CACHE_HOME: path.join(work, "cache"), ...env }
  })
  let said = ""
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => (said += part))
  while (!said.includes("\n")) {
    assert.isNull(child.exitCode, said)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const told = JSON.parse(said.split("\n")[0]!) as { readonly url: string; readonly requirements?: string }
  return {
    told,
    url: told.url,
    /** All that it has said so far. */
    said: () => said,
    stop: () => new Promise<void>((resolve) => (child.once("close", () => resolve()), child.kill("SIGINT")))
  }
}
