/** Settings of `--optimizer job`: rounds of `trl dpo` on a cluster (layers/optimizer/job.ts). */
import { Schema } from "effect"
import { trlLosses } from "../../layers/job/trl.ts"
import { lossNames } from "../objectives/objectives.ts"
import { above, int, orElse } from "../system/ranges.ts"
import type { TrainConfig } from "./settings.ts"

export const clusters = ["ray", "kubernetes", "hf"] as const

export const jobSettings = {
  job_on: [orElse(Schema.Literals(clusters), "ray"), "job: what runs a round: Ray Jobs, Kubernetes with Kubeflow Trainer v2, or Hugging Face Jobs"],
  job_url: [
    orElse(Schema.String, ""),
    "job: address of Ray's dashboard or of Kubernetes' API server; empty takes http://127.0.0.1:8265, and for kubernetes http://127.0.0.1:8001 (kubectl proxy); hf takes HF_ENDPOINT"
  ],
  job_steps: [orElse(int(1, 1e6), 10), "job: updates of one round, TRL's max_steps; a step is a round"],
  job_batch_size: [orElse(int(1, 1e6), 8), "job: pairs of one update, TRL's per_device_train_batch_size"],
  job_folder: [orElse(Schema.String, ""), "job: folder that this machine and the job both see; empty takes jobs/ in the run folder, for a cluster on this machine"],
  job_mount: [orElse(Schema.String, ""), "job: that folder's path in the job; empty takes the same path"],
  job_repo: [orElse(Schema.String, ""), "job, hf: private model repository of the Hub, owner/name, through which rows and adapters go; it is made if it is not there"],
  job_namespace: [orElse(Schema.String, ""), "job: Kubernetes' namespace, by default default; hf: user or organisation that pays, by default the repository's owner"],
  job_runtime: [orElse(Schema.NonEmptyString, "torch-distributed"), "job, kubernetes: the ClusterTrainingRuntime; it must mount the shared folder"],
  job_image: [orElse(Schema.String, ""), "job, kubernetes: image in place of the runtime's; hf: image, by default huggingface/trl"],
  job_flavor: [orElse(Schema.NonEmptyString, "a10g-small"), "job, hf: hardware"],
  job_gpus: [orElse(int(0, 1024), 0), "job, ray and kubernetes: GPUs that a round asks for"],
  job_command: [orElse(Schema.NonEmptyString, "trl"), "job: TRL's program in the job, a name or a path"],
  job_args: [orElse(Schema.String, ""), "job: more arguments of trl dpo, which overrule ours: --bf16 true"],
  job_timeout: [orElse(above(0, 8760), 24), "job: longest that a round may wait and run, hours"],
  job_on_interrupt: [orElse(Schema.Literals(["leave", "stop"]), "leave"), "job: what Ctrl-C does with a running round; one that is left is joined by --resume"]
} as const

type JobSetting = keyof typeof jobSettings

/** Settings that no number of the run depends on. */
export const freeJobSettings: ReadonlyArray<JobSetting> = [
  "job_url", "job_namespace", "job_runtime", "job_image", "job_flavor", "job_gpus", "job_command", "job_timeout", "job_on_interrupt"
]

/** Settings that trl dpo has no word for, and the only values that it can be given. */
const untold = {
  pair_weighting: "none",
  labels: "hard",
  ties: "drop",
  invalid_pair_weight: 1,
  stale_weight: 1,
  rejected_floor: 0,
  sync_ref_model: false,
  steps_per_generation: 1,
  num_iterations: 1,
  adapter: ""
} as const satisfies Partial<TrainConfig>

/** Why these settings cannot be, a sentence, or undefined. @param given those that a person gave */
export const jobProblem = (c: TrainConfig, given: Readonly<Record<string, unknown>>): string | undefined => {
  const idle = Object.keys(jobSettings).find((name) => name in given)
  if (c.optimizer !== "job") return idle === undefined ? undefined : `${idle} says how jobs are run, and none are: give --optimizer job, or leave it out.`
  const told = (Object.keys(untold) as Array<keyof typeof untold>).find((name) => c[name] !== untold[name])
  if (told !== undefined) return `${told} is ${JSON.stringify(c[told])}, which trl dpo cannot be told: with --optimizer job it is ${JSON.stringify(untold[told])}.`
  const loss = lossNames(c.loss_type).find((name) => !trlLosses.has(name))
  if (loss !== undefined) return `loss_type ${loss} is none of trl dpo's: with --optimizer job it is one of ${[...trlLosses].join(", ")}.`
  if (c.label_smoothing > 0 && !lossNames(c.loss_type).every((name) => name === "robust" || name === "exo_pair")) {
    return "label_smoothing means something to trl dpo with loss_type robust and exo_pair alone: leave it out."
  }
  if (c.lora_r === 0) return "trl dpo hands back an adapter: with --optimizer job, give --lora-r over 0."
  if (c.job_on === "hf" && !/^[\w.-]+\/[\w.-]+$/.test(c.job_repo)) return "Hugging Face Jobs share no folder with this machine: name a repository of the Hub, owner/name, with --job-repo."
  if (c.job_on === "kubernetes" && c.job_folder === "") return "Pods see no folder of this machine: give with --job-folder one that the runtime mounts, and its path there with --job-mount."
  return undefined
}
