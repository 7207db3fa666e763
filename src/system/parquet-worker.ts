/** The thread of parquet.ts. */
import { parentPort, workerData } from "node:worker_threads"
import * as zlib from "node:zlib"
import { asyncBufferFromFile, type Compressors, parquetMetadataAsync, parquetReadObjects, parquetSchema, snappyUncompress } from "hyparquet"

export interface Asked {
  readonly file: string
  readonly columns: Readonly<Record<string, ReadonlyArray<string>>>
}

export type Told =
  | { readonly refused: string }
  | {
    readonly rows: number
    /** All columns of the file. */
    readonly names: ReadonlyArray<string>
    readonly texts: Readonly<Record<string, ReadonlyArray<string | null>>>
  }

const [mostRows, mostBytes] = [1e6, 2 ** 28]

/** Each page of a file says how large it becomes, and may say anything. */
const limited = (): Compressors => {
  let left = 4 * mostBytes
  const unpacking = (unpack: (input: Uint8Array, bytes: number) => Uint8Array) => (input: Uint8Array, bytes: number): Uint8Array => {
    if (!(bytes >= 0)) throw new Error("a page has fewer bytes than none")
    left -= bytes
    if (left < 0) throw new Error("it unpacks to more than 1 GB")
    return bytes === 0 ? new Uint8Array() : unpack(input, bytes)
  }
  return {
    SNAPPY: unpacking((input, bytes) => {
      const output = new Uint8Array(bytes)
      snappyUncompress(input, output)
      return output
    }),
    GZIP: unpacking((input, maxOutputLength) => zlib.gunzipSync(input, { maxOutputLength })),
    ZSTD: unpacking((input, maxOutputLength) => zlib.zstdDecompressSync(input, { maxOutputLength })),
    BROTLI: unpacking((input, maxOutputLength) => zlib.brotliDecompressSync(input, { maxOutputLength }))
  }
}

const textOf = (value: unknown): string | null =>
  typeof value === "string" ? value : typeof value === "number" || typeof value === "bigint" ? String(value) : null

const read = async ({ columns, file }: Asked): Promise<Told> => {
  const buffer = await asyncBufferFromFile(file)
  const metadata = await parquetMetadataAsync(buffer)
  const rows = Number(metadata.num_rows)
  if (!(rows <= mostRows)) return { refused: "has more than a million rows: read a part of it" }
  const fields = parquetSchema(metadata).children
  const names = fields.map(({ element }) => element.name)
  const plain = new Set(fields.flatMap(({ children, element }) => (children.length === 0 && element.repetition_type !== "REPEATED" ? [element.name] : [])))
  const found = Object.entries(columns).flatMap(([column, own]) => own.filter((name) => plain.has(name)).slice(0, 1).map((name) => [column, name] as const))
  const objects = found.length === 0 ? [] : await parquetReadObjects({ file: buffer, metadata, columns: [...new Set(found.map(([, name]) => name))], compressors: limited() })
  let bytes = 0
  for (const object of objects) for (const [, name] of found) bytes += textOf(object[name])?.length ?? 0
  if (bytes > mostBytes) return { refused: "has more than 256 MB of texts: read a part of it" }
  return { rows: objects.length, names, texts: Object.fromEntries(found.map(([column, name]) => [column, objects.map((object) => textOf(object[name]))])) }
}

parentPort!.postMessage(await read(workerData as Asked).catch((cause: unknown): Told => ({ refused: `cannot be read as Parquet: ${cause instanceof Error ? cause.message : String(cause)}` })))
