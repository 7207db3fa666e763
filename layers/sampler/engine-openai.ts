/**
 * OpenAI's completions with vLLM's additions: vLLM itself (0.33; `return_token_ids` since 0.10.2, read without it too) and
 * `vequinox serve`, which takes a key of its own for each candidate.
 */
import { Effect, Schema } from "effect"
import { isPlain } from "../../src/engine/sampling/sampling.ts"
import { tokenizing } from "../../src/model/tokenizer/limits.ts"
import type { PolicyTokenizer } from "../../src/model/tokenizer/tokenizer.ts"
import { drawnLogpsOf, type Engine, notOver0, oddIn, type Reader, type Told, unusable, type Work } from "./engine.ts"
import { AdapterLost } from "./server-call.ts"

const Ids = Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.Int)))
const Completion = Schema.Struct({
  model: Schema.String,
  choices: Schema.Array(Schema.Struct({
    index: Schema.Int,
    text: Schema.String,
    finish_reason: Schema.NullOr(Schema.String),
    token_ids: Ids,
    prompt_token_ids: Ids,
    logprobs: Schema.Struct({
      tokens: Schema.Array(Schema.String),
      token_logprobs: Schema.Array(Schema.Finite),
      processed_logprobs: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.Finite)))
    })
  }))
})
type Choice = (typeof Completion.Type)["choices"][number]
const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Completion))

/** As `return_tokens_as_token_ids` writes a token. */
const numbered = /^token_id:(\d{1,9})$/

/** Tokens again from their text; undefined if they are not certainly those that were drawn. */
const again = ({ finish_reason, logprobs: { tokens }, text }: Choice, { encode, eosIds, tokenTexts }: PolicyTokenizer): ReadonlyArray<number> | undefined => {
  const ids = encode(text)
  const ended = tokens.length === ids.length + 1 && finish_reason === "stop" && eosIds.length === 1 ? [...ids, eosIds[0]!] : ids
  return ended.length === tokens.length && ids.every((id, i) => tokenTexts[id] === tokens[i]) ? ended : undefined
}

const idsOf = (choice: Choice, tokenizer: PolicyTokenizer): ReadonlyArray<number> | undefined => {
  if (choice.token_ids != null) return choice.token_ids
  const numbers = choice.logprobs.tokens.map((token) => numbered.exec(token)?.[1])
  return numbers.every((number) => number !== undefined) ? numbers.map(Number) : again(choice, tokenizer)
}

const toldOf = Effect.fnUntraced(function*(choice: Choice, work: Work, reader: Reader) {
  const { tokenizer } = reader
  const { finish_reason: reason, logprobs, prompt_token_ids: prompt } = choice
  if (prompt != null && prompt.join() !== work.promptIds.join()) return yield* unusable("it read other prompt tokens than it was sent")
  const ids = yield* Effect.mapError(tokenizing(() => idsOf(choice, tokenizer)), ({ message }) => unusable(message))
  if (ids === undefined) {
    return yield* unusable("it tells no token ids, and its text does not give back the tokens that were drawn; vLLM tells them from 0.10.2 on")
  }
  const logps = logprobs.token_logprobs.map(notOver0)
  const odd = oddIn(ids, logprobs.token_logprobs, work, reader)
  if (odd !== undefined) return yield* unusable(odd)
  const drawnLogps = drawnLogpsOf(work.options, logps, logprobs.processed_logprobs?.map(notOver0))
  if (drawnLogps !== undefined && drawnLogps.length !== ids.length) return yield* unusable("its processed log-probabilities are not one for each token")
  if (reason !== "length" && reason !== "stop") return yield* unusable(`a candidate ended with "${String(reason).slice(0, 40)}"`)
  const finish = reason === "length" ? reason : tokenizer.eosIds.includes(ids.at(-1)!) ? "eos" : "stop"
  return { ids, logps, drawnLogps, finish } satisfies Told as Told
})

const read: Engine["read"] = Effect.fnUntraced(function*(body, adapter, work, reader) {
  const { choices, model } = yield* Effect.mapError(decode(body), () => unusable("it is not a completion with log-probabilities"))
  if (model !== adapter) return yield* new AdapterLost({ message: `it answered as "${model.slice(0, 60)}" when ${adapter} was asked` })
  const own = work.seeds.map((_, index) => choices.find((choice) => choice.index === index))
  if (choices.length !== own.length || own.includes(undefined)) return yield* unusable(`it has ${choices.length} candidates, and ${own.length} were asked for`)
  return yield* Effect.forEach(own, (choice) => toldOf(choice!, work, reader))
})

const common = ({ maxNewTokens, options, promptIds, seeds, stop }: Work) => ({
  prompt: promptIds,
  n: seeds.length,
  max_tokens: maxNewTokens,
  // Each is sent, since a server takes what is missing from the model's generation_config.json.
  temperature: options.temperature,
  top_k: options.topK,
  top_p: options.topP,
  min_p: options.minP,
  repetition_penalty: options.repetitionPenalty,
  stop: stop === "" ? [] : [stop],
  include_stop_str_in_output: true,
  logprobs: 0,
  return_token_ids: true
})

const shared: Omit<Engine, "name" | "most" | "ask" | "tellsDrawn"> = {
  load: (lora_name, lora_path) => ["/v1/load_lora_adapter", { lora_name, lora_path }],
  unload: (lora_name) => ["/v1/unload_lora_adapter", { lora_name }],
  isThere: (said) => /already (been )?loaded|is loaded: unload it first/i.test(said),
  isLost: (status) => status === 404,
  read,
  tellsPlain: () => true
}

/** A request has one seed, and n of them would follow from it: each candidate is a request of its own. */
export const vllm: Engine = {
  ...shared,
  name: "vllm",
  most: 1,
  ask: (model, work, eosIds) => ["/v1/completions", {
    ...common(work),
    model,
    seed: work.seeds[0],
    stop_token_ids: eosIds,
    skip_special_tokens: false,
    return_tokens_as_token_ids: true
  }],
  tellsDrawn: false
}

/** Takes the keys of the local sampler's random numbers, so it draws what that would draw. */
export const vequinox: Engine = {
  ...shared,
  name: "vequinox",
  most: 128,
  ask: (model, work) => ["/v1/completions", { ...common(work), model, seeds: work.seeds, return_processed_logprobs: !isPlain(work.options) }],
  tellsDrawn: true
}
