/** The command line: wiring only. */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { sft } from "./commands/sft.ts"

Command.make("vequinox").pipe(
  Command.withSubcommands([sft]),
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
