/** `vequinox`: every command. */
import { Command } from "effect/cli"
import { runProcess } from "../system/command-line.ts"
import { version } from "../system/installed.ts"

/** In the order of the help. */
const commands = {
  train: async () => (await import("./train.ts")).train,
  join: async () => (await import("./join.ts")).join,
  sample: async () => (await import("./sample.ts")).sample,
  render: async () => (await import("./render.ts")).render,
  judge: async () => (await import("./judge.ts")).judge,
  "judge-pairs": async () => (await import("./judge-pairs.ts")).judgePairs,
  calibrate: async () => (await import("./calibrate.ts")).calibrate,
  logprobs: async () => (await import("./logprobs.ts")).logprobs,
  merge: async () => (await import("./merge.ts")).merge,
  "learn-rubric": async () => (await import("./learn-rubric.ts")).learnRubricCommand,
  export: async () => (await import("./export.ts")).exportTo,
  push: async () => (await import("./push.ts")).push,
  eval: async () => (await import("./eval.ts")).evaluate,
  ablate: async () => (await import("./ablate.ts")).ablate,
  refine: async () => (await import("./refine.ts")).refine,
  "make-rows": async () => (await import("./make-rows.ts")).makeRows,
  sft: async () => (await import("./sft.ts")).sft,
  serve: async () => (await import("./serve.ts")).serve,
  studio: async () => (await import("./studio.ts")).studio,
  simulate: async () => (await import("./simulate.ts")).simulate,
  inspect: async () => (await import("./inspect.ts")).inspect,
  doctor: async () => (await import("./doctor.ts")).doctor
}

const isCommand = (word: string | undefined): word is keyof typeof commands => word !== undefined && Object.hasOwn(commands, word)

/** The one that the command line begins with, so that nobody waits for the others; else all. */
const [, , first] = process.argv
const asked = await Promise.all((isCommand(first) ? [commands[first]] : Object.values(commands)).map((load) => load()))

Command.make("vequinox").pipe(
  Command.withDescription("Teach a small language model to draw SVG by preference"),
  Command.withSubcommands(asked),
  Command.run({ version }),
  runProcess
)
