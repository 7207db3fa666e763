/** `vequinox logprobs`: log-probabilities of given completions, summed and by token, one JSON line a row. */
import { Console, Effect, Option, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { OnnxRuntime, startProgram } from "../../layers/onnx/runtime.ts"
import type { Sequence } from "../../layers/onnx/sequences.ts"
import { openAdapter } from "../model/adapter.ts"
import { readRows } from "../system/files.ts"
import { parameterCount, scorerBytes } from "../engine/training/memory.ts"
import { progressStyle } from "../system/progress.ts"
import { BadInput } from "../system/errors.ts"
import * as Flags from "../wiring/flags.ts"
import { numberSetting } from "../wiring/setting-flags.ts"
import { openPolicy } from "../wiring/policy.ts"
import { trainerDefaults } from "../wiring/trainer-defaults.ts"
import { tokenizing } from "../model/tokenizer/limits.ts"

const Messages = Schema.Array(Schema.Struct({ role: Schema.String, content: Schema.String }))
/**
 * TRL's prompt-completion rows. Strings are used as they are; messages go through the chat template. Token ids may
 * replace text.
 */
const Text = Schema.Union([Schema.String, Messages, Schema.Array(Schema.Int)])
const Row = Schema.Struct({ prompt: Text, completion: Text })

/** Most padded tokens in one run. */
const mostTokens = 4096

export const logprobs = Command.make("logprobs", {
  model: Flags.model,
  revision: Flags.revision,
  adapter: Flags.adapter,
  input: Flag.String("input").pipe(Flag.withDescription("JSONL rows of {prompt, completion}: text, messages or token ids")),
  maxLength: numberSetting("max_length", 1024),
  device: Flags.device,
  threads: Flags.threads
}, Effect.fn(function*(o) {
  const rows = yield* readRows(o.input, Row)
  const { checkpoint, tokenizer } = yield* openPolicy(o.model, o.revision, progressStyle(false))
  const adapter = yield* Effect.transposeOption(Option.map(o.adapter, (folder) => openAdapter(folder, checkpoint)))
  const tokens = (text: typeof Text.Type, prompt: boolean): ReadonlyArray<number> =>
    typeof text === "string"
      ? tokenizer.encode(text)
      : isIds(text)
      ? text
      : tokenizer.encode(prompt ? tokenizer.chat(text) : text.map(({ content }) => content).join(""))
  const sequences = yield* Effect.forEach(rows, ({ completion, prompt }) =>
    tokenizing((): Sequence => {
      const start = tokens(prompt, true)
      return { ids: [...start, ...tokens(completion, false)], promptLength: start.length }
    }))
  const empty = sequences.findIndex(({ promptLength }) => promptLength === 0)
  if (empty >= 0) {
    return yield* new BadInput({ message: `${o.input}, row ${empty + 1}: the prompt is empty; the first token has no log-probability.` })
  }
  const tooLong = sequences.findIndex(({ ids }) => ids.length > o.maxLength)
  if (tooLong >= 0) {
    return yield* new BadInput({
      message: `${o.input}, row ${tooLong + 1}: it has ${sequences[tooLong]!.ids.length} tokens, more than --max-length ${o.maxLength}: raise that, or leave the row out.`
    })
  }
  const lora = Option.getOrUndefined(adapter)?.lora
  const longest = sequences.reduce((most, { ids }) => Math.max(most, ids.length), 1)
  const tokensPerRun = Math.max(longest, Math.min(mostTokens, longest * sequences.length))
  yield* Effect.scoped(Effect.gen(function*() {
    const runtime = yield* OnnxRuntime
    yield* runtime.reserve("model", scorerBytes(checkpoint.config, lora, tokensPerRun, longest))
    const program = yield* startProgram("trainer", {
      checkpoint,
      lora,
      parameters: Option.getOrUndefined(adapter)?.parameters ?? new Map(),
      ...trainerDefaults(o.maxLength, tokensPerRun),
      device: runtime.device,
      spinning: runtime.spinning,
      threads: runtime.threads
    })
    const logps = yield* program.logps(sequences, Option.isNone(adapter))
    yield* Effect.forEach(logps, (token_logps, n) =>
      Console.log(JSON.stringify({
        row: n + 1,
        logps: token_logps.reduce((a, b) => a + b, 0),
        token_logps,
        completion_ids: sequences[n]!.ids.slice(sequences[n]!.promptLength)
      })), { discard: true })
  }).pipe(Effect.provide(OnnxRuntime.layer(o.device, parameterCount(checkpoint.config), { threads: o.threads, overlap: false }))))
})).pipe(Command.withDescription("Log-probabilities of given completions, nats"))

const isIds = (text: ReadonlyArray<unknown>): text is ReadonlyArray<number> => typeof text[0] === "number" || text.length === 0
