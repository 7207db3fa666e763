/**
 * A folder that this machine and the job both see: one machine's own disk, NFS, a volume that the job's pods mount. The job may see
 * it under another path. A round's files lie in `<folder>/<id>/`: `rows`, `start`, and `output`, which the job writes.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { explain } from "../../src/system/files.ts"
import { type JobFiles, JobRefused } from "./cluster.ts"

export interface SharedFolderOptions {
  /** Absolute, here. */
  readonly folder: string
  /** The same folder's path in the job. */
  readonly mount: string
  /** The policy's base: a path in the job, or a name on the Hub and its commit. */
  readonly model: { readonly name: string; readonly revision: string | undefined }
}

export const sharedFolder = ({ folder, model, mount }: SharedFolderOptions): JobFiles => {
  const inJob = (id: string, name: string) => path.posix.join(mount, id, name)
  return {
    folder: (id) => path.join(folder, id),
    where: (id) => path.join(folder, id, "output"),
    paths: (id) => ({ model: model.name, revision: model.revision, rows: inJob(id, "rows"), start: inJob(id, "start"), output: inJob(id, "output") }),
    wrap: (_, command) => command,
    put: () => Effect.void, // they are there
    get: (id, checkpoint, name, most) =>
      Effect.suspend(() => {
        const at = path.join(folder, id, "output", checkpoint, name)
        const refused = (what: string) => Effect.fail(new JobRefused({ message: `The job's result ${at} ${what}.`, status: 0 }))
        try {
          const fd = fs.openSync(at, "r")
          try {
            const { size } = fs.fstatSync(fd)
            if (size > most) return refused(`has ${size} bytes, more than the ${most} that it may have`)
            const bytes = new Uint8Array(size)
            return Effect.succeed(bytes.subarray(0, fs.readSync(fd, bytes)))
          } finally {
            fs.closeSync(fd)
          }
        } catch (cause) {
          return ["ENOENT", "ENOTDIR"].includes((cause as NodeJS.ErrnoException).code ?? "") ? Effect.undefined : refused(`cannot be read: ${explain(cause)}`)
        }
      })
  }
}
