/**
 * SGLang (0.5) by its native `/generate`, which tells each token's id and log-probability. It fails where it does not know the
 * adapter, and never answers with the base instead; its OpenAI route only repeats the model's name.
 *
 * At a temperature other than 0 and 1 its log-probabilities are at that temperature, unless it runs with
 * SGLANG_RETURN_ORIGINAL_LOGPROB=1. Seeds count only with --enable-deterministic-inference.
 */
import { Effect, Schema } from "effect"
import { drawnLogpsOf, type Engine, notOver0, oddIn, unusable } from "./engine.ts"

const Generated = Schema.Struct({
  output_ids: Schema.Array(Schema.Int),
  meta_info: Schema.Struct({
    prompt_tokens: Schema.Int,
    finish_reason: Schema.Struct({ type: Schema.String }),
    /** Log-probability, token, and its text or null. */
    output_token_logprobs: Schema.Array(Schema.TupleWithRest(Schema.Tuple([Schema.Finite, Schema.Int]), [Schema.Unknown]))
  })
})
const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Generated))

export const sglang: Engine = {
  name: "sglang",
  most: 1,
  load: (lora_name, lora_path) => ["/load_lora_adapter", { lora_name, lora_path }],
  unload: (lora_name) => ["/unload_lora_adapter", { lora_name }],
  isThere: (said) => /already (exists|loaded)/i.test(said),
  ask: (lora_path, { maxNewTokens, options, promptIds, seeds, stop }, eosIds) => ["/generate", {
    input_ids: promptIds,
    lora_path,
    return_logprob: true,
    sampling_params: {
      max_new_tokens: maxNewTokens,
      temperature: options.temperature,
      top_k: options.topK === 0 ? -1 : options.topK,
      top_p: options.topP,
      min_p: options.minP,
      repetition_penalty: options.repetitionPenalty,
      stop: stop === "" ? [] : [stop],
      stop_token_ids: eosIds,
      no_stop_trim: true,
      skip_special_tokens: false,
      sampling_seed: seeds[0]! % 2 ** 31
    }
  }],
  isLost: (status, said) => (status === 400 || status === 404) && /never been loaded|adapters are not loaded/i.test(said),
  read: Effect.fnUntraced(function*(body, _, work, reader) {
    const { meta_info: { finish_reason: { type }, output_token_logprobs: tokens, prompt_tokens }, output_ids } = yield* Effect.mapError(
      decode(body),
      () => unusable("it is not what /generate answers with return_logprob")
    )
    if (prompt_tokens !== work.promptIds.length) return yield* unusable(`it read ${prompt_tokens} prompt tokens, and was sent ${work.promptIds.length}`)
    const ids = tokens.map(([, id]) => id)
    const told = tokens.map(([logp]) => logp)
    const odd = oddIn(ids, told, work, reader)
    if (odd !== undefined) return yield* unusable(odd)
    if (output_ids.some((id, i) => id !== ids[i])) return yield* unusable("its tokens and those of its log-probabilities are not the same")
    if (type !== "length" && type !== "stop") return yield* unusable(`a candidate ended with "${type.slice(0, 40)}"`)
    const logps = told.map(notOver0)
    const finish = type === "length" ? type : reader.tokenizer.eosIds.includes(ids.at(-1)!) ? "eos" : "stop"
    return [{ ids, logps, drawnLogps: drawnLogpsOf(work.options, logps, undefined), finish }]
  }),
  tellsPlain: ({ temperature }) => temperature === 0 || temperature === 1,
  tellsDrawn: false
}
