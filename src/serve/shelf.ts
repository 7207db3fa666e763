/** The names under which a policy is served: its base's, and those of its adapters, which may be loaded and unloaded. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Semaphore } from "effect"
import { openAdapter } from "../model/adapter.ts"
import type { DecoderCheckpoint } from "../model/model-folder.ts"
import { Completions } from "../stages/Completions.ts"
import { refuse, type Refusal } from "./refusals.ts"

export interface ShelfOptions {
  /** The base's name. */
  readonly base: string
  readonly checkpoint: DecoderCheckpoint
  /** Where adapters may be loaded from while the server runs; undefined: nowhere. */
  readonly folder: string | undefined
}

export interface Shelf {
  readonly base: string
  /** Names of the adapters, in the order in which they were loaded. */
  readonly adapters: () => ReadonlyArray<string>
  /** What a client calls a model: nothing, the base's name, an adapter's, or `base:adapter`. */
  readonly named: (model: string | undefined) => Effect.Effect<{ readonly model: string; readonly adapter: string | undefined }, Refusal>
  /** Puts an adapter on the shelf from any folder: for whoever starts the server. */
  readonly put: (name: string, folder: string) => Effect.Effect<void, Refusal>
  /** Loads an adapter of the server's folder: for its clients. @param inPlace whether it may take a loaded one's place */
  readonly load: (name: string, from: string, inPlace: boolean) => Effect.Effect<void, Refusal>
  readonly unload: (name: string) => Effect.Effect<void, Refusal>
}

/** Names that are shown in an error. */
const mostNamed = 20

export const makeShelf = Effect.fnUntraced(function*({ base, checkpoint, folder }: ShelfOptions) {
  const completions = yield* Completions
  const names = new Set<string>()
  /** One change at a time. */
  const changing = yield* Semaphore.make(1)

  const put = (name: string, from: string) =>
    Effect.gen(function*() {
      if (name === base) return yield* Effect.fail(refuse("invalid", `${name} is the base's name: take another.`, "lora_name"))
      const { lora, parameters } = yield* openAdapter(from, checkpoint)
      yield* completions.hold(name, lora, parameters)
      names.add(name)
    }).pipe(Effect.catchTags({
      CheckpointInvalid: ({ message }) => Effect.fail(refuse("invalid", message, "lora_path")),
      CompletionsFailed: ({ message }) => Effect.fail(refuse("failed", message))
    }))

  const inside = Effect.fnUntraced(function*(from: string) {
    if (folder === undefined) {
      return yield* Effect.fail(refuse("forbidden", "This server loads no adapters: start it with --adapters FOLDER.", "lora_path"))
    }
    const root = fs.realpathSync(folder)
    const outside = refuse("forbidden", "The adapter must lie in the server's folder of adapters: give its path from there.", "lora_path")
    const real = yield* Effect.try({
      try: () => fs.realpathSync(path.resolve(root, from)),
      catch: () => refuse("missing", `There is no ${from} in the server's folder of adapters.`, "lora_path")
    }).pipe(Effect.mapError((missing) => (within(root, path.resolve(root, from)) ? missing : outside)))
    return within(root, real) ? real : yield* Effect.fail(outside)
  })

  return {
    base,
    adapters: () => [...names],
    named: (model) =>
      Effect.suspend((): ReturnType<Shelf["named"]> => {
        if (model === undefined || model === "" || model === base) return Effect.succeed({ model: base, adapter: undefined })
        const name = model.startsWith(`${base}:`) ? model.slice(base.length + 1) : model
        if (names.has(name)) return Effect.succeed({ model, adapter: name })
        const known = [base, ...names]
        const rest = known.length > mostNamed ? ` and ${known.length - mostNamed} more` : ""
        return Effect.fail(refuse(
          "missing",
          `There is no model "${model.slice(0, 100)}": this server has ${known.slice(0, mostNamed).join(", ")}${rest}.`,
          "model",
          "model_not_found"
        ))
      }),
    put,
    load: (name, from, inPlace) =>
      changing.withPermit(Effect.gen(function*() {
        if (names.has(name) && !inPlace) {
          return yield* Effect.fail(refuse("invalid", `An adapter ${name} is loaded: unload it first, or say "load_inplace".`, "lora_name"))
        }
        yield* put(name, yield* inside(from))
      })),
    unload: (name) =>
      changing.withPermit(
        completions.letGo(name).pipe(
          Effect.andThen(Effect.sync(() => void names.delete(name))),
          Effect.catchTags({
            AdapterUnknown: () => Effect.fail(refuse("missing", `No adapter ${name.slice(0, 100)} is loaded.`, "lora_name")),
            CompletionsFailed: ({ message }) => Effect.fail(refuse("failed", message))
          })
        )
      )
  } satisfies Shelf as Shelf
})

const within = (root: string, file: string): boolean => {
  const rest = path.relative(root, file)
  return rest !== "" && rest !== ".." && !rest.startsWith(`..${path.sep}`) && !path.isAbsolute(rest)
}
