/**
 * README's table of judges, from the registry.
 *
 *     node test/support/judges-table.ts   # writes it
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { judges } from "../../src/wiring/judges/judges.ts"

export const readme = path.resolve(import.meta.dirname, "../../README.md")
const head = ["| `--judge` | decides by |", "|---|---|"].join("\n")

export const table = (): string => [head, ...Object.entries(judges).map(([name, { says }]) => `| \`${name}\` | ${says} |`)].join("\n")

/** The table as a text has it: its head and the rows under it. */
export const tableIn = (text: string): string => {
  const at = text.indexOf(head)
  return at < 0 ? "" : text.slice(at).split("\n\n")[0]!
}

if (import.meta.main) {
  const text = fs.readFileSync(readme, "utf8")
  fs.writeFileSync(readme, text.replace(tableIn(text), () => table()))
}
