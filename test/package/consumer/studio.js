/** Opens the studio of the runs here, and asks for its page and every module that this imports. */
import { spawn } from "node:child_process"

const studio = spawn(process.execPath, ["node_modules/vequinox/dist/src/main.js", "studio", "runs", "--json"], { stdio: ["ignore", "pipe", "inherit"] })
const { url } = JSON.parse(await new Promise((resolve) => studio.stdout.once("data", (part) => resolve(String(part)))))
const asked = new Set()
const ask = async (at) => {
  if (asked.has(at)) return
  asked.add(at)
  const answer = await fetch(at)
  const text = await answer.text()
  if (!answer.ok || !/^text\/(html|css|javascript)/.test(answer.headers.get("content-type"))) throw new Error(`${at}: ${answer.status} ${text.slice(0, 200)}`)
  const links = at === url ? text.matchAll(/(?:src|href)="([^":]+)"|: "(\.\/vendor\/[^"]+)"/g) : at.includes("/vendor/") ? [] : text.matchAll(/from "(\.[^"]+)"/g)
  for (const [, link, library] of links) await ask(new URL(link ?? library, at).href)
}
await ask(url)
const { runs } = await (await fetch(`${url}api/runs`)).json()
studio.kill("SIGINT")
console.log(JSON.stringify({ files: asked.size, runs: runs.map(({ standing }) => standing) }))
