/**
 * Objects below one prefix of a store that many machines reach. Keys are relative to the prefix. What is written arrives
 * whole or not at all, and as it was sent: an implementation compares checksums and fails with `StorageFailed` where
 * they differ.
 */
import { Context, type Effect, Schema } from "effect"
import type * as fs from "node:fs/promises"

/** The store did not do what it was asked. The message is one sentence for people: what, where, what to do. */
export class StorageFailed extends Schema.TaggedError<StorageFailed>()("StorageFailed", {
  message: Schema.String,
  /** Whether the same may work later, without anybody doing something about it here. */
  passes: Schema.Boolean
}) {}

/** Whose an object is, and what it holds; stored beside it. */
export interface Label {
  /** The run's id. */
  readonly run: string
  /** Of the whole content, hex. */
  readonly sha256: string
}

/** A file that is open and stays so while it is sent. Its first `size` bytes are what is meant. */
export interface SentFile {
  readonly handle: fs.FileHandle
  /** Bytes. */
  readonly size: number
  /** Bytes of a part; the last one may be shorter. */
  readonly partSize: number
  /** SHA-256 of each part in order, base64; one for an empty file. */
  readonly parts: ReadonlyArray<string>
  /** Told of bytes that have arrived. */
  readonly arrived?: ((bytes: number) => void) | undefined
}

export class ObjectStore extends Context.Service<ObjectStore, {
  /** For people: `s3://bucket/prefix`. */
  readonly address: string
  /** Bytes of a part for a file of so many bytes. */
  readonly partSizeOf: (size: number) => number
  /** Undefined if there is no such object. @param most bytes; a longer object fails */
  readonly read: (key: string, most: number) => Effect.Effect<{ readonly bytes: Uint8Array; readonly version: string } | undefined, StorageFailed>
  /** Gives an object's bytes to `use` piece by piece, in order; nothing keeps them. */
  readonly stream: (key: string, use: (piece: Uint8Array) => Promise<void>) => Effect.Effect<void, StorageFailed>
  /**
   * Writes a small object. @param replaces the version that it replaces; undefined: there is none. Fails, for good, if that
   * is not so any more.
   * @returns its version
   */
  readonly write: (key: string, bytes: Uint8Array, replaces: string | undefined) => Effect.Effect<string, StorageFailed>
  /** Sends a file of any size. One that broke off in an earlier process goes on with the parts that arrived. */
  readonly upload: (key: string, file: SentFile, label: Label) => Effect.Effect<void, StorageFailed>
  /** Keys; all of them unless there are more than `enough`. */
  readonly list: (enough: number) => Effect.Effect<ReadonlySet<string>, StorageFailed>
  /** Undefined if it has none, or there is no such object. */
  readonly label: (key: string) => Effect.Effect<Label | undefined, StorageFailed>
  /** An object that is not there is no failure. */
  readonly remove: (key: string) => Effect.Effect<void, StorageFailed>
  /** Removes the parts of every upload that was begun and not completed. */
  readonly abandonUploads: Effect.Effect<void, StorageFailed>
}>()("vequinox/ObjectStore") {}
