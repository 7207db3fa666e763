/** Reads event files as TensorBoard does: checked records, in the order of the files' names, START forgets later steps. */
import * as fs from "node:fs"
import * as path from "node:path"
import { BinaryReader } from "@bufbuild/protobuf/wire"
import { maskedCrc } from "../../layers/tracker/tfevents.ts"

export interface Scalar {
  readonly step: number
  readonly tag: string
  /** A 32-bit float. */
  readonly value: number
}

/** The data of whole records; what a killed process left of its last one is ignored. */
const recordsOf = (bytes: Uint8Array): ReadonlyArray<Uint8Array> => {
  const records: Array<Uint8Array> = []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at + 12 <= bytes.length;) {
    const length = Number(view.getBigUint64(at, true))
    if (at + length + 16 > bytes.length) break
    const data = bytes.subarray(at + 12, at + 12 + length)
    if (view.getUint32(at + 8, true) !== maskedCrc(bytes.subarray(at, at + 8)) || view.getUint32(at + 12 + length, true) !== maskedCrc(data)) {
      throw new Error(`the record at byte ${at} is damaged`)
    }
    records.push(data)
    at += length + 16
  }
  return records
}

/** Calls `on` with each field's number and a reader that stands before its value. */
const fields = (bytes: Uint8Array, on: (field: number, reader: BinaryReader) => boolean): void => {
  const reader = new BinaryReader(bytes)
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag()
    if (!on(field, reader)) reader.skip(wire)
  }
}

const scalarOf = (bytes: Uint8Array): { readonly tag: string; readonly value: number | undefined } => {
  let tag = ""
  let value: number | undefined
  fields(bytes, (field, reader) => {
    if (field === 1) tag = reader.string()
    else if (field === 2) value = reader.float()
    else return false
    return true
  })
  return { tag, value }
}

/** What a reader of the folder sees, and `seen`: how often each step was written, forgotten ones too. */
export const readEvents = (folder: string): { readonly scalars: ReadonlyArray<Scalar>; readonly seen: ReadonlyArray<number> } => {
  let scalars: Array<Scalar> = []
  const seen: Array<number> = []
  for (const name of fs.readdirSync(folder).filter((name) => name.includes("tfevents")).sort()) {
    for (const event of recordsOf(new Uint8Array(fs.readFileSync(path.join(folder, name))))) {
      let step = 0
      let start = false
      const values: Array<Omit<Scalar, "step">> = []
      fields(event, (field, reader) => {
        if (field === 2) step = Number(reader.int64())
        else if (field === 7) start = reader.bytes().length > 0
        else if (field === 5) {
          fields(reader.bytes(), (_, summary) => {
            const { tag, value } = scalarOf(summary.bytes())
            if (value !== undefined) values.push({ tag, value })
            return true
          })
        } else return false
        return true
      })
      if (start) scalars = scalars.filter((scalar) => scalar.step < step)
      if (values.length > 0) seen.push(step)
      scalars.push(...values.map((value) => ({ step, ...value })))
    }
  }
  return { scalars, seen }
}
