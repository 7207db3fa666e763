/**
 * Models on a Tinker server: each an adapter of its own on the server's base, with its own optimizer. A server that was started
 * again, or that dropped a session, has forgotten them: then a new session is begun, the model is made again from the checkpoint
 * it came from, and the work on it begins again.
 *
 * Ordering: models are made one at a time. A model that trains belongs to one fiber.
 */
import { Effect, Schedule, Semaphore } from "effect"
import { type TinkerClient, type TinkerError, TinkerForgot, TinkerGone, TinkerLate, TinkerRefused } from "./client.ts"
import { type Datum, datumOf, Done, NewModel, Sampled, Saved, Scored, Session, textChunk } from "./wire.ts"

/** A model, wherever it is: the server's id of it changes when it is made again. */
export class Held {
  /** The training checkpoint that it is made from; undefined: fresh, and so equal to the base. */
  path: string | undefined
  id: string | undefined
  session = ""
  /** Whether it goes on training, and so needs its optimizer's moments. */
  readonly trains: boolean
  constructor(path: string | undefined, trains: boolean) {
    this.path = path
    this.trains = trains
  }
}

export interface ModelsOptions {
  readonly client: TinkerClient
  /** As the server names it. */
  readonly baseModel: string
  /** >= 1. */
  readonly rank: number
  /** Of a fresh adapter, in [0, 2^31). */
  readonly seed: number
}

/** AdamW's settings for one step. */
export interface AdamParams {
  readonly learning_rate: number
  readonly beta1: number
  readonly beta2: number
  readonly eps: number
  readonly weight_decay: number
}

export interface SampleParams {
  readonly max_tokens: number
  readonly seed: number
  readonly stop: ReadonlyArray<string>
  readonly temperature: number
  readonly top_k: number
  readonly top_p: number
}

/** Seconds between two signs of life; SkyRL drops a session after 300 without one. */
const heartbeat = 10

/** How often work on a model begins again from its checkpoint. */
const most = 3

/** Whether the same work may succeed on a model that was made again. */
const passes = (error: unknown): boolean => error instanceof TinkerGone || error instanceof TinkerLate || error instanceof TinkerForgot

/** Its models are unloaded when the scope ends, if the server is there. */
export const makeTinkerModels = Effect.fnUntraced(function*({ baseModel, client, rank, seed }: ModelsOptions) {
  const { ask, perform, ready, result } = client
  let session = ""
  let made = 0
  const alive = new Set<Held>()
  /** Ids that nothing holds any more. */
  const stale = new Set<string>()
  let doubtful = true
  const gate = yield* Semaphore.make(1)

  const optimStep = (model_id: string, adam_params: AdamParams) => perform("optim_step", { type: "optim_step", model_id, adam_params }, Done)
  const beat = (session_id: string) => ask("session_heartbeat", { type: "session_heartbeat", session_id }, Done)

  const sessionNow = Effect.gen(function*() {
    if (!doubtful) return session
    yield* ready
    const still = session !== "" && (yield* beat(session).pipe(Effect.as(true), Effect.catchTag("TinkerForgot", () => Effect.succeed(false))))
    if (!still) {
      const begun = yield* ask("create_session", { type: "create_session", tags: ["vequinox"], user_metadata: null, sdk_version: "0.3.0" }, Session)
      session = begun.session_id
    }
    doubtful = false
    return session
  })

  /** Gradients first: SkyRL's JAX engine hands those of an unloaded model on to the next in its place. */
  const unload = (model_id: string) =>
    optimStep(model_id, { learning_rate: 0, beta1: 0, beta2: 0, eps: 1, weight_decay: 0 }).pipe(
      Effect.andThen(perform("unload_model", { type: "unload_model", model_id }, Done)),
      Effect.ignore,
      Effect.timeoutOption("10 seconds"),
      Effect.asVoid
    )

  const create = Effect.fnUntraced(function*(session_id: string) {
    const { model_id, request_id } = yield* ask("create_model", {
      type: "create_model", session_id, model_seq_id: made++, base_model: baseModel, lora_config: { rank, seed }
    }, NewModel)
    yield* result(request_id, Done, "create_model")
    return model_id
  }, client.whereRoom)

  const open = Effect.fnUntraced(function*(held: Held) {
    const session_id = yield* sessionNow
    for (const id of stale) {
      yield* unload(id)
      stale.delete(id)
    }
    if (held.id !== undefined && held.session === session_id) return held.id
    const model_id = yield* create(session_id)
    if (held.path !== undefined) {
      yield* perform("load_weights", { type: "load_weights", model_id, path: held.path, optimizer: held.trains, seq_id: 1 }, Done).pipe(
        Effect.onError(() => Effect.sync(() => void stale.add(model_id)))
      )
    }
    held.id = model_id
    held.session = session_id
    alive.add(held)
    return model_id
  }, gate.withPermits(1))

  /** What was under way may have been done, in part or whole: its next use makes it again. */
  const forget = (held: Held) =>
    Effect.sync(() => {
      if (held.id !== undefined) stale.add(held.id)
      held.id = undefined
    })

  /** This process is done with it. */
  const drop = (held: Held): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { id } = held
      alive.delete(held)
      held.id = undefined
      return id === undefined ? Effect.void : unload(id)
    })

  /** Work on a model under the server's id of it; begins again, with the model as its checkpoint has it, where the server lost it. */
  const using = <A, E>(held: Held, work: (id: string) => Effect.Effect<A, E | TinkerError>): Effect.Effect<A, E | TinkerError> =>
    Effect.flatMap(open(held), work).pipe(
      Effect.tapError((error) => (doubtful ||= passes(error), passes(error) ? forget(held) : Effect.void)),
      Effect.retry({ while: passes, times: most, schedule: Schedule.exponential("500 millis") }),
      Effect.onInterrupt(() => forget(held))
    )

  yield* Effect.addFinalizer(() =>
    Effect.forEach([...alive], drop, { concurrency: "unbounded", discard: true }).pipe(Effect.timeoutOption("2 seconds"))) // Ctrl-C ends in five
  yield* Effect.forkScoped(Effect.repeat(
    Effect.suspend(() => session === "" ? Effect.void : Effect.ignore(beat(session))),
    Schedule.spaced(`${heartbeat} seconds`)
  ))

  const lossInput = (data: ReadonlyArray<Datum>, loss_fn: string) => ({ data, loss_fn })
  const whole = <A>(found: ReadonlyArray<A>, wanted: number, what: string) =>
    found.length === wanted ? Effect.succeed(found) : Effect.fail(new TinkerRefused({ message: `${client.Where} answered ${what} with ${found.length} of ${wanted} sequences.` }))

  /**
   * Log-probability of each token after the first, nats, by sequence; NaN where the server has no number.
   * @param sequences each of at least 2 tokens
   */
  const forward = Effect.fnUntraced(function*(model_id: string, sequences: ReadonlyArray<ReadonlyArray<number>>) {
    const data = sequences.map((ids) => datumOf(ids, { weights: ids.slice(1).map(() => 1) }))
    const { loss_fn_outputs } = yield* perform("forward", { model_id, forward_input: lossInput(data, "cross_entropy") }, Scored)
    const found = loss_fn_outputs.map(({ logprobs }) => logprobs.data.map((x) => x ?? NaN))
    const odd = found.findIndex(({ length }, n) => length !== sequences[n]!.length - 1)
    if (odd >= 0) return yield* new TinkerRefused({ message: `${client.Where} gave ${found[odd]!.length} log-probabilities for ${sequences[odd]!.length - 1} tokens.` })
    return yield* whole(found, sequences.length, "forward")
  })

  const forwardBackward = (model_id: string, data: ReadonlyArray<Datum>) =>
    Effect.flatMap(
      perform("forward_backward", { model_id, forward_backward_input: lossInput(data, "importance_sampling") }, Scored),
      ({ loss_fn_outputs }) => whole(loss_fn_outputs, data.length, "forward_backward")
    )

  /** @returns its path. @param path unique among the model's: letters, digits, _ and - */
  const saveWeights = (model_id: string, path: string) =>
    Effect.map(perform("save_weights", { type: "save_weights", model_id, path }, Saved), (saved) => saved.path)

  const saveForSampler = (model_id: string, path: string) =>
    Effect.map(perform("save_weights_for_sampler", { type: "save_weights_for_sampler", model_id, path }, Saved), (saved) => saved.path)

  const sample = (model_path: string, prompt: ReadonlyArray<number>, sampling_params: SampleParams) =>
    Effect.flatMap(
      perform("asample", { type: "sample", model_path, prompt: textChunk(prompt), num_samples: 1, sampling_params, prompt_logprobs: false }, Sampled),
      ({ sequences }) => Effect.map(whole(sequences, 1, "asample"), ([sequence]) => sequence!)
    )

  return { using, drop, forward, forwardBackward, optimStep, saveWeights, saveForSampler, sample }
})
export type TinkerModels = Effect.Success<ReturnType<typeof makeTinkerModels>>
