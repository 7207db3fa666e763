/**
 * A repository of the Hub, for jobs that share no folder with this machine. A round's rows and adapter are committed under
 * `rounds/<id>/`; the job downloads them, and commits its checkpoint under `rounds/<id>/output` when it is done, whole or not at all.
 * The base is a model of the Hub. Both commands are `hf`'s, which comes with huggingface_hub and so with TRL.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { push, type PushedFile } from "../../src/model/hub/push.ts"
import { type JobFiles, JobRefused } from "./cluster.ts"
import { asking, orNone, type Server } from "./http.ts"
import { quoted } from "./ray.ts"

export interface HubRepoOptions extends Omit<Server, "name" | "tokenName"> {
  /** owner/name of a model repository; it is made, private, if it is not there. */
  readonly repo: string
  /** Where rounds are made on this machine, absolute. */
  readonly folder: string
  readonly model: { readonly name: string; readonly revision: string | undefined }
}

/** In the job. */
const root = "/tmp/vequinox"

/** A round's files, as `put` commits them. */
const filesIn = (folder: string, below: string): ReadonlyArray<PushedFile> =>
  fs.readdirSync(path.join(folder, below)).sort().map((name) => {
    const file = path.join(folder, below, name)
    return { path: `${below}/${name}`, content: { file, size: fs.statSync(file).size } }
  })

export const hubRepo = ({ folder, model, repo, ...server }: HubRepoOptions): JobFiles => {
  const { bytes } = asking({ ...server, name: new URL(server.url).host, tokenName: "HF_TOKEN" })
  const inJob = (id: string, name: string) => `${root}/rounds/${id}/${name}`
  return {
    folder: (id) => path.join(folder, id),
    where: (id) => `${server.url}/${repo}/tree/main/rounds/${id}/output`,
    paths: (id) => ({ model: model.name, revision: model.revision, rows: inJob(id, "rows"), start: inJob(id, "start"), output: inJob(id, "output") }),
    wrap: (id, command, checkpoint) => ["sh", "-c", [
      `hf download ${quoted(repo)} --include ${quoted(`rounds/${id}/rows/*`)} --include ${quoted(`rounds/${id}/start/*`)} --local-dir ${root}`,
      command.map(quoted).join(" "),
      `hf upload ${quoted(repo)} ${inJob(id, `output/${checkpoint}`)} rounds/${id}/output/${checkpoint} --include 'adapter_*' --include trainer_state.json --commit-message ${quoted(`${id}: trained`)}`
    ].join(" && ")],
    put: (id) =>
      Effect.suspend(() =>
        push({
          repo: { type: "model", name: repo },
          visibility: "private",
          title: `${id}: rows and adapter`,
          files: [...filesIn(path.join(folder, id), "rows"), ...filesIn(path.join(folder, id), "start")].map((file) => ({ ...file, path: `rounds/${id}/${file.path}` })),
          update: true,
          style: "none"
        })
      ).pipe(Effect.asVoid, Effect.catchTags({
        ModelUnavailable: ({ message }) => Effect.fail(new JobRefused({ message, status: 0 })),
        PushRefused: ({ message }) => Effect.fail(new JobRefused({ message, status: 0 }))
      })),
    get: (id, checkpoint, name, most) => orNone(bytes({ path: `/${repo}/resolve/main/rounds/${id}/output/${checkpoint}/${name}`, most, elsewhere: true }))
  }
}
