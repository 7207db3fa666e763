/** `vequinox`: every command. */
import { Command } from "effect/cli"
import { runProcess } from "../system/command-line.ts"
import { version } from "../system/installed.ts"
import { calibrate } from "./calibrate.ts"
import { doctor } from "./doctor.ts"
import { inspect } from "./inspect.ts"
import { judge } from "./judge.ts"
import { judgePairs } from "./judge-pairs.ts"
import { logprobs } from "./logprobs.ts"
import { merge } from "./merge.ts"
import { render } from "./render.ts"
import { sample } from "./sample.ts"
import { sft } from "./sft.ts"
import { train } from "./train.ts"

Command.make("vequinox").pipe(
  Command.withDescription("Teach a small language model to draw SVG by preference"),
  Command.withSubcommands([train, sample, render, judge, judgePairs, calibrate, logprobs, merge, sft, inspect, doctor]),
  Command.run({ version }),
  runProcess
)
