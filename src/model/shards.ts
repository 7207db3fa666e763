/** Spreads a checkpoint's tensors over files, named as Hugging Face names them. */
import { byteLength, type Layout } from "../engine/weights/safetensors.ts"

export interface Shard {
  readonly file: string
  readonly tensors: ReadonlyArray<Layout>
}

/**
 * Fills the files one after the other, in the order given, up to `limit` bytes of tensors; a larger tensor gets its own
 * file. One file is model.safetensors, several are model-00001-of-00002.safetensors and so on.
 */
export const shardsOf = (tensors: ReadonlyArray<Layout>, limit: number): ReadonlyArray<Shard> => {
  const groups: Array<Array<Layout>> = [[]]
  let filled = 0
  for (const tensor of tensors) {
    const bytes = byteLength(tensor)
    if (filled > 0 && filled + bytes > limit) {
      groups.push([])
      filled = 0
    }
    groups.at(-1)!.push(tensor)
    filled += bytes
  }
  const number = (n: number) => String(n).padStart(5, "0")
  return groups.map((tensors, i) => ({
    file: groups.length === 1 ? "model.safetensors" : `model-${number(i + 1)}-of-${number(groups.length)}.safetensors`,
    tensors
  }))
}

/** Text of model.safetensors.index.json. */
export const shardIndex = (shards: ReadonlyArray<Shard>): string =>
  JSON.stringify({
    metadata: { total_size: shards.flatMap(({ tensors }) => tensors).reduce((n, tensor) => n + byteLength(tensor), 0) },
    weight_map: Object.fromEntries(shards.flatMap(({ file, tensors }) => tensors.map(({ name }) => [name, file])))
  }, null, 2) + "\n"
