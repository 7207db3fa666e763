/**
 * Opens the files that `torch.save` writes since PyTorch 1.6: a zip whose `data.pkl` is a pickle of names, shapes and
 * strides and whose `data/N` hold the numbers, uncompressed. Nothing in the file is executed, and the numbers stay in
 * place: onnxruntime maps them at their offsets, as it does with a .safetensors file.
 *
 * Read: dicts of dense, contiguous tensors on any device. Refused: other Python objects, TorchScript, big-endian files.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { CheckpointInvalid, type WeightFiles } from "../model-folder.ts"
import { broken, FormatError } from "./byte-reader.ts"
import { Global, unpickle } from "./pickle.ts"
import type { TensorEntry } from "../../engine/weights/safetensors.ts"
import { sizeOf } from "../../engine/weights/tensor.ts"
import { openZip, type Place, type Read } from "./zip.ts"

/** safetensors' name of the dtype, and bytes of an element. */
const storages: Readonly<Record<string, readonly [dtype: string, width: number]>> = {
  DoubleStorage: ["F64", 8],
  FloatStorage: ["F32", 4],
  HalfStorage: ["F16", 2],
  BFloat16Storage: ["BF16", 2],
  LongStorage: ["I64", 8],
  IntStorage: ["I32", 4],
  ShortStorage: ["I16", 2],
  CharStorage: ["I8", 1],
  ByteStorage: ["U8", 1],
  BoolStorage: ["BOOL", 1]
}

class Storage {
  readonly kind: string
  readonly place: Place
  constructor(kind: string, place: Place) {
    this.kind = kind
    this.place = place
  }
}

class TorchTensor {
  readonly storage: Storage
  /** Elements from the start of the storage. */
  readonly offset: number
  readonly shape: ReadonlyArray<number>
  /** Elements. */
  readonly stride: ReadonlyArray<number>
  constructor(storage: Storage, offset: number, shape: ReadonlyArray<number>, stride: ReadonlyArray<number>) {
    this.storage = storage
    this.offset = offset
    this.shape = shape
    this.stride = stride
  }
}

const isCount = (x: unknown): x is number => typeof x === "number" && Number.isSafeInteger(x) && x >= 0
const isCounts = (x: unknown): x is ReadonlyArray<number> => Array.isArray(x) && x.every(isCount)

const rebuild = ([storage, offset, shape, stride]: ReadonlyArray<unknown>): TorchTensor =>
  storage instanceof Storage && isCount(offset) && isCounts(shape) && isCounts(stride) && shape.length === stride.length
    ? new TorchTensor(storage, offset, shape, stride)
    : broken("a tensor in it has no storage, offset, shape or strides")

const asDict = (args: ReadonlyArray<unknown>): Map<unknown, unknown> =>
  args.length === 0 ? new Map() : broken("its pickle makes a dict from arguments")

/** The names that the pickle of a state dict uses, and no others. */
const globals: ReadonlyMap<string, Global> = new Map(
  [
    new Global("collections OrderedDict", asDict),
    new Global("torch Size", ([shape]) => shape),
    new Global("torch._utils _rebuild_tensor_v2", rebuild),
    new Global("torch._utils _rebuild_parameter", ([tensor]) => tensor),
    ...Object.keys(storages).map((kind) => new Global(`torch ${kind}`))
  ].map((global) => [global.name, global])
)

/** Row-major without gaps. The stride of an axis of length 1 is never used, so it does not matter. */
const isContiguous = ({ shape, stride }: TorchTensor): boolean =>
  sizeOf(shape) === 0 || shape.every((dim, i) => dim === 1 || stride[i] === sizeOf(shape.slice(i + 1)))

const entryOf = (name: string, tensor: TorchTensor): TensorEntry => {
  const { offset, shape, storage } = tensor
  const [dtype, width] = storages[storage.kind]!
  const at = storage.place.offset + offset * width
  const length = sizeOf(shape) * width
  if (!isContiguous(tensor)) {
    return broken(`${JSON.stringify(name)} is not contiguous (strides [${tensor.stride}] of [${shape}]): save it as .contiguous()`)
  }
  if (offset * width + length > storage.place.length) return broken(`${JSON.stringify(name)} is longer than its storage`)
  if (at % width !== 0) {
    return broken(`${JSON.stringify(name)} is not aligned to ${width} bytes, because it was zipped again: save it with torch.save`)
  }
  return { dtype, shape, offset: at, length }
}

/** data.pkl of the largest models has some hundred kB. */
const maxPickle = 2 ** 28

/**
 * The tensors of a checkpoint by name.
 *
 * @param size bytes of the whole file
 * @param unwrap key of the dict that holds the weights; undefined if the file is that dict
 * @throws FormatError if it is not such a file
 */
export const readTorch = (read: Read, size: number, unwrap: string | undefined): Map<string, TensorEntry> => {
  const zip = openZip(read, size) ?? notZip(read(0, Math.min(size, 4)))
  const pickles = zip.names.filter((name) => /^[^/]*\/data\.pkl$/.test(name))
  if (pickles.length !== 1) return broken("it is a zip file, but not one of torch.save")
  const folder = pickles[0]!.slice(0, -"data.pkl".length)
  if (zip.names.includes(`${folder}byteorder`)) {
    const { length, offset } = zip.locate(`${folder}byteorder`)
    if (new TextDecoder().decode(read(offset, Math.min(length, 8))).trim() !== "little") broken("its numbers are big-endian")
  }
  const { length, offset } = zip.locate(pickles[0]!)
  if (length > maxPickle) return broken(`its data.pkl has ${length} bytes`)
  const persistent = (id: unknown): Storage => {
    const [kind, type, key] = Array.isArray(id) ? id : []
    const name = type instanceof Global ? type.name.slice("torch ".length) : ""
    if (kind !== "storage" || !(name in storages) || typeof key !== "string") return broken("a storage in it has no dtype or name")
    return new Storage(name, zip.locate(`${folder}data/${key}`))
  }
  const whole = unpickle(read(offset, length), { globals, persistent })
  const dict = unwrap === undefined || !(whole instanceof Map) ? whole : whole.get(unwrap)
  if (!(dict instanceof Map)) return broken(unwrap === undefined ? "it holds no dict" : `it holds no dict "${unwrap}"`)
  const entries = new Map<string, TensorEntry>()
  for (const [name, value] of dict) {
    if (typeof name === "string" && value instanceof TorchTensor) entries.set(name, entryOf(name, value))
  }
  return entries.size === 0 ? broken("it holds no tensors") : entries
}

const notZip = (first: Uint8Array): never =>
  first[0] === 0x80
    ? broken("it is in the format before PyTorch 1.6: load it there and torch.save it again")
    : first[0] === 0x50 && first[1] === 0x4b
    ? broken("it is cut off: fetch it again")
    : broken("it is not a file of torch.save: fetch it again")

/**
 * Where the tensors of a .pt file are. Fails with `CheckpointInvalid` if the file is missing, not from torch.save, or
 * holds anything but plain weights.
 */
export const openTorch = Effect.fn("openTorch")(function*(given: string, unwrap?: string) {
  const file = yield* Effect.try({
    try: () => fs.realpathSync(given),
    catch: () => new CheckpointInvalid({ message: `There is no file ${given}: check the path.` })
  })
  const entries = yield* Effect.suspend(() => {
    try {
      return Effect.succeed(entriesOf(file, unwrap))
    } catch (cause) {
      // Anything else than a bad file or a failed read is a bug of the reader, and dies as one.
      if (!(cause instanceof FormatError || (cause instanceof Error && "code" in cause))) throw cause
      return Effect.fail(new CheckpointInvalid({ message: `${given} cannot be used: ${cause.message}.` }))
    }
  })
  const name = path.basename(file)
  return {
    folder: path.dirname(file),
    index: new Map([...entries].map(([key, entry]) => [key, { ...entry, file: name }]))
  } satisfies WeightFiles as WeightFiles
})

const entriesOf = (file: string, unwrap: string | undefined): Map<string, TensorEntry> => {
  const fd = fs.openSync(file, "r")
  try {
    const read: Read = (offset, length) => {
      const bytes = new Uint8Array(length)
      return fs.readSync(fd, bytes, 0, length, offset) === length ? bytes : broken("it became shorter while it was read")
    }
    return readTorch(read, fs.fstatSync(fd).size, unwrap)
  } finally {
    fs.closeSync(fd)
  }
}
