/**
 * A Tinker server that computes: our own engine behind the wire shapes of skyrl-tx 0.3.0, on the embedded policy. It adds up
 * gradients as it is told, and, like SkyRL's JAX engine, puts the weights that are sampled from in their model's place.
 */
import * as http from "node:http"
import { createTarGzip } from "nanotar"
import { SamplerProgram } from "../../layers/onnx/sampler-program.ts"
import { type Sequence, sequenceFeeds } from "../../layers/onnx/sequences.ts"
import { createSession, feedsOf, float32, type Session } from "../../layers/onnx/session.ts"
import type { Reduction } from "../../layers/tinker/reduction.ts"
import { gradients } from "../../src/engine/graph/gradients.ts"
import { Graph } from "../../src/engine/graph/graph.ts"
import { allLinear, forward, modulesOf } from "../../src/engine/nets/transformer.ts"
import { adamwStep, type AdamWState, initialState } from "../../src/engine/training/adamw.ts"
import { plain } from "../../src/engine/sampling/sampling.ts"
import { initialAdapter, type LoraConfig } from "../../src/engine/weights/parameters.ts"
import { encodeSafetensors } from "../../src/engine/weights/safetensors.ts"
import { copyParameters, type Tensor } from "../../src/engine/weights/tensor.ts"
import { checkpoint, tokenizer } from "./embedded-policy.ts"
import { listening } from "./loopback.ts"

interface Model {
  parameters: Map<string, Tensor>
  state: AdamWState
  readonly lora: LoraConfig
  gradients: Map<string, Float32Array>
  sequences: number
  requests: number
  /** The sampler checkpoint that is in its place. */
  loaded?: string
}
interface Saved {
  readonly parameters: Map<string, Tensor>
  readonly state: AdamWState
}

export interface TinkerServerOptions {
  /** Default `mean`, as SkyRL's JAX engine. */
  readonly reduction?: Reduction
  /** Refuses requests without it. */
  readonly key?: string
  readonly maxLength?: number
  /** Models at once. Default 7. */
  readonly capacity?: number
}

/** What can be told to go wrong, for the next request of a kind. */
export interface Fault {
  readonly path: string
  /** `forget`: engine and sessions are lost, as when a server is started again; `reset`: work is done, its answer is lost; `never`: no result. */
  readonly how: "forget" | "reset" | "never" | "refuse" | "html" | "huge"
}

class Refused extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

const copyState = ({ moments, step }: AdamWState): AdamWState => ({ step, moments: copyParameters(moments) })
export const tinkerServer = async ({ capacity = 7, key, maxLength = 256, reduction = "mean" }: TinkerServerOptions = {}) => {
  const { config } = checkpoint
  const sessions = new Set<string>()
  const models = new Map<string, Model>()
  const training = new Map<string, Saved>()
  const sampler = new Map<string, Saved>()
  const futures = new Map<string, Promise<unknown> | "never">()
  const asked: Array<{ readonly path: string; readonly body: any }> = []
  const faults: Array<Fault> = []
  let next = 0
  const idOf = (kind: string) => `${kind}_${(next++).toString(16).padStart(8, "0")}`

  const graphOf = (lora: LoraConfig): Promise<Session> => {
    const g = new Graph()
    const { logps } = forward(g, config, { index: checkpoint.index, trainable: "none", lora }, maxLength, true)
    const loss = g.neg(g.sum(g.mul(logps, g.input("weights", "float32", ["token"])), [0], true))
    g.output("logps", logps)
    const wrt = g.inputs.filter(({ name }) => name.includes(".lora_"))
    gradients(g, loss, g.constant([1], [1]), wrt).forEach((dx, i) => g.output(`grad.${wrt[i]!.name}`, dx!))
    return createSession(g, { device: "cpu", threads: 1, weights: "prepared", weightsFolder: checkpoint.folder })
  }
  let session: Promise<Session> | undefined
  let drawing: SamplerProgram | undefined

  const modelOf = (id: string): Model => {
    const model = models.get(id)
    if (model === undefined) throw new Refused(400, `Model ${id} not loaded`)
    return model
  }

  interface Read { readonly ids: ReadonlyArray<number>; readonly inputs: Readonly<Record<string, ReadonlyArray<number>>> }
  const readAll = (data: ReadonlyArray<any>): ReadonlyArray<Read> =>
    data.map(({ loss_fn_inputs, model_input }) => {
      const tokens = model_input.chunks.flatMap((chunk: any) => chunk.tokens) as ReadonlyArray<number>
      const targets = loss_fn_inputs.target_tokens.data as ReadonlyArray<number>
      if (targets.length !== tokens.length || targets.slice(0, -1).some((id, t) => id !== tokens[t + 1])) throw new Refused(422, "target_tokens are not the tokens after these")
      return {
        ids: [...tokens, targets.at(-1)!],
        inputs: Object.fromEntries(Object.entries(loss_fn_inputs).map(([name, { data }]: any) => [name, data]))
      }
    })

  /** One sequence a run: log-probabilities after the first token, and gradients of -Σ weight · logp. */
  const pass = async (model: Model, ids: ReadonlyArray<number>, weights: ReadonlyArray<number>, backward: boolean) => {
    const sequence: Sequence = { ids, promptLength: 1 }
    const run = await (session ??= graphOf(model.lora))
    const names = ["logps", ...(backward ? [...model.parameters.keys()].map((name) => `grad.${name}`) : [])]
    const out = await run.run({ ...sequenceFeeds(config, [sequence]), ...feedsOf(copyParameters(model.parameters)), weights: float32([weights.length], Float32Array.from(weights)) }, names)
    return { logps: Array.from(out["logps"]!.data as Float32Array), out }
  }

  const forwardPass = async (model: Model, input: any, backward: boolean) => {
    const outputs = []
    for (const { ids, inputs } of readAll(input.data)) {
      const mask = inputs["weights"] ?? ids.slice(1).map(() => 1)
      const { logps } = await pass(model, ids, mask, false)
      if (backward) {
        if (input.loss_fn !== "importance_sampling") throw new Refused(422, "only importance_sampling is trained here")
        const slopes = logps.map((logp, t) => mask[t]! * inputs["advantages"]![t]! * Math.exp(logp - inputs["logprobs"]![t]!))
        const scale = reduction === "sum" ? 1 : 1 / Math.max(1e-9, mask.reduce((a, b) => a + b, 0))
        const { out } = await pass(model, ids, slopes.map((x) => x * scale), true)
        for (const name of model.parameters.keys()) {
          const part = out[`grad.${name}`]!.data as Float32Array
          const known = model.gradients.get(name)
          if (known === undefined) model.gradients.set(name, part.slice())
          else for (let i = 0; i < part.length; i++) known[i]! += part[i]!
        }
        model.sequences++
      }
      outputs.push({ logprobs: { data: logps, dtype: "float32", shape: [logps.length] } })
    }
    return { loss_fn_output_type: "scalar", loss_fn_outputs: outputs, metrics: {} }
  }

  const optimStep = (model: Model, adam: any) => {
    if (model.sequences > 0) {
      if (reduction === "mean") for (const g of model.gradients.values()) for (let i = 0; i < g.length; i++) g[i]! /= model.sequences
      adamwStep(model.parameters, model.gradients, model.state, {
        learningRate: adam.learning_rate, beta1: adam.beta1, beta2: adam.beta2, epsilon: adam.eps, weightDecay: adam.weight_decay
      })
    }
    model.gradients = new Map()
    model.sequences = 0
    return { metrics: null }
  }

  /** Samples that wait for the next batch. */
  let waiting: Array<{ readonly body: any; readonly done: (result: unknown) => void; readonly failed: (cause: unknown) => void }> = []
  const drawAll = async () => {
    const all = waiting
    waiting = []
    for (const [key, group] of Map.groupBy(all, ({ body: { model_path: path, sampling_params: p } }) => JSON.stringify([path, p.temperature, p.stop, p.max_tokens]))) {
      try {
        const [path, temperature, stop, maxNewTokens] = JSON.parse(key)
        const [, id, name] = /^tinker:\/\/([\w-]+)\/(?:sampler_weights\/)?([\w-]+)$/.exec(path) ?? []
        const model = modelOf(id ?? "")
        const saved = sampler.get(`${id}/${name}`)
        if (saved === undefined) throw new Refused(404, `Checkpoint not found: ${id}/${name}`)
        if (model.loaded !== name) {
          model.parameters = copyParameters(saved.parameters) // the trap
          model.loaded = name!
        }
        drawing ??= new SamplerProgram({ checkpoint, lora: model.lora, maxLength, maxNumSeqs: 64, tokenTexts: tokenizer.tokenTexts, device: "cpu", threads: 1 })
        const groups = await drawing.sample({
          prompts: group.map(({ body }) => ({ ids: body.prompt.chunks.flatMap((chunk: any) => chunk.tokens), seeds: [body.sampling_params.seed] })),
          parameters: copyParameters(model.parameters),
          options: { ...plain, temperature },
          maxNewTokens,
          stop: stop[0],
          eosIds: tokenizer.eosIds
        })
        group.forEach(({ done }, n) => {
          const { finish, ids, logps } = groups[n]![0]!
          done({ sequences: [{ stop_reason: finish === "length" ? "length" : "stop", tokens: ids, logprobs: logps }], prompt_logprobs: null })
        })
      } catch (cause) {
        for (const { failed } of group) failed(cause)
      }
    }
  }

  const first = (model: Model) => {
    if (model.requests > 1) throw new Refused(400, `LoadWeights is not permitted with seq_id ${model.requests}`)
  }

  const work: Readonly<Record<string, (body: any) => unknown>> = {
    forward: (body) => forwardPass(modelOf(body.model_id), body.forward_input, false),
    forward_backward: (body) => forwardPass(modelOf(body.model_id), body.forward_backward_input, true),
    optim_step: (body) => optimStep(modelOf(body.model_id), body.adam_params),
    save_weights: (body) => {
      const model = modelOf(body.model_id)
      if (training.has(`${body.model_id}/${body.path}`)) throw new Refused(409, `Checkpoint '${body.path}' already exists`)
      training.set(`${body.model_id}/${body.path}`, { parameters: copyParameters(model.parameters), state: copyState(model.state) })
      return { path: `tinker://${body.model_id}/weights/${body.path}`, type: "save_weights" }
    },
    save_weights_for_sampler: (body) => {
      const model = modelOf(body.model_id)
      if (sampler.has(`${body.model_id}/${body.path}`)) throw new Refused(409, `Checkpoint '${body.path}' already exists`)
      sampler.set(`${body.model_id}/${body.path}`, { parameters: copyParameters(model.parameters), state: initialState() })
      return { path: `tinker://${body.model_id}/${body.path}`, type: "save_weights_for_sampler", sampling_session_id: null }
    },
    load_weights: (body) => {
      const model = modelOf(body.model_id)
      first(model)
      const [, id, name] = /^tinker:\/\/([\w-]+)\/weights\/([\w-]+)$/.exec(body.path) ?? []
      const saved = training.get(`${id}/${name}`)
      if (saved === undefined) throw new Refused(404, `Checkpoint not found: ${id}/${name}`)
      model.parameters = copyParameters(saved.parameters)
      if (body.optimizer) model.state = copyState(saved.state)
      return { type: "load_weights" }
    },
    unload_model: (body) => {
      models.delete(body.model_id)
      return { model_id: body.model_id, status: "unloaded" }
    },
    asample: (body) => new Promise((done, failed) => {
      if (waiting.length === 0) setTimeout(() => void drawAll(), 10)
      waiting.push({ body, done, failed })
    })
  }

  /** Later requests wait for earlier ones, samples apart. */
  let chain: Promise<unknown> = Promise.resolve()
  const promise = (path: string, body: any) => {
    const id = String(++next)
    const model = models.get(body.model_id)
    if (model !== undefined) model.requests++
    const answer = path === "asample" ? Promise.resolve(work[path]!(body)) : chain.then(() => work[path]!(body))
    if (path !== "asample") chain = answer.catch(() => undefined)
    answer.catch(() => undefined)
    futures.set(id, answer)
    return { request_id: id, future_id: id, status: "pending" }
  }

  const forget = () => {
    models.clear()
    futures.clear()
    sessions.clear()
  }

  const answer = async (path: string, body: any): Promise<unknown> => {
    switch (path) {
      case "healthz":
        return { status: "ok" }
      case "get_server_capabilities":
        return { supported_models: [{ model_name: "models/policy" }] }
      case "create_session": {
        const session_id = idOf("session")
        sessions.add(session_id)
        return { type: "create_session", session_id }
      }
      case "session_heartbeat":
        if (!sessions.has(body.session_id)) throw new Refused(404, "Session not found")
        return { type: "session_heartbeat" }
      case "create_model": {
        if (!sessions.has(body.session_id)) throw new Refused(404, "Session not found")
        const model_id = idOf("model")
        const id = String(++next)
        const made = chain.then(() => {
          if (models.size >= capacity) throw new Refused(400, `Maximum number of LoRA adapters (${capacity + 1}) reached`)
          const lora: LoraConfig = { r: body.lora_config.rank, alpha: 32, targets: allLinear }
          models.set(model_id, {
            parameters: initialAdapter(modulesOf(config), lora, body.lora_config.seed), state: initialState(), lora, gradients: new Map(), sequences: 0, requests: 0
          })
          return { model_id, base_model: body.base_model, lora_config: { ...body.lora_config, alpha: 32 } }
        })
        chain = made.catch(() => undefined)
        futures.set(id, made)
        return { model_id, request_id: id, status: "created" }
      }
      case "retrieve_future": {
        const future = futures.get(body.request_id)
        if (future === undefined) throw new Refused(404, "Future not found")
        if (future === "never") throw new Refused(408, "Timeout waiting for result")
        return await future
      }
    }
    return path in work ? promise(path, body) : Promise.reject(new Refused(404, "Not Found"))
  }

  const archive = async (id: string, name: string): Promise<Uint8Array> => {
    const saved = sampler.get(`${id}/${name}`)
    if (saved === undefined) throw new Refused(404, `Checkpoint not found: ${id}/${name}`)
    const r = saved.parameters.values().next().value!.shape[0]
    return createTarGzip([
      { name: "./adapter_model.safetensors", data: encodeSafetensors(saved.parameters) },
      { name: "./adapter_config.json", data: JSON.stringify({ peft_type: "LORA", r, lora_alpha: 32, target_modules: null, base_model_name_or_path: "models/policy" }) },
      { name: "./README.md", data: "An adapter." }
    ])
  }

  const server = http.createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk) => chunks.push(chunk))
    request.on("end", async () => {
      const path = request.url!.replace(/^\/api\/v1\//, "")
      const json = (status: number, value: unknown) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value))
      try {
        const body = chunks.length === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString("utf8"))
        asked.push({ path, body })
        if (key !== undefined && request.headers["x-api-key"] !== key && !path.endsWith("/download")) return json(401, { detail: `Invalid key ${request.headers["x-api-key"]}` })
        const fault = faults.findIndex((one) => path.startsWith(one.path))
        const how = fault < 0 ? undefined : faults.splice(fault, 1)[0]!.how
        if (how === "html") return response.writeHead(200, { "content-type": "text/html" }).end("<html>A proxy</html>")
        if (how === "huge") return response.writeHead(200).end(Buffer.alloc(70_000_000, 0x20))
        if (how === "refuse") return json(422, { detail: [{ msg: "rank must be even" }] })
        if (how === "forget") forget()
        const [, id, name, kind] = /^training_runs\/([\w-]+)\/checkpoints\/([\w-]+)\/(archive|download)$/.exec(path) ?? []
        if (kind === "archive") return response.writeHead(302, { location: `/api/v1/training_runs/${id}/checkpoints/${name}/download` }).end()
        if (kind === "download") return response.writeHead(200).end(await archive(id!, name!))
        const result = await answer(path, body)
        if (how === "never") futures.set((result as { readonly request_id: string }).request_id, "never")
        if (how === "reset") return request.socket.destroy()
        json(200, result)
      } catch (cause) {
        json(cause instanceof Refused ? cause.status : 500, { detail: (cause as Error).message })
      }
    })
  })
  const { close, url } = await listening(server)
  return {
    url,
    asked,
    faults,
    models,
    forget,
    close: async () => {
      await close()
      await chain
      await drawing?.release()
      await (await session)?.release()
    }
  }
}
