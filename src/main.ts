#!/usr/bin/env node
/** Where the command line starts. A Node that is too old for the rest is told so before the rest is loaded. */
import { atLeast, packageJson } from "./system/installed.ts"

/** Node 22 says of node:sqlite that it is experimental there. Whoever runs a command cannot do anything about it. */
const { emitWarning } = process
process.emitWarning = (warning: string | Error, ...how: ReadonlyArray<unknown>) => {
  if (!String(warning).startsWith("SQLite is an experimental feature")) Reflect.apply(emitWarning, process, [warning, ...how])
}

const wanted = packageJson.engines.node
if (atLeast(process.version, wanted)) {
  await import("./commands/vequinox.ts")
} else {
  process.stderr.write(`vequinox needs Node ${wanted} and this is Node ${process.version}: install a newer one.\n`)
  process.exitCode = 1
}
