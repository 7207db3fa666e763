/**
 * One model in the Hugging Face cache, in the layout that huggingface_hub reads too:
 *
 *      models--owner--name/blobs/<SHA-256 or git's SHA-1>       the bytes, each file once
 *                          snapshots/<commit>/<file>            links to the blobs
 *                          refs/<branch or tag>                 the commit it was last seen at
 *
 * Everything here blocks for a moment and throws what the file system throws.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { makeFolders } from "../../system/folders.ts"
import { type HubModel, isCommit } from "./model-id.ts"

export interface ModelCache {
  readonly blob: (name: string) => string
  readonly snapshot: (commit: string) => string
  /** Undefined if the revision was never fetched. */
  readonly commitOf: (revision: string) => string | undefined
  readonly remember: (revision: string, commit: string) => void
  /** Shows the blob as a file of the snapshot. */
  readonly link: (commit: string, file: string, blob: string) => void
}

/** @param root the folder of all models */
export const modelCache = (root: string, { id }: HubModel): ModelCache => {
  const folder = path.join(root, `models--${id.replace("/", "--")}`)
  const blob = (name: string) => path.join(folder, "blobs", name)
  const snapshot = (commit: string) => path.join(folder, "snapshots", commit)
  const ref = (revision: string) => path.join(folder, "refs", revision)
  const commitOf = (revision: string): string | undefined => {
    if (isCommit(revision)) return revision
    if (!fs.statSync(ref(revision), { throwIfNoEntry: false })?.isFile()) return undefined
    const commit = fs.readFileSync(ref(revision), "utf8").trim()
    return isCommit(commit) ? commit : undefined
  }
  return {
    blob,
    snapshot,
    commitOf,
    remember: (revision, commit) => {
      if (commitOf(revision) === commit) return
      makeFolders(path.dirname(ref(revision)))
      const part = `${ref(revision)}.${process.pid}.tmp`
      fs.writeFileSync(part, commit)
      fs.renameSync(part, ref(revision))
    },
    link: (commit, file, name) => {
      const at = path.join(snapshot(commit), file)
      makeFolders(path.dirname(at))
      fs.rmSync(at, { force: true }) // perhaps a broken link
      try {
        fs.symlinkSync(path.relative(path.dirname(at), blob(name)), at)
      } catch (cause) {
        if (fs.existsSync(at)) return // another process was here
        if ((cause as NodeJS.ErrnoException).code === "ENOSPC") throw cause
        fs.linkSync(blob(name), at) // no symbolic links here, as on Windows without its developer mode
      }
    }
  }
}
