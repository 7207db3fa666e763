/** `--optimizer job`: the cluster, the files' way there and back, and the secrets, as the settings and the environment say. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Redacted } from "effect"
import type { JobCluster, JobFiles } from "../../../layers/job/cluster.ts"
import { hubRepo } from "../../../layers/job/hub-repo.ts"
import { huggingFaceJobs } from "../../../layers/job/hugging-face.ts"
import { kubernetesJobs } from "../../../layers/job/kubernetes.ts"
import { rayJobs } from "../../../layers/job/ray.ts"
import { sharedFolder } from "../../../layers/job/shared-folder.ts"
import * as optimizerJobs from "../../../layers/optimizer/job.ts"
import { companionFiles, weightFiles, weightsHash } from "../../model/model-folder.ts"
import { pushToken } from "../../model/hub/push-token.ts"
import { hubSettings } from "../../model/hub/settings.ts"
import { BadInput } from "../../system/errors.ts"
import { explain, FileProblem } from "../../system/files.ts"
import { makeFolders } from "../../system/folders.ts"
import { makeProgress } from "../../system/progress.ts"
import { mayHoldKey, plainAddress, serverUrl } from "../../system/server-address.ts"
import { optimizerOf } from "./optimizer-settings.ts"
import type { StageParts } from "./stages.ts"

/** Its token, from the environment, which goes over plain HTTP to this machine only. */
const serverOf = Effect.fnUntraced(function*(given: string, usual: string, variable: string) {
  const url = serverUrl(given === "" ? usual : given)
  if (url === undefined || mayHoldKey(url)) {
    return yield* new BadInput({ message: `--job-url is not an address such as ${usual}: a token belongs in ${variable}.` })
  }
  const said = (process.env[variable] ?? "").trim()
  if (!/^[\x21-\x7e]*$/.test(said)) return yield* new BadInput({ message: `${variable} contains characters that no token has: set it again.` })
  if (said !== "" && url.protocol === "http:" && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname)) {
    return yield* new BadInput({ message: `--job-url is ${url.origin}, where everybody on the way could read ${variable}: use https.` })
  }
  return { url: plainAddress(url), token: said === "" ? undefined : Redacted.make(said) }
})

/** Copies the policy's base to where the job sees it, once. */
const placeModel = Effect.fnUntraced(function*(from: string, to: string) {
  const { files } = yield* weightFiles(fs.realpathSync(from))
  yield* Effect.try({
    try: () => {
      makeFolders(to)
      for (const name of ["config.json", "model.safetensors.index.json", ...companionFiles, ...files]) {
        const [at, there] = [path.join(from, name), path.join(to, name)]
        if (!fs.existsSync(at) || fs.existsSync(there)) continue
        fs.copyFileSync(at, `${there}.part`)
        fs.renameSync(`${there}.part`, there)
      }
    },
    catch: (cause) => new FileProblem({ message: `${to} cannot be written: ${explain(cause)}.` })
  })
})

const onHub = Effect.fnUntraced(function*({ base, run, settings: c }: StageParts) {
  if (base.revision === null) {
    return yield* new BadInput({ message: "Hugging Face Jobs see no folder of this machine: name a policy of the Hub, owner/name, with --model (vequinox push puts one there)." })
  }
  const settings = yield* hubSettings
  const server = { url: settings.endpoint, token: yield* pushToken(settings) }
  const cluster = huggingFaceJobs({
    ...server,
    namespace: c.job_namespace === "" ? c.job_repo.split("/")[0]! : c.job_namespace,
    flavor: c.job_flavor,
    image: c.job_image === "" ? "huggingface/trl" : c.job_image,
    timeout: Math.ceil(3600 * c.job_timeout)
  })
  return { cluster, files: hubRepo({ ...server, repo: c.job_repo, folder: run.file("jobs"), model: { name: base.name, revision: base.revision } }) }
})

const onFolder = Effect.fnUntraced(function*({ base, checkpoint, run, settings: c }: StageParts) {
  const folder = c.job_folder === "" ? run.file("jobs") : path.resolve(c.job_folder)
  const mount = c.job_mount === "" ? folder : c.job_mount
  const own = base.revision === null && c.job_folder !== "" ? `base-${weightsHash(checkpoint).slice(0, 10)}` : undefined
  if (own !== undefined) yield* placeModel(checkpoint.folder, path.join(folder, own))
  const model = base.revision !== null
    ? { name: base.name, revision: base.revision }
    : { name: own === undefined ? checkpoint.folder : path.posix.join(mount, own), revision: undefined }
  const cluster = c.job_on === "ray"
    ? rayJobs({ ...yield* serverOf(c.job_url, "http://127.0.0.1:8265", "RAY_AUTH_TOKEN"), gpus: c.job_gpus })
    : kubernetesJobs({
      ...yield* serverOf(c.job_url, "http://127.0.0.1:8001", "KUBERNETES_TOKEN"),
      namespace: c.job_namespace === "" ? "default" : c.job_namespace,
      runtime: c.job_runtime,
      image: c.job_image,
      gpus: c.job_gpus
    })
  return { cluster, files: sharedFolder({ folder, mount, model }) }
})

/** Fails before anything is asked of the cluster if the settings or the environment make no sense. */
export const optimizerJob = Effect.fnUntraced(function*(parts: StageParts) {
  const { checkpoint, id, lora, settings: c, state, style, tokenizer } = parts
  const { cluster, files }: { readonly cluster: JobCluster; readonly files: JobFiles } = yield* c.job_on === "hf" ? onHub(parts) : onFolder(parts)
  const { note } = yield* makeProgress(style, "update", c.job_steps)
  const { objective, options } = optimizerOf(c)
  return optimizerJobs.layer({
    checkpoint,
    tokenizer,
    lora: lora!, // 0 is refused with the settings
    initial: state,
    run: id,
    cluster,
    files,
    program: [c.job_command],
    objective,
    options: { ...options, totalSteps: c.max_steps * c.job_steps },
    seed: c.seed,
    steps: c.job_steps,
    batchSize: c.job_batch_size,
    more: c.job_args.split(/\s+/).filter((word) => word !== ""),
    tell: note,
    timeout: c.job_timeout,
    onInterrupt: c.job_on_interrupt
  })
})
