#!/usr/bin/env node
/** Where the command line starts. On a Node that is too old it says so, before it loads anything else. */
import * as module from "node:module"
import * as path from "node:path"
import { atLeast, packageJson } from "./system/installed.ts"

/** Node 22 warns that node:sqlite is experimental. The person who runs a command can do nothing about it. */
const { emitWarning } = process
process.emitWarning = (warning: string | Error, ...how: ReadonlyArray<unknown>) => {
  if (!String(warning).startsWith("SQLite is an experimental feature")) Reflect.apply(emitWarning, process, [warning, ...how])
}

const wanted = packageJson.engines.node
if (atLeast(process.version, wanted)) {
  // Compiled code is kept in the temporary folder: a start is a third faster. The variable is for threads and children.
  module.enableCompileCache?.()
  const kept = module.getCompileCacheDir?.()
  if (kept !== undefined) process.env["NODE_COMPILE_CACHE"] ??= path.dirname(kept)
  await import("./commands/vequinox.ts")
} else {
  process.stderr.write(`vequinox needs Node ${wanted} and this is Node ${process.version}: install a newer one.\n`)
  process.exitCode = 1
}
