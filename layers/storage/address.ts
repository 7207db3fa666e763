/** `s3://bucket/prefix`, the only form of address there is so far. */
import { Effect } from "effect"
import { BadInput } from "../../src/system/errors.ts"

export interface StorageAddress {
  readonly bucket: string
  /** Without slashes at its ends; empty is the whole bucket. */
  readonly prefix: string
}

/** Whether a text means a store, not a folder. */
export const isAddress = (text: string): boolean => /^s3:\/\//i.test(text)

export const addressOf = ({ bucket, prefix }: StorageAddress): string => `s3://${bucket}${prefix === "" ? "" : `/${prefix}`}`

/** @param flag that named it, for the message */
export const parseAddress = (text: string, flag: string): Effect.Effect<StorageAddress, BadInput> => {
  const [, bucket, rest = ""] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/is.exec(text) ?? []
  const prefix = rest.replace(/^\/+|\/+$/g, "")
  const isPlain = prefix === "" || prefix.split("/").every((part) => /^[\w.=+@ -]+$/.test(part) && part !== "." && part !== "..")
  return bucket === undefined || !isPlain || Buffer.byteLength(prefix) > 512
    ? Effect.fail(new BadInput({ message: `${flag} is not an address of the form s3://bucket/prefix, with letters, digits and ._=+@- in the prefix.` }))
    : Effect.succeed({ bucket: bucket.toLowerCase(), prefix })
}
