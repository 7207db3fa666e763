/** This package itself: where it is installed, and what its package.json says. */
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

/** The folder this package was installed to: where models/ is. */
export const packageRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..")

/** The folder of a model that this package brings. */
export const embeddedModel = (name: "policy" | "clip" | "clip-heldout"): string => path.join(packageRoot, "models", name)

const packageJson = JSON.parse(fs.readFileSync(path.join(packageRoot, "package.json"), "utf8")) as {
  readonly version: string
  readonly engines: { readonly node: string }
  readonly dependencies: Readonly<Record<string, string>>
}
export const version = packageJson.version
export const onnxVersion = packageJson.dependencies["onnxruntime-node"]!
export const resvgVersion = packageJson.dependencies["@resvg/resvg-js"]!
/** What package.json says of Node, as `>=20`. */
export const nodeWanted = packageJson.engines.node
