/**
 * The studio's page: its own modules, what it shares with the report (words, and how curves look), under the paths that they
 * have in src/, and the libraries that they import, from where npm put them. Nothing is built and nothing comes from elsewhere:
 * in a checkout a module's types are stripped when it is asked for.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as module from "node:module"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { curvesStyle } from "../report/curves.css.ts"

const folder = fileURLToPath(new URL("page/", import.meta.url))
/** `ts` in a checkout, `js` in the built package. */
const ending = path.extname(fileURLToPath(import.meta.url)).slice(1)

const resolve = module.createRequire(import.meta.url).resolve
/** uPlot's package names only its main file. */
const uplot = () => path.dirname(resolve("uplot"))
const libraries: Readonly<Record<string, () => string>> = {
  "preact.js": () => fileURLToPath(import.meta.resolve("preact")),
  "hooks.js": () => fileURLToPath(import.meta.resolve("preact/hooks")),
  "htm.js": () => fileURLToPath(import.meta.resolve("htm")),
  "uplot.js": () => path.join(uplot(), "uPlot.esm.js"),
  "uplot.css": () => path.join(uplot(), "uPlot.min.css")
}

const types: Readonly<Record<string, string>> = {
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  mjs: "text/javascript; charset=utf-8",
  ts: "text/javascript; charset=utf-8"
}

/** Every module at once, where the browser would otherwise find one behind the other. */
const preloads = (): string =>
  [
    ...fs.readdirSync(folder).filter((name) => name.endsWith(`.${ending}`)).map((name) => `studio/page/${name}`),
    `report/words.${ending}`,
    ...Object.keys(libraries).filter((name) => name.endsWith(".js")).map((name) => `vendor/${name}`)
  ].map((at) => `<link rel="modulepreload" href="${at}">\n`).join("")

const index = (): string =>
  fs.readFileSync(path.join(folder, "index.html"), "utf8")
    .replace(/(src="studio\/page\/\w+\.)ts"/, `$1${ending}"`)
    .replace("</head>", `${preloads()}</head>`)

/** The one script that stands in the page itself: where libraries are. */
const importMap = (page: string): string => /<script type="importmap">([\s\S]*?)<\/script>/.exec(page)?.[1] ?? ""

const policyOf = (page: string): string =>
  "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'self' 'unsafe-inline'; " +
  `script-src 'self' 'sha256-${createHash("sha256").update(importMap(page)).digest("base64")}'; ` +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const headers = { "cache-control": "no-store", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer" }

const nothing = HttpServerResponse.text("There is nothing here.", { status: 404, headers })

/** Modules without their types, by file, as they were last changed. */
const stripped = new Map<string, { readonly changed: number; readonly text: string }>()

const textOf = (at: string): string => {
  const read = () => fs.readFileSync(at, "utf8")
  if (!at.endsWith(".ts")) return read()
  const changed = fs.statSync(at).mtimeMs
  const known = stripped.get(at)
  if (known?.changed === changed) return known.text
  const text = module.stripTypeScriptTypes(read())
  stripped.set(at, { changed, text })
  return text
}

const file = (at: string) => {
  const type = types[path.extname(at).slice(1)]!
  const body = textOf(at)
  return HttpServerResponse.text(body, { contentType: type, headers })
}

/** A name of the folder's own list: nothing else can be asked for. */
const own = (name: string) =>
  Effect.sync(() =>
    fs.readdirSync(folder).includes(name) && path.extname(name).slice(1) in types && !name.endsWith(".d.ts")
      ? file(path.join(folder, name))
      : nothing
  )

const library = (name: string) => Effect.sync(() => Object.hasOwn(libraries, name) ? file(libraries[name]!()) : nothing)

export const pageRoutes = Layer.mergeAll(
  HttpRouter.add("GET", "/", Effect.sync(() => {
    const page = index()
    return HttpServerResponse.text(page, { contentType: "text/html; charset=utf-8", headers: { ...headers, "content-security-policy": policyOf(page) } })
  })),
  HttpRouter.add("GET", "/studio/page/:name", Effect.flatMap(HttpRouter.params, ({ name = "" }) => own(name))),
  HttpRouter.add("GET", `/report/words.${ending}`, Effect.sync(() => file(fileURLToPath(new URL(`../report/words.${ending}`, import.meta.url))))),
  HttpRouter.add("GET", "/report/curves.css", HttpServerResponse.text(curvesStyle, { contentType: types["css"]!, headers })),
  HttpRouter.add("GET", "/vendor/:name", Effect.flatMap(HttpRouter.params, ({ name = "" }) => library(name)))
)
