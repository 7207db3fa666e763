/** A sampler checkpoint as a server hands it out: a PEFT folder in a .tar.gz. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { gunzipSync } from "node:zlib"
import { Effect } from "effect"
import { parseTar } from "nanotar"
import { modulesOf } from "../../src/engine/nets/transformer.ts"
import { headerLength, isFloat, parseHeader, toFloat32 } from "../../src/engine/weights/safetensors.ts"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import { openAdapter } from "../../src/model/adapter.ts"
import type { DecoderCheckpoint } from "../../src/model/model-folder.ts"
import { TinkerRefused } from "./client.ts"

const weightsFile = "adapter_model.safetensors"
const configFile = "adapter_config.json"

/** Bytes of the largest archive of an adapter of this rank: float32 on every matrix, the vocabulary's two, and its other files. */
export const archiveBytes = ({ config }: DecoderCheckpoint, rank: number): number =>
  4 * rank * [...modulesOf(config), { in: config.vocab, out: config.hidden }, { in: config.hidden, out: config.vocab }]
    .reduce((n, module) => n + module.in + module.out, 0) + 16_000_000

const broken = (what: string) => new TinkerRefused({ message: `The Tinker server's archive of an adapter ${what}.` })

/** The two files that say what the adapter is. @param most bytes when unpacked */
const unpacked = (archive: Uint8Array, most: number) =>
  Effect.try({
    try: () => {
      const whole = archive[0] === 0x1f && archive[1] === 0x8b ? gunzipSync(archive, { maxOutputLength: most }) : archive
      const files = parseTar(Uint8Array.from(whole).buffer, {
        filter: ({ name, size, type }) => {
          if (!Number.isSafeInteger(size) || size! < 0) throw new Error("it has a file of no size")
          return type === "file" && [weightsFile, configFile].includes(path.basename(name))
        }
      })
      const of = (name: string) => files.find((file) => path.basename(file.name) === name)?.data
      return { weights: of(weightsFile), config: of(configFile) }
    },
    catch: () => broken("cannot be unpacked")
  }).pipe(Effect.flatMap(({ config, weights }) =>
    config === undefined || weights === undefined ? Effect.fail(broken(`has no ${weights === undefined ? weightsFile : configFile}`)) : Effect.succeed({ config, weights })
  ))

/** An adapter that is seen for the first time: its form is checked against the base. Fails with `CheckpointInvalid` too. */
export const adapterIn = Effect.fnUntraced(function*(archive: Uint8Array, base: DecoderCheckpoint, most: number) {
  const files = yield* unpacked(archive, most)
  return yield* Effect.acquireUseRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-tinker-"))),
    (folder) => {
      fs.writeFileSync(path.join(folder, configFile), files.config)
      fs.writeFileSync(path.join(folder, weightsFile), files.weights)
      return openAdapter(folder, base)
    },
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
  )
})

/** Other weights of an adapter of this form, in its order. */
export const parametersIn = Effect.fnUntraced(function*(archive: Uint8Array, form: Parameters, most: number) {
  const { weights } = yield* unpacked(archive, most)
  return yield* Effect.try({
    try: (): Parameters => {
      const length = headerLength(weights, weights.length)
      const entries = parseHeader(weights.subarray(8, 8 + length), weights.length)
      return new Map([...form].map(([name, { shape }]) => {
        const entry = entries.get(name)
        if (entry === undefined || entry.shape.join() !== shape.join() || !isFloat(entry.dtype)) throw new Error(name)
        return [name, { shape, data: toFloat32(weights.subarray(entry.offset, entry.offset + entry.length), entry.dtype) }]
      }))
    },
    catch: () => broken("is not of the adapter that the run began with")
  })
})
