/**
 * Adapters as PEFT folders, where sampling servers read them. Each has a name of its own, `<run>-v<version>-<hash8>`, that no
 * other weights ever get: a server may keep what it computed under a name (vLLM's prefix cache, #42125), and a name that two
 * versions share says nothing about which one answered.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Effect } from "effect"
import type { LoraConfig } from "../../src/engine/weights/parameters.ts"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import { adapterFiles, type Base } from "../../src/model/adapter.ts"
import type { PolicySnapshot } from "../../src/stages/Policy.ts"
import { explain, FileProblem, writeFile, writeFolder } from "../../src/system/files.ts"
import { makeFolders, removeFolders } from "../../src/system/folders.ts"

export interface PushedAdapter {
  readonly name: string
  /** Its folder, as the servers see it. */
  readonly folder: string
}

export interface PushOptions {
  /** Where the folders are written; made if it is missing. */
  readonly folder: string
  /** Whether nothing else is ever put there: then it goes with the scope, whoever made it. Else only if it was missing. */
  readonly ownFolder: boolean
  /** Where the servers see that folder. */
  readonly seenAt: string
  /** The run: a path or a name that no other run on this machine has. */
  readonly run: string
  readonly lora: LoraConfig
  readonly base: Base
}

/** Folders that are kept: the versions that a server may still be asked for, or read again. */
const mostKept = 4

const sha256 = (...parts: ReadonlyArray<string | Uint8Array>): string => {
  const hash = createHash("sha256")
  for (const part of parts) hash.update(part)
  return hash.digest("hex")
}

/** `<run>-<hash6 of machine and run>`: letters, digits, dots, hyphens and underscores. */
const tagOf = (run: string): string => {
  const name = path.basename(run).replaceAll(/[^\w.-]+/g, "-").slice(0, 60)
  return `${name === "" ? "run" : name}-${sha256(os.hostname(), "\n", run).slice(0, 6)}`
}

/**
 * What an earlier process of this run left there is removed at the start, and everything at the end of the scope. Fails with
 * `FileProblem` if the folder cannot be written to.
 */
export const makePushed = Effect.fnUntraced(function*({ base, folder, lora, ownFolder, run, seenAt }: PushOptions) {
  const own = `${tagOf(run)}-v`
  const kept = new Map<string, PushedAdapter>()
  const known = new WeakMap<Parameters, string>()
  const remove = (name: string) => fs.rmSync(path.join(folder, name), { recursive: true, force: true })
  yield* Effect.acquireRelease(
    Effect.try({
      try: () => {
        const made = makeFolders(folder)
        for (const name of fs.readdirSync(folder)) if (name.startsWith(own)) remove(name)
        return made.length === 0 && ownFolder ? [folder] : made
      },
      catch: (cause) => new FileProblem({ message: `Adapters for the sampling servers cannot be written to ${folder}: ${explain(cause)}. Choose another folder with --sampler-adapters.` })
    }),
    (made) =>
      Effect.ignore(Effect.try(() => {
        for (const name of kept.keys()) remove(name)
        removeFolders(made)
      }))
  )

  const push = Effect.fnUntraced(function*({ parameters, version }: PolicySnapshot) {
    const given = known.get(parameters)
    const there = given === undefined ? undefined : kept.get(given)
    const isThere = (name: string) => fs.existsSync(path.join(folder, name))
    if (there !== undefined && there.name.startsWith(`${own}${version}-`) && isThere(there.name)) {
      kept.delete(there.name)
      kept.set(there.name, there) // the newest
      return there
    }
    const files = adapterFiles(parameters, lora, base)
    const name = `${own}${version}-${sha256(...files.map(([, content]) => content)).slice(0, 8)}`
    const adapter: PushedAdapter = { name, folder: path.posix.join(seenAt, name) }
    if (!isThere(name)) {
      yield* writeFolder(path.join(folder, name), (part) =>
        Effect.forEach(files, ([file, content]) => writeFile(path.join(part, file), content, false), { discard: true }))
    }
    kept.delete(name)
    kept.set(name, adapter)
    known.set(parameters, name)
    for (const old of [...kept.keys()].slice(0, -mostKept)) {
      kept.delete(old)
      yield* Effect.ignore(Effect.try(() => remove(old)))
    }
    return adapter
  })
  return { own, push }
})
export type Pushed = Effect.Success<ReturnType<typeof makePushed>>
