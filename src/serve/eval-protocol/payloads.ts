/** What a trace has of a drawing's tokens, in the formats of Eval Protocol's `tracing` package. */
import { zstdCompressSync } from "node:zlib"
import type { Payloads } from "./api.ts"

const bytesOfHead = 24
const bytesOfEntry = 8

/** lp/v1: magic, version, flags, reserved, count, bytes of the entries, reserved; then token (int32) and log p (float32), little-endian. */
const logprobs = (ids: ReadonlyArray<number>, logps: ReadonlyArray<number>): Buffer => {
  const raw = Buffer.alloc(bytesOfHead + bytesOfEntry * ids.length)
  raw.write("LP01", 0, "latin1")
  raw.writeUInt8(1, 4)
  raw.writeUInt32LE(ids.length, 8)
  raw.writeUInt32LE(bytesOfEntry * ids.length, 12)
  ids.forEach((id, i) => {
    raw.writeInt32LE(id, bytesOfHead + bytesOfEntry * i)
    raw.writeFloatLE(logps[i]!, bytesOfHead + bytesOfEntry * i + 4)
  })
  return raw
}

const payload = (format: string, raw: Buffer) => ({ manifest: { format }, data: zstdCompressSync(raw).toString("base64") })

/**
 * @param prompt tokens that the drawing's continue
 * @param ids tokens drawn, each with its log p under the model itself in nats; none: no such payload
 */
export const payloadsOf = (prompt: ReadonlyArray<number>, ids: ReadonlyArray<number>, logps: ReadonlyArray<number>): typeof Payloads.Type => ({
  ...(ids.length === 0 ? {} : { logprobs: payload("lp/v1", logprobs(ids, logps)) }),
  prompt_token_ids: payload("pti/v1", Buffer.from(JSON.stringify(prompt)))
})
