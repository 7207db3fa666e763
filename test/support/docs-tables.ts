/**
 * Tables of docs/ that are made from the code's own: the registry of judges, the table of objectives.
 *
 *     node test/support/docs-tables.ts   # writes them
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { objectives } from "../../src/objectives/objectives.ts"
import { judges } from "../../src/wiring/judges/judges.ts"
import { objectiveSettings } from "../../src/wiring/settings.ts"

export interface Table {
  readonly file: string
  /** Its first two lines; the rows follow. */
  readonly head: string
  readonly rows: ReadonlyArray<string>
}

const learnsFrom = { preferences: "pairs", advantages: "single drawings", completions: "given completions" } as const

export const tables = {
  judges: {
    file: "docs/judges.md",
    head: ["| `--judge` | decides by |", "|---|---|"].join("\n"),
    rows: Object.entries(judges).map(([name, { says }]) => `| \`${name}\` | ${says} |`)
  },
  objectives: {
    file: "docs/objectives.md",
    head: ["| `--loss-type` | what | learns from | reads | reference | source |", "|---|---|---|---|---|---|"].join("\n"),
    rows: Object.entries(objectives).map(([name, { learnsFrom: from, reads, reference, source, title }]) =>
      `| \`${name}\` | ${title} | ${learnsFrom[from]} | ${reads.map((own) => `\`${objectiveSettings[own]}\``).join(", ") || "nothing"} | ` +
      `${reference({ beta: 0 }) ? "yes" : reference({ beta: 1 }) ? "with `beta` over 0" : "no"} | ${source.replaceAll("|", "\\|")} |`)
  }
} as const satisfies Readonly<Record<string, Table>>

const pathOf = ({ file }: Table): string => path.resolve(import.meta.dirname, "../..", file)

export const tableOf = ({ head, rows }: Table): string => [head, ...rows].join("\n")

/** The table as its file has it: its head and the lines under it, empty where the head is not there. */
export const tableIn = (table: Table, text: string = fs.readFileSync(pathOf(table), "utf8")): string => {
  const at = text.indexOf(table.head)
  return at < 0 ? "" : text.slice(at).split("\n\n")[0]!.trimEnd()
}

if (import.meta.main) {
  for (const table of Object.values(tables)) {
    const text = fs.readFileSync(pathOf(table), "utf8")
    fs.writeFileSync(pathOf(table), text.replace(tableIn(table, text), () => tableOf(table)))
  }
}
