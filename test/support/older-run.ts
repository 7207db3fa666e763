/** A run.db as an older version would have left it: its own tables, made by its own statements, with the rows of one that is there. */
import { DatabaseSync, type SQLInputValue } from "node:sqlite"
import { migrations } from "../../layers/store/run-database.ts"
import { listIn } from "../../layers/store/number-blobs.ts"

/** What each table has, in the order of its rows; `sqlite_schema` among them. Lists of numbers are JSON. */
export const tablesIn = (file: string): Readonly<Record<string, ReadonlyArray<Record<string, unknown>>>> => {
  const db = new DatabaseSync(file, { readOnly: true })
  try {
    const names = db.prepare("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY name").all().map(({ name }) => String(name))
    const rows = (table: string) => db.prepare(`SELECT * FROM ${table}`).all().map((row) =>
      Object.fromEntries(Object.entries(row).map(([name, value]) => [name, value instanceof Uint8Array ? JSON.stringify(listIn(value)) : value])))
    return Object.fromEntries([...names.map((name) => [name, rows(name)] as const), ["sqlite_schema", db.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2").all().map((row) => ({ ...row }))]])
  } finally {
    db.close()
  }
}

/** @param to where it is made; must not be there */
export const asOlder = (from: string, to: string, version: number): void => {
  const known = tablesIn(from)
  const db = new DatabaseSync(to)
  db.exec("PRAGMA journal_mode = WAL; BEGIN")
  for (const tables of migrations.slice(0, version)) db.exec(tables)
  for (const { name } of db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'meta'").all()) {
    const columns = db.prepare("SELECT name FROM pragma_table_info(?)").all(name!).map((column) => String(column["name"]))
    const insert = db.prepare(`INSERT INTO ${name} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`)
    for (const row of known[String(name)] ?? []) insert.run(...columns.map((column) => row[column] as SQLInputValue))
  }
  for (const { key, value } of known["meta"] ?? []) db.prepare("INSERT OR REPLACE INTO meta VALUES (?, ?)").run(String(key), key === "schema_version" ? String(version) : String(value))
  db.exec("COMMIT")
  db.close()
}
