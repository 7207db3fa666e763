/** Runs a command as this process: main.ts runs every command this way, and other scripts may run one. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Stdio } from "effect"
import { oneSentence } from "./errors.ts"
import { withHyphens } from "./flag-names.ts"
import { watchSignals } from "./interruption.ts"
import * as usageErrors from "./usage-errors.ts"

/**
 * An error ends it with one sentence and exit code 1; a signal ends it with that signal's code
 * (system/interruption.ts).
 */
export const runProcess = <E>(command: Effect.Effect<void, E, NodeServices.NodeServices>): void =>
  command.pipe(
    Effect.catch(oneSentence),
    Effect.updateService(Stdio.Stdio, (stdio) => ({ ...stdio, args: Effect.map(stdio.args, withHyphens) })),
    Effect.provide([usageErrors.layer, NodeServices.layer]),
    NodeRuntime.runMain({ disableErrorReporting: true, teardown: watchSignals() })
  )
