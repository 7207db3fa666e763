/** `vequinox doctor`: finds out what this machine can do by trying it. */
import { Console, Effect, Schema } from "effect"
import { Command } from "effect/cli"
import { examine } from "../wiring/machine/examine-machine.ts"
import * as Flags from "../wiring/flags.ts"
import { type Machine, machinePage, obstacle } from "../wiring/machine/machine.ts"

/** The main job cannot run on this machine; the message says what to do. */
export class NotReady extends Schema.TaggedError<NotReady>()("NotReady", { message: Schema.String }) {}

/** Prints what was found; fails with `NotReady` when the main job cannot run. */
export const tell = Effect.fnUntraced(function*(machine: Machine, json: boolean) {
  const problem = obstacle(machine)
  yield* Console.log(json ? JSON.stringify({ ready: problem === undefined, ...machine }) : machinePage(machine))
  if (problem !== undefined) return yield* new NotReady({ message: problem })
  if (!json) yield* Console.log("\nReady: `vequinox train` can run here.")
})

export const doctor = Command.make("doctor", { json: Flags.json }, Effect.fnUntraced(function*({ json }) {
  yield* tell(yield* examine, json)
})).pipe(Command.withDescription("What this machine can do: devices, memory, renderer, models that fit"))
