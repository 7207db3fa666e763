/**
 * Judge: a person, on a page (human/page.ts) or on the terminal (human/terminal.ts). Nobody is asked about a pair
 * twice: each answer is stored before it is used. Both hashes decide which picture is on the left, so a preference for
 * one side averages out.
 */
import { createHash } from "node:crypto"
import { Effect, Layer, RcMap, Schema, type Scope, Semaphore } from "effect"
import { type Picture, type Prompt, Verdict } from "../../src/domain.ts"
import { Judge, JudgeStopped } from "../../src/stages/Judge.ts"
import { Answers } from "../guide/answers.ts"
import { type Desk, type DeskOptions, makeDesk } from "../human/desk.ts"
import { type PageOptions, servePage } from "../human/page.ts"
import { sitAtTerminal } from "../human/terminal.ts"

const identity = "human-1"

/** The better picture's hash, so that the answer holds no matter which picture was on the left. */
const Stored = Schema.fromJsonString(Schema.Struct({ better: Schema.NullOr(Schema.String) }))

const sha256 = (value: unknown) => createHash("sha256").update(JSON.stringify(value)).digest()

/** The most pairs that may wait at the same time: more would only fill the list. */
const concurrency = 64

const makeHuman = <R>(options: DeskOptions, serve: (desk: Desk) => Effect.Effect<void, JudgeStopped, R | Scope.Scope>) =>
  Effect.gen(function*() {
    const answers = yield* Answers
    const desk = yield* makeDesk(options)
    yield* serve(desk)
    const stored = <A>(work: Effect.Effect<A, { readonly message: string }>) =>
      Effect.mapError(work, ({ message }) => new JudgeStopped({ message }))
    /** If two callers ask about one pair at once, both wait for one answer. */
    const oneByOne = yield* RcMap.make({ lookup: (_key: string) => Semaphore.make(1) })

    const betterOf = Effect.fnUntraced(function*(key: string, prompt: Prompt, lower: Picture, upper: Picture) {
      const known = yield* stored(answers.get(key))
      if (known !== undefined) return (yield* Effect.orDie(Schema.decodeEffect(Stored)(known))).better
      const [left, right] = sha256([lower.hash, upper.hash])[0]! % 2 === 0 ? [lower, upper] : [upper, lower]
      const choice = yield* desk.ask(prompt.text, left, right)
      const better = choice === "tie" ? null : choice === "left" ? left.hash : right.hash
      yield* stored(answers.put(key, yield* Effect.orDie(Schema.encodeEffect(Stored)({ better })), 0))
      return better
    })

    const compare = Effect.fn("Judge.compare")(function*(prompt: Prompt, a: Picture, b: Picture) {
      if (a.hash === b.hash) return new Verdict({ outcome: "tie", confidence: 0, by: "human" })
      const [lower, upper] = a.hash < b.hash ? [a, b] : [b, a]
      const key = sha256([identity, prompt.text, lower.hash, upper.hash]).toString("hex")
      const better = yield* Effect.scoped(Effect.flatMap(RcMap.get(oneByOne, key), (turn) =>
        Semaphore.withPermit(turn)(betterOf(key, prompt, lower, upper))))
      return better === null
        ? new Verdict({ outcome: "tie", confidence: 0, by: "human" })
        : new Verdict({ outcome: better === a.hash ? "A" : "B", confidence: 1, by: "human" })
    })
    return Judge.of({ name: "human", identity, concurrency, compare })
  })

/** On a page that this process serves on 127.0.0.1. Needs `Answers`. */
export const layerPage = (options: PageOptions & DeskOptions) =>
  Layer.effect(Judge, makeHuman(options, (desk) => servePage(desk, options)))

/** On this terminal; standard input and output must be a terminal. Needs `Answers` and `Terminal`. */
export const layerTerminal = (options: DeskOptions = {}) => Layer.effect(Judge, makeHuman(options, sitAtTerminal))
