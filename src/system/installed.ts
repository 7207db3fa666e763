/** Files that come with the package beside its code. They are only read: the folder may not be writable. */
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"

/**
 * Where an embedded file or folder is, in a checkout and in the built package alike.
 *
 * @param name path in models/: `policy` (a Hugging Face checkpoint), `clip` and `clip-heldout` (CLIP checkpoints), `font`
 * @returns an absolute path
 */
export const embedded = (name: string): string => fileURLToPath(new URL(`../../models/${name}`, import.meta.url))

/** Found by the package's name, since its path differs from the built code. */
export const packageJson = createRequire(import.meta.url)("vequinox/package.json") as {
  readonly version: string
  readonly engines: { readonly node: string }
  readonly dependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
}

export const { version } = packageJson
export const onnxVersion = packageJson.dependencies["onnxruntime-node"]!
export const resvgVersion = packageJson.dependencies["@resvg/resvg-js"]!
/** The Node version that package.json wants, such as `>=22.19`. */
export const nodeWanted = packageJson.engines.node

/** Whether `version` (v24.1.0) satisfies `wanted` (>=22.19): at least that, number by number. */
export const atLeast = (version: string, wanted: string): boolean => {
  const numbers = (text: string) => text.replace(/^\D+/, "").split(".").map((part) => Number.parseInt(part, 10))
  const [have, need] = [numbers(version), numbers(wanted)]
  const differs = need.findIndex((n, i) => n !== (have[i] ?? 0))
  return differs < 0 || (have[differs] ?? 0) > need[differs]!
}
