/** Where what all runs share is kept: answers of judges, quantized weights. */
import * as os from "node:os"
import * as path from "node:path"
import { Config, Effect } from "effect"
import { BadInput } from "../system/errors.ts"

/** XDG_CACHE_HOME/vequinox, or ~/.cache/vequinox. Fails where the variable cannot be read. */
export const cacheFolder = Config.String("XDG_CACHE_HOME").pipe(
  Config.withDefault(path.join(os.homedir(), ".cache")),
  Config.map((folder) => path.join(folder, "vequinox")),
  Effect.mapError(({ message }) => new BadInput({ message }))
)
