/** What folders of scorers published as .pt files have in common. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { CheckpointInvalid } from "../model/model-folder.ts"
import { ShapeError } from "../engine/graph/shape-error.ts"
import { readTokenizer } from "./family.ts"

const missing = (message: string) => Effect.fail(new CheckpointInvalid({ message }))

/** Fails with `CheckpointInvalid` if the folder has no such file; `source` says where it is published. */
export const needFile = (folder: string, name: string, source: string) =>
  fs.existsSync(path.join(folder, name)) ? Effect.void : missing(`${folder} has no ${name}: fetch it from ${source}.`)

/**
 * The .pt file and its folder.
 *
 * @param given the file itself, or a folder with one of `names`; if it has two, which are two models, the file must be
 * given
 */
export const findCheckpoint = Effect.fnUntraced(function*(given: string, names: ReadonlyArray<string>, source: string) {
  if (!fs.existsSync(given)) return yield* missing(`There is no model folder ${given}: check the path given.`)
  if (!fs.statSync(given).isDirectory()) return { folder: path.dirname(given), file: given }
  const found = names.filter((name) => fs.existsSync(path.join(given, name)))
  if (found.length > 1) return yield* missing(`${given} has ${found.join(" and ")}: give the path of the one you mean.`)
  yield* needFile(given, found[0] ?? names.join(" or "), source)
  return { folder: given, file: path.join(given, found[0]!) }
})

/** tokenizer.json of the folder; `whose` says where to get it, since it is not published with the weights. */
export const findTokenizer = Effect.fnUntraced(function*(folder: string, whose: string) {
  yield* needFile(folder, "tokenizer.json", `${whose} (the weights are published without one)`)
  return yield* readTokenizer(folder)
})

/** The result of `make`; a `ShapeError` means that the weights are of another model. */
export const makesModel = <A>(file: string, make: () => A): Effect.Effect<A, CheckpointInvalid> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(make())
    } catch (cause) {
      if (!(cause instanceof ShapeError)) throw cause
      return Effect.fail(new CheckpointInvalid({ message: `${file} is not of this model: ${cause.message}.` }))
    }
  })
