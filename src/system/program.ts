/**
 * The program beside a module, for threads and child processes: a .ts file in a checkout, a .js file in the built
 * package.
 *
 * @param from the module's `import.meta.url`
 * @param name path from there, without its ending
 */
export const programBeside = (from: string, name: string): URL => new URL(`${name}.${from.endsWith(".ts") ? "ts" : "js"}`, from)
