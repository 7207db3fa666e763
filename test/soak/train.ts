/** `vequinox train` as it is, but for its sampler: SOAK_HOSTILE, in [0, 1], is the share of drawings that are hostile. */
import { Command } from "effect/cli"
import { runProcess } from "../../src/system/command-line.ts"
import { version } from "../../src/system/installed.ts"
import { trainCommand } from "../../src/commands/train.ts"
import { hostileSampler } from "./hostile-sampler.ts"

Command.make("soak").pipe(
  Command.withSubcommands([trainCommand({ sampler: hostileSampler(Number(process.env["SOAK_HOSTILE"])) })]),
  Command.run({ version }),
  runProcess
)
