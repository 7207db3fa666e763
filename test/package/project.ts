/** The package as its users get it: packed, and installed by npm into a folder that has nothing of this checkout. */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

export const checkout = path.resolve(import.meta.dirname, "../..")

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** What npm needs to reach its registry. No other variable of this process reaches a command. */
const kept = /^(HOME|TMPDIR|NODE_EXTRA_CA_CERTS|(NO|HTTPS?|ALL)_PROXY|NPM_CONFIG_(REGISTRY|USERCONFIG|GLOBALCONFIG|CACHE))$/i

/** Folders of PATH without this checkout's: pnpm puts node_modules/.bin there. */
const paths = process.env["PATH"]!.split(path.delimiter).filter((folder) => !folder.includes("node_modules"))

/** @param node folder of the `node` to run; undefined: the machine's */
const environment = (node?: string): Record<string, string> => ({
  ...Object.fromEntries(Object.entries(process.env).flatMap(([name, value]) => kept.test(name) && value !== undefined ? [[name, value]] : [])),
  PATH: [...(node === undefined ? [] : [node]), ...paths].join(path.delimiter),
  // Its install script downloads CUDA from a host that may not be reached; what runs on a CPU is in the package.
  ONNXRUNTIME_NODE_INSTALL: "skip",
  NO_COLOR: "1"
})

const run = (program: string, args: ReadonlyArray<string>, cwd: string, env: Record<string, string>): Promise<Ended> =>
  new Promise((resolve) =>
    execFile(program, args, { cwd, env, maxBuffer: 1e8 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr })))

/** Of a command that must succeed. */
export const output = async (ended: Promise<Ended>): Promise<string> => {
  const { code, stderr, stdout } = await ended
  if (code !== 0) throw new Error(`exit code ${code}\n${stdout}\n${stderr}`)
  return stdout
}

/** Packs the checkout. `folder`: where the tarball goes. @returns its path */
export const pack = async (folder: string): Promise<string> => {
  const file = path.join(folder, "vequinox.tgz")
  await output(run("npx", ["-y", "pnpm@10", "pack", "--out", file], checkout, environment(path.dirname(process.execPath))))
  return file
}

export interface Project {
  readonly folder: string
  /** Runs a program there: `node`, `npm`, `npx`, all of them on the Node asked for. */
  readonly run: (program: string, ...args: ReadonlyArray<string>) => Promise<Ended>
}

/**
 * An empty project on a Node of its own, which comes from npm's package `node`.
 *
 * @param at folder for both
 * @param version whole, or a major of which the newest is taken
 */
export const emptyProject = async (at: string, version: string): Promise<Project> => {
  const [tools, folder] = [path.join(at, `node-${version}`), path.join(at, `project-${version}`)]
  for (const made of [tools, folder]) fs.mkdirSync(made)
  await output(run("npm", ["install", "--prefix", tools, "--no-audit", "--no-fund", `node@${version}`], tools, environment()))
  fs.writeFileSync(path.join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }))
  const env = { ...environment(path.join(tools, "node_modules/node/bin")), XDG_CACHE_HOME: path.join(at, "cache") }
  return { folder, run: (program, ...args) => run(program, args, folder, env) }
}
