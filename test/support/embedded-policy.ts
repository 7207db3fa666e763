/** The embedded policy with an untrained adapter, and a sampler's options for it. */
import * as path from "node:path"
import { Effect } from "effect"
import { plain } from "../../src/engine/sampling/sampling.ts"
import { modulesOf } from "../../src/engine/nets/transformer.ts"
import { initialAdapter } from "../../src/engine/weights/parameters.ts"
import { openDecoder } from "../../src/model/model-folder.ts"
import { defaultFormat, openTokenizer } from "../../src/model/tokenizer/tokenizer.ts"

const folder = path.join(import.meta.dirname, "../../models/policy")
export const checkpoint = await Effect.runPromise(openDecoder(folder))
export const tokenizer = await Effect.runPromise(openTokenizer(folder))
export const lora = { r: 4, alpha: 8, targets: ["q_proj", "v_proj", "down_proj"] }
export const parameters = initialAdapter(modulesOf(checkpoint.config), lora, 1)

export const sampling = {
  checkpoint,
  tokenizer,
  format: defaultFormat,
  lora,
  sampling: plain,
  maxNewTokens: 100,
  maxLength: 160,
  stop: "</svg>",
  stopMalformed: false,
  quantizing: () => Effect.succeed(() => Effect.void)
}
