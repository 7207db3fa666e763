/** Names of flags: the short ones that people type, and TRL's, which also work. */

/** TRL's name by ours, if the two differ. Ours is shown first. */
export const trlNames = {
  model: "model-name-or-path",
  revision: "model-revision",
  out: "output-dir",
  steps: "max-steps",
  k: "num-generations",
  "batch-size": "per-device-train-batch-size"
} as const

/** `--num_generations=4` means `--num-generations=4`: flags are written with hyphens, TRL's settings with underscores. */
export const withHyphens = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const end = args.indexOf("--")
  return args.map((arg, n) =>
    end >= 0 && n > end ? arg : arg.replace(/^--[a-z][a-z0-9_-]*(?==|$)/i, (name) => name.replaceAll("_", "-"))
  )
}
