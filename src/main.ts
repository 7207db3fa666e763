/** The command line: wiring only. */
import { Command } from "effect/cli"
import { runProcess } from "./system/command-line.ts"
import { version } from "./system/package.ts"
import { calibrate } from "./commands/calibrate.ts"
import { doctor } from "./commands/doctor.ts"
import { inspect } from "./commands/inspect.ts"
import { judge } from "./commands/judge.ts"
import { judgePairs } from "./commands/judge-pairs.ts"
import { logprobs } from "./commands/logprobs.ts"
import { merge } from "./commands/merge.ts"
import { render } from "./commands/render.ts"
import { sample } from "./commands/sample.ts"
import { sft } from "./commands/sft.ts"
import { train } from "./commands/train.ts"

Command.make("vequinox").pipe(
  Command.withDescription("Teach a small language model to draw SVG by preference"),
  Command.withSubcommands([train, sample, render, judge, judgePairs, calibrate, logprobs, merge, sft, inspect, doctor]),
  Command.run({ version }),
  runProcess
)
