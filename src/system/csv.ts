/** Reads CSV files (RFC 4180) strictly: a row that cannot be right is reported, never repaired by a guess. */
import { CsvError, parse } from "csv-parse/sync"
import { Effect } from "effect"
import { FileProblem } from "./files.ts"

const problems: Readonly<Record<string, string>> = {
  INVALID_OPENING_QUOTE: "a quote stands in a field that does not begin with one: put the whole field in quotes and double those in it",
  CSV_INVALID_CLOSING_QUOTE: "text follows a quote that ends a field: double the quotes in a quoted field",
  CSV_QUOTE_NOT_CLOSED: "a field begins with a quote that is never closed",
  CSV_RECORD_INCONSISTENT_FIELDS_LENGTH: "the row has more or fewer fields than the first one: put a field with commas in quotes"
}

/**
 * The rows in order, the header first; all have as many fields as the header. Empty lines are left out. A byte order
 * mark, every kind of line end, and line ends in quotes are understood. A stray quote or a row with another number of
 * fields is a `FileProblem` with the file and the line.
 *
 * @param file for the message
 */
export const csvRows = (file: string, text: string): Effect.Effect<ReadonlyArray<ReadonlyArray<string>>, FileProblem> =>
  Effect.suspend(() => {
    let read = 0 // lines of the complete rows
    try {
      return Effect.succeed(parse(text, {
        bom: true,
        record_delimiter: ["\r\n", "\n", "\r"],
        skip_empty_lines: true,
        on_record: (row: Array<string>, { lines }) => {
          read = lines
          return row
        }
      }))
    } catch (cause) {
      const error = cause as CsvError
      // A quote that is not closed is found only at the end of the file; it belongs to the row after the last complete
      // one.
      const line = error.code === "CSV_QUOTE_NOT_CLOSED" ? read + 1 : Number(error["lines"])
      return Effect.fail(new FileProblem({ message: `${file}, line ${line}: ${problems[error.code] ?? error.message}.` }))
    }
  })
