/**
 * A checkpoint's matrices in fewer bits, for sampling: made once from the weights, kept in a cache folder as one
 * safetensors file, and found again by the hash of the weights.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { type DecoderCheckpoint, openWeights, weightsHash } from "./model-folder.ts"
import { explain, FileProblem } from "../system/files.ts"
import { makeFolders } from "../system/folders.ts"
import type { QuantizedWeights, WeightIndex } from "../engine/weights/parameters.ts"
import { blockFormats, quantizedShapes, type QuantizedPrecision, quantizeRows, rotate, rotationSize } from "../engine/weights/quantization.ts"
import { byteLength, encodeHeader, type Layout, toFloat32 } from "../engine/weights/safetensors.ts"
import { modulesOf, unembeddingName } from "../engine/nets/transformer.ts"

/** Names the way weights are quantized: a different way makes different files. */
const formatOf = (precision: QuantizedPrecision): string =>
  precision === "dynamic_int8" ? `${precision}-3` : `${precision}-${blockFormats[precision].block}-3`

/** Values widened at a time. */
const pieceSize = 2 ** 22

export interface QuantizeOptions {
  readonly precision: QuantizedPrecision
  /** The folder for these files; created if it is missing. */
  readonly cache: string
  /** Called with the number of bytes to write, if the file does not exist yet; the result is told how many are done. */
  readonly progress: (total: number) => Effect.Effect<(done: number) => Effect.Effect<void>>
}

/**
 * Every matrix that a token is multiplied with, including the output table; norms, biases and the input table stay in
 * the checkpoint. Fails with `FileProblem` if the cache cannot be written, and then leaves nothing half-made there.
 */
export const quantizedWeights = Effect.fn("quantizedWeights")(function*(
  checkpoint: DecoderCheckpoint,
  { cache, precision, progress }: QuantizeOptions
) {
  const hash = yield* Effect.sync(() => weightsHash(checkpoint))
  const file = `${hash.slice(0, 32)}-${formatOf(precision)}.safetensors`
  const matrices = matricesOf(checkpoint)
  if (!fs.existsSync(path.join(cache, file))) yield* write(checkpoint, precision, matrices, path.join(cache, file), progress)
  const known = yield* openWeights(cache, file)
  const index: WeightIndex = new Map(
    [...known.index].map(([name, entry]) => [name, { ...entry, file: path.join(known.folder, entry.file) }])
  )
  return { precision, index } satisfies QuantizedWeights
})

interface Matrix {
  readonly name: string
  readonly rows: number
  readonly width: number
}

const matricesOf = ({ config }: DecoderCheckpoint): ReadonlyArray<Matrix> => [
  ...modulesOf(config).map(({ in: width, module, out }) => ({ name: `${module}.weight`, rows: out, width })),
  { name: unembeddingName(config), rows: config.vocab, width: config.hidden }
]

const layoutOf = (precision: QuantizedPrecision, { name, rows, width }: Matrix): ReadonlyArray<Layout> => {
  const { scales, values } = quantizedShapes(precision, rows, width)
  return [
    { name: `${name}.values`, dtype: "U8", shape: values },
    { name: `${name}.scales`, dtype: "F32", shape: scales }
  ]
}

const write = (
  checkpoint: DecoderCheckpoint,
  precision: QuantizedPrecision,
  matrices: ReadonlyArray<Matrix>,
  file: string,
  progress: QuantizeOptions["progress"]
): Effect.Effect<void, FileProblem> => {
  const attempt = <A>(run: () => A) =>
    Effect.try({
      try: run,
      catch: (cause) => new FileProblem({ message: `The ${precision} weights cannot be kept in ${path.dirname(file)}: ${explain(cause)}.` })
    })
  const part = `${file}.part-${process.pid}`
  const layout = matrices.flatMap((matrix) => layoutOf(precision, matrix))
  const header = encodeHeader(layout, { precision })
  const total = layout.reduce((n, tensor) => n + byteLength(tensor), 0)
  const fill = Effect.fnUntraced(function*(fd: number) {
    let at = header.length
    let done = 0
    const tell = yield* progress(total)
    yield* attempt(() => writeAt(fd, header, 0))
    for (const matrix of matrices) {
      const [values, scales] = layoutOf(precision, matrix).map(byteLength) as [number, number]
      for (const piece of piecesOf(checkpoint, precision, matrix)) {
        yield* attempt(() => {
          const made = piece()
          writeAt(fd, made.values, at + made.valuesAt)
          writeAt(fd, bytesOf(made.scales), at + values + 4 * made.firstRow * made.scales.length / made.rows)
          done += made.values.byteLength + made.scales.byteLength
        })
        yield* tell(done)
        yield* Effect.yieldNow
      }
      at += values + scales
    }
    yield* attempt(() => fs.fsyncSync(fd))
  })
  return Effect.acquireUseRelease(
    attempt(() => {
      makeFolders(path.dirname(file))
      return fs.openSync(part, "w")
    }),
    (fd) => Effect.andThen(fill(fd), attempt(() => fs.renameSync(part, file))),
    (fd) =>
      Effect.sync(() => {
        fs.closeSync(fd)
        fs.rmSync(part, { force: true }) // still there only if it was not renamed
      })
  )
}

/** A matrix piece by piece: whole rows, or all at once if the result is transposed. */
const piecesOf = (checkpoint: DecoderCheckpoint, precision: QuantizedPrecision, { name, rows, width }: Matrix) => {
  const entry = checkpoint.index.get(name)!
  const perPiece = precision === "dynamic_int8" ? rows : Math.max(1, Math.floor(pieceSize / width))
  return Array.from({ length: Math.ceil(rows / perPiece) }, (_, i) => () => {
    const firstRow = i * perPiece
    const count = Math.min(perPiece, rows - firstRow)
    const row = entry.length / rows
    const bytes = new Uint8Array(count * row)
    const fd = fs.openSync(path.resolve(checkpoint.folder, entry.file), "r")
    try {
      fs.readSync(fd, bytes, 0, bytes.length, entry.offset + firstRow * row)
    } finally {
      fs.closeSync(fd)
    }
    const rotated = rotate(toFloat32(bytes, entry.dtype), rotationSize(precision, width))
    const made = quantizeRows(precision, rotated, count, width)
    return { ...made, rows: count, firstRow, valuesAt: firstRow * made.values.length / count }
  })
}

const bytesOf = (x: Float32Array): Uint8Array => new Uint8Array(x.buffer, x.byteOffset, x.byteLength)

const writeAt = (fd: number, bytes: Uint8Array, at: number): void => {
  for (let done = 0; done < bytes.length;) done += fs.writeSync(fd, bytes, done, bytes.length - done, at + done)
}
