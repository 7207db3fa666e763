/**
 * Loopback servers that speak vLLM's and SGLang's documented API over real sockets and draw from a real model, adapters
 * included. They can be told to fail in every way that such servers do.
 */
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import { Effect, ManagedRuntime, Layer, Stream } from "effect"
import * as CompletionsOnnx from "../../layers/completions/onnx.ts"
import { OnnxRuntime } from "../../layers/onnx/runtime.ts"
import { openAdapter } from "../../src/model/adapter.ts"
import { Completions } from "../../src/stages/Completions.ts"
import { checkpoint, tokenizer } from "./embedded-policy.ts"

/**
 * `base`: the base answers, under its own name; `restart`: every adapter is forgotten; `stray`: another prompt was read;
 * `wrong-logprobs`: by 0.4 nats; `short`: a candidate is missing; `slow`: no answer for as long as anybody waits.
 */
export type Fault =
  | "429" | "503" | "500" | "401" | "reset" | "truncated" | "html" | "empty" | "slow" | "base" | "restart" | "stray" | "wrong-logprobs" | "short" | "aborted" | "no-logprobs"

export interface SamplingServerOptions {
  readonly engine?: "vllm" | "sglang"
  /** What happens to the first requests for candidates, one after the other; undefined answers. */
  readonly faults?: Array<Fault | undefined>
  /** What happens to all that come after. */
  readonly always?: Fault
  /** What happens to the first loads, one after the other. */
  readonly loads?: Array<"500" | "missing" | undefined>
  /** Seconds of a 429 and a 503. Default 0. */
  readonly retryAfter?: number
  /** How tokens are told. Default `ids`: by number. */
  readonly tells?: "ids" | "numbered" | "text" | "odd-text"
  /** Without it, adapters cannot be loaded while it runs. Default true. */
  readonly updating?: boolean
  readonly maxModelLen?: number
  /** Another key is turned away, and repeated. */
  readonly key?: string
  /** Milliseconds until candidates are answered. */
  readonly latency?: number
  readonly port?: number
}

interface Asked {
  readonly adapter: string
  readonly ids: ReadonlyArray<number>
  readonly seed: number
  readonly options: { readonly temperature: number; readonly top_k: number; readonly top_p: number; readonly min_p: number; readonly repetition_penalty: number }
  readonly limit: number
  readonly stop: ReadonlyArray<string>
}

/** The model behind all servers of a test file. Adapters are held by their folders' names. */
export const drawing = (cache: string) => {
  const runtime = ManagedRuntime.make(
    CompletionsOnnx.layer({
      checkpoint, tokenizer, maxLength: 256, maxNumSeqs: 16, maxWaiting: 256, precision: "float32", cache, quantizing: () => Effect.succeed(() => Effect.void)
    }).pipe(Layer.provide(OnnxRuntime.layer("cpu", 0, { threads: 1 })))
  )
  return {
    hold: (name: string, folder: string) =>
      runtime.runPromise(Effect.gen(function*() {
        const { lora, parameters } = yield* openAdapter(folder, checkpoint)
        yield* (yield* Completions).hold(name, lora, parameters)
      })),
    draw: ({ adapter, ids, limit, options, seed, stop }: Omit<Asked, "adapter"> & { readonly adapter: string | undefined }) =>
      runtime.runPromise(Effect.gen(function*() {
        const pieces = yield* (yield* Completions).complete({
          adapter, ids, seeds: [seed], stops: stop, cut: [], limit, topLogprobs: undefined,
          options: { temperature: options.temperature, topK: Math.max(0, options.top_k), topP: options.top_p, minP: options.min_p, repetitionPenalty: options.repetition_penalty }
        }).pipe(Effect.flatMap(Stream.runCollect))
        return { ids: pieces.flatMap((piece) => piece.ids), logps: pieces.flatMap((piece) => piece.logps), finish: pieces.at(-1)!.finish! }
      }).pipe(Effect.scoped)),
    dispose: () => runtime.dispose()
  }
}
export type Drawing = ReturnType<typeof drawing>

export const startSamplingServer = async ({ draw, hold }: Drawing, o: SamplingServerOptions = {}) => {
  const { always, engine = "vllm", faults = [], latency = 0, loads = [], maxModelLen = 256, retryAfter = 0, tells = "ids", updating = true } = o
  const adapters = new Map<string, string>()
  /** Every name that was loaded, in order. */
  const loaded: Array<string> = []
  const asked: Array<{ readonly adapter: string; readonly at: number }> = []
  let open = 0
  let mostOpen = 0
  const server = http.createServer((request, response) => {
    const parts: Array<Buffer> = []
    request.on("data", (part: Buffer) => parts.push(part))
    response.on("error", () => {})
    const json = (status: number, body: unknown, headers: Record<string, string> = {}) =>
      void response.writeHead(status, { "content-type": "application/json", ...headers }).end(typeof body === "string" ? body : JSON.stringify(body))
    const failed = (status: number, message: string, headers: Record<string, string> = {}) =>
      json(status, engine === "vllm" ? { error: { message, type: "Error", param: null, code: status } } : { error: { message } }, headers)

    const load = async ({ lora_name, lora_path }: Record<string, string>) => {
      const fault = loads.shift()
      if (fault === "500") return failed(500, "LoRA rank 64 is greater than max_lora_rank 16.")
      if (fault === "missing") return failed(404, `Loading lora ${lora_name} failed: No adapter found for ${lora_path}`)
      if (adapters.has(lora_name!)) return failed(400, `The lora adapter '${lora_name}' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.`)
      await hold(lora_name!, lora_path!)
      adapters.set(lora_name!, lora_path!)
      loaded.push(lora_name!)
      if (engine === "sglang") return json(200, { success: true, error_message: "", loaded_adapters: Object.fromEntries(adapters) })
      return void response.end(`Success: LoRA adapter '${lora_name}' added successfully.`)
    }

    const candidates = async (one: Asked, fault: Fault | undefined) => {
      const held = adapters.has(one.adapter)
      if (!held && fault !== "base") {
        return engine === "vllm"
          ? failed(404, `The model \`${one.adapter}\` does not exist.`)
          : failed(400, `Got LoRA adapter that has never been loaded: ${one.adapter}\nAll loaded adapters: dict_keys([]).`)
      }
      const drawn = await draw({ ...one, adapter: fault === "base" ? undefined : one.adapter })
      const logps = drawn.logps.map((logp) => (fault === "wrong-logprobs" ? logp - 0.4 : logp))
      const reason = fault === "aborted" ? "abort" : drawn.finish === "length" ? "length" : "stop"
      const text = tokenizer.decode(drawn.ids)
      const body = engine === "sglang"
        ? {
          text, output_ids: drawn.ids,
          meta_info: {
            id: "x", prompt_tokens: one.ids.length + (fault === "stray" ? 1 : 0), finish_reason: { type: reason, matched: "</svg>" },
            ...(fault === "no-logprobs" ? {} : { output_token_logprobs: drawn.ids.map((id, i) => [logps[i], id, null]) })
          }
        }
        : {
          id: "cmpl-x", object: "text_completion", created: 1, model: fault === "base" ? "models/policy" : one.adapter,
          choices: fault === "short" ? [] : [{
            index: 0, text: tells === "odd-text" ? text.replace("<", "< ") : text, finish_reason: reason, stop_reason: null,
            logprobs: fault === "no-logprobs" ? null : {
              text_offset: [], top_logprobs: [], token_logprobs: logps,
              tokens: drawn.ids.map((id) => (tells === "numbered" || tells === "ids" ? `token_id:${id}` : tokenizer.tokenTexts[id]))
            },
            ...(tells === "ids" ? { token_ids: drawn.ids, prompt_token_ids: fault === "stray" ? one.ids.slice(1) : one.ids } : {})
          }],
          usage: { prompt_tokens: one.ids.length, completion_tokens: drawn.ids.length, total_tokens: 0 }
        }
      if (fault === "truncated") {
        const whole = JSON.stringify(body)
        response.writeHead(200, { "content-type": "application/json", "content-length": String(whole.length) })
        return void response.write(whole.slice(0, whole.length / 2), () => request.socket.destroy())
      }
      return json(200, body)
    }

    const answer = async () => {
      const { headers, method, url } = request
      if (o.key !== undefined && headers.authorization !== `Bearer ${o.key}`) return failed(401, `Unauthorized: ${headers.authorization}`)
      if (method === "GET" && url === "/v1/models") {
        const card = (id: string, parent: string | null) => ({ id, object: "model", owned_by: engine, parent, max_model_len: parent === null ? maxModelLen : null })
        return json(200, { object: "list", data: [card("models/policy", null), ...[...adapters.keys()].map((name) => card(name, "models/policy"))] })
      }
      const body = JSON.parse(Buffer.concat(parts).toString("utf8")) as Record<string, never>
      const root = engine === "vllm" ? "/v1" : ""
      if (updating && url === `${root}/load_lora_adapter`) return load(body)
      if (updating && url === `${root}/unload_lora_adapter`) {
        return adapters.delete(body["lora_name"]!) ? json(200, "") : failed(404, "cannot be found")
      }
      if (url !== (engine === "vllm" ? "/v1/completions" : "/generate")) return json(404, { detail: "Not Found" })
      const one: Asked = engine === "vllm"
        ? { adapter: body["model"]!, ids: body["prompt"]!, seed: body["seed"]!, options: body as never, limit: body["max_tokens"]!, stop: body["stop"]! }
        : { adapter: body["lora_path"]!, ids: body["input_ids"]!, seed: body["sampling_params"]!["sampling_seed"]!, options: body["sampling_params"]!, limit: body["sampling_params"]!["max_new_tokens"]!, stop: body["sampling_params"]!["stop"]! }
      asked.push({ adapter: one.adapter, at: performance.now() })
      const fault = faults.length > 0 ? faults.shift() : always
      if (fault === "restart") adapters.clear()
      switch (fault) {
        case "429":
        case "503":
          return failed(Number(fault), "Too many requests", { "retry-after": String(retryAfter) })
        case "500":
        case "401":
          return failed(Number(fault), "internal")
        case "reset":
          return void request.socket.destroy()
        case "html":
          return void response.end("<html>A proxy</html>")
        case "empty":
          return void response.end()
        case "slow":
          return
      }
      mostOpen = Math.max(mostOpen, ++open)
      await new Promise((resolve) => setTimeout(resolve, latency))
      await candidates(one, fault).finally(() => open--)
    }
    request.on("end", () => void answer().catch((cause: Error) => failed(500, cause.message)))
  })
  await new Promise<void>((resolve) => server.listen(o.port ?? 0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    loaded,
    asked,
    held: () => [...adapters.keys()],
    mostOpen: () => mostOpen,
    close: () => new Promise<void>((resolve) => (server.close(() => resolve()), server.closeAllConnections()))
  }
}
