/**
 * The program beside a module, for threads and child processes: a .ts file in a checkout, a .js file in the built
 * package.
 *
 * @param from the module's `import.meta.url`
 * @param name path from there, without its ending
 */
export const programBeside = (from: string, name: string): URL => new URL(`${name}.${from.endsWith(".ts") ? "ts" : "js"}`, from)

/** Where Node keeps compiled code, as the only variable of a child process that gets no other: it starts in half the time. */
export const compiledCode = (): Readonly<Record<string, string>> => {
  const folder = process.env["NODE_COMPILE_CACHE"]
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: folder }
}
