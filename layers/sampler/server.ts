/** One sampling server: which engine it is, which adapters it holds, and how it is asked. */
import { Effect, Semaphore } from "effect"
import type { Engine, Reader, Told, Work } from "./engine.ts"
import { type EngineName, meet } from "./engines.ts"
import type { PushedAdapter } from "./pushed-adapters.ts"
import { AdapterLost, AnswerUnusable, type CallError, type Caller, failureOf, saidIn, ServerDown, ServerRefused } from "./server-call.ts"

/** An adapter that a server holds since it was loaded there. Loaded again, it is another one. */
export interface Held {
  readonly adapter: string
  readonly server: string
  readonly engine: Engine
  /** Whether its log-probabilities were compared with the trainer's. */
  checked: boolean
  /** Requests under way. */
  inUse: number
}

/** Candidates in the order of their seeds, and who drew them. */
export interface Drawn {
  readonly told: ReadonlyArray<Told>
  readonly held: Held
}

export interface ServerOptions {
  readonly caller: Caller
  readonly engine: EngineName
  readonly reader: Reader
  /** Most tokens of prompt and completion together that it must take. */
  readonly maxLength: number
  /** Why an engine cannot draw for this run, a sentence about it, or undefined. */
  readonly unfit: (engine: Engine) => string | undefined
  /** How the names of this run's adapters begin: what an earlier process of it left there is unloaded. */
  readonly own: string
}

export interface Server {
  readonly where: string
  readonly ask: (adapter: PushedAdapter, work: Work) => Effect.Effect<Drawn, CallError>
  /** After a failure it is met anew: another server may answer at its address. */
  readonly forget: () => void
  /** Unloads what it holds of this run, as far as it answers within a few seconds. */
  readonly clear: Effect.Effect<void>
}

/** Adapters that a server holds beside those that are asked for: the one before, which evaluations go back to. */
const keptBeside = 1

/** Refused loads after which it is certain that they will not succeed: a shared folder may take a moment to show a new file. */
const mostLoads = 3

export const makeServer = Effect.fnUntraced(function*({ caller, engine: name, maxLength, own, reader, unfit }: ServerOptions) {
  const { call, shown, where } = caller
  /** In the order of their last use. */
  const held = new Map<string, Held>()
  let known: Engine | undefined
  let refusedLoads = 0
  /** One change of what it holds at a time. */
  const gate = yield* Semaphore.make(1)

  const unload = (engine: Engine, adapter: string) =>
    call(...engine.unload(adapter)).pipe(Effect.timeout(5000), Effect.ignore)

  const met = Effect.gen(function*() {
    if (known !== undefined) return known
    const { engine, maxLength: takes, models } = yield* meet(caller, name)
    const why = unfit(engine)
    if (why !== undefined) return yield* new ServerRefused({ message: `${where} is ${engine.name}, which ${why}` })
    if (takes !== undefined && takes < maxLength) {
      return yield* new ServerRefused({
        message: `${where} takes ${takes} tokens of prompt and drawing, and --max-length is ${maxLength}: start it with a longer --max-model-len (vequinox serve: --max-length), or lower --max-length.`
      })
    }
    for (const model of models) if (model.startsWith(own) && !held.has(model)) yield* unload(engine, model)
    return known = engine
  })

  const loadRefused = (engine: Engine, { folder, name }: PushedAdapter, status: number, body: string) => {
    const said = saidIn(body)
    const closed = status === 404 && said === "Not Found"
    const message = closed
      ? `${where} loads no adapters: start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, SGLang with --enable-lora.`
      : `${where} does not load the adapter ${name} from ${folder} (${status}: ${shown(said)}): it must see that folder (--sampler-adapters, --sampler-adapters-at), ` +
        (engine.name === "vequinox" ? "which --adapters opens to it." : "and take adapters of this rank (--max-lora-rank).")
    return closed || status === 401 || ++refusedLoads >= mostLoads ? new ServerRefused({ message }) : new ServerDown({ message: message.slice(0, -1) })
  }

  /** Those that nobody asks for any more go, the longest unused first. */
  const retire = Effect.fnUntraced(function*(engine: Engine, current: string) {
    const idle = [...held.values()].filter(({ adapter, inUse }) => adapter !== current && inUse === 0)
    for (const { adapter } of idle.slice(0, Math.max(0, idle.length - keptBeside))) {
      held.delete(adapter)
      yield* unload(engine, adapter)
    }
  })

  const hold = (adapter: PushedAdapter) =>
    gate.withPermit(Effect.gen(function*() {
      const engine = yield* met
      const there = held.get(adapter.name)
      if (there !== undefined) {
        held.delete(adapter.name)
        held.set(adapter.name, there)
        there.inUse++
        return there
      }
      const { body, retryAfter, status } = yield* call(...engine.load(adapter.name, adapter.folder))
      if (status === 429 || status === 503) return yield* failureOf(caller, { body, retryAfter, status })
      if (status !== 200 && !engine.isThere(saidIn(body))) return yield* loadRefused(engine, adapter, status, body)
      refusedLoads = 0
      const now: Held = { adapter: adapter.name, server: where, engine, checked: false, inUse: 1 }
      held.set(adapter.name, now)
      yield* retire(engine, adapter.name)
      return now
    }))

  const one = Effect.fnUntraced(function*(engine: Engine, adapter: string, work: Work) {
    const answered = yield* call(...engine.ask(adapter, work, reader.tokenizer.eosIds))
    if (answered.status === 200) return yield* engine.read(answered.body, adapter, work, reader)
    const said = saidIn(answered.body)
    return yield* engine.isLost(answered.status, said)
      ? new AdapterLost({ message: `it knows no ${adapter} (${answered.status}: ${shown(said)})` })
      : failureOf(caller, answered)
  })

  const ask: Server["ask"] = Effect.fnUntraced(function*(adapter, work) {
    const now = yield* hold(adapter)
    const { engine } = now
    const parts = Array.from({ length: Math.ceil(work.seeds.length / engine.most) }, (_, n) => work.seeds.slice(n * engine.most, (n + 1) * engine.most))
    return yield* Effect.forEach(parts, (seeds) => one(engine, adapter.name, { ...work, seeds }), { concurrency: "unbounded" }).pipe(
      Effect.map((told): Drawn => ({ told: told.flat(), held: now })),
      Effect.mapError((error): CallError =>
        error._tag === "AnswerUnusable" ? new AnswerUnusable({ message: `${where}: ${error.message}` })
          : error._tag === "AdapterLost" ? new AdapterLost({ message: `${where} does not answer under the adapter ${adapter.name}: ${error.message}` })
          : error
      ),
      Effect.tapError(({ _tag }) => Effect.sync(() => {
        if (_tag === "AdapterLost" && held.get(adapter.name) === now) held.delete(adapter.name)
      })),
      Effect.ensuring(Effect.sync(() => void now.inUse--))
    )
  })

  return {
    where,
    ask,
    forget: () => void (known = undefined),
    clear: Effect.suspend(() => {
      const engine = known
      return engine === undefined ? Effect.void : Effect.forEach([...held.keys()], (adapter) => unload(engine, adapter), { concurrency: "unbounded", discard: true })
    })
  } satisfies Server as Server
})
