/**
 * Makes dist/, which is what package.json's `publishConfig` points to: src/ and layers/ as JavaScript with declarations, and
 * the embedded models and font beside them, so that a module finds them on the same relative path as in the checkout.
 * Maps lead to src/ and layers/ themselves, which are in the package too.
 *
 *     pnpm run build
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

const root = import.meta.dirname

/** npm knows nothing of `publishConfig.exports`: what it packs would lead to .ts files, which Node refuses there. */
if (process.env["npm_lifecycle_event"] === "prepack" && !process.env["npm_config_user_agent"]?.startsWith("pnpm/")) {
  console.error("Pack and publish with pnpm: npx -y pnpm@10 pack")
  process.exit(1)
}

const dist = path.join(root, "dist")
fs.rmSync(dist, { recursive: true, force: true })
/** The studio's page is compiled for browsers, which have other globals. */
const page = "src/studio/page"
for (const project of [["tsconfig.build.json"], [page, "--noEmit", "false", "--rootDir", ".", "--outDir", "dist"]]) {
  execFileSync(process.execPath, [path.join(root, "node_modules/typescript/bin/tsc"), "-p", ...project], { cwd: root, stdio: "inherit" })
}
for (const name of fs.readdirSync(path.join(root, page)).filter((name) => /\.(html|css)$/.test(name))) {
  fs.cpSync(path.join(root, page, name), path.join(dist, page, name))
}
fs.cpSync(path.join(root, "models"), path.join(dist, "models"), { recursive: true, filter: (file) => !file.endsWith(".ts") })
