/** `vequinox learn-rubric`: how much each term of a blend must count so that it judges as people voted. */
import * as path from "node:path"
import { Console, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import * as votesSqlite from "../../layers/store/votes.ts"
import type { Outcome } from "../domain.ts"
import { readPairRows } from "../evaluation/pair-rows.ts"
import { type Learned, learnRubric, type VotedPair } from "../evaluation/rubric.ts"
import { percent } from "../evaluation/statistics.ts"
import { promptOf } from "../prompts.ts"
import { holdsRun } from "../run/folder.ts"
import { Judge } from "../stages/Judge.ts"
import { renderFor } from "../stages/render-for.ts"
import { Votes } from "../studio/votes.ts"
import { BadInput } from "../system/errors.ts"
import { needNewFiles, writeNewFile } from "../system/outputs.ts"
import { makeProgress, type Progress, progressStyle } from "../system/progress.ts"
import { above } from "../system/ranges.ts"
import { stringifyYaml } from "../system/yaml.ts"
import * as Flags from "../wiring/flags.ts"
import { movedTerms, nameOf, readTerms, type Terms } from "../wiring/judges/blend.ts"
import { judges } from "../wiring/judges/judges.ts"
import { openJudging } from "../wiring/judges/judging.ts"
import { numberFlag } from "../wiring/setting-flags.ts"
import { resolveConfig } from "../wiring/settings.ts"

/** Fewer votes than this teach nothing that could be trusted. */
const fewestVotes = 20
/** The least weight that a file may have. */
const leastWeight = 1e-4

export const learnRubricCommand = Command.make("learn-rubric", {
  run: Flag.String("run").pipe(
    Flag.withDescription("run folder whose pairs people voted on in the studio; may be given several times"),
    Flag.between(0, Infinity)
  ),
  pairs: Flag.String("pairs").pipe(
    Flag.withDescription("JSONL rows of {prompt, a, b, by, verdict} with paths of SVG files, relative to that file, or a_svg and b_svg with their texts; verdict: A, B or tie"),
    Flag.optional
  ),
  terms: Flag.String("judge-terms").pipe(Flag.withDescription("YAML file of the terms of a blend, whose weights are learned")),
  out: Flag.String("out").pipe(Flag.withDescription("YAML file for the terms with the weights that were learned")),
  l2: numberFlag("l2", above(0, 1e6)).pipe(Flag.withDescription("how strongly weights are held at 0"), Flag.withDefault(1)),
  seed: Flags.seed,
  json: Flags.json
}, Effect.fn(function*({ json, l2, out, pairs: file, run, seed, terms: given }) {
  yield* needNewFiles([out], "--out")
  const terms = yield* readTerms(given, judges)
  if (terms.terms.length < 2) return yield* new BadInput({ message: `${given} has one term, so there are no weights to learn: name at least two.` })
  const settings = yield* resolveConfig(undefined, { judge: "blend", judge_terms: given })
  const { stages } = yield* openJudging(settings, progressStyle(json))
  const votes = [...yield* votesOf(run), ...Option.isSome(file) ? yield* votesIn(file.value) : []]
  if (votes.length < fewestVotes || new Set(votes.map(({ prompt }) => prompt)).size < 2) {
    return yield* new BadInput({
      message: `It takes at least ${fewestVotes} votes on two prompts or more, and here are ${votes.length}: vote in vequinox studio, or give rows with --pairs.`
    })
  }
  const progress = yield* makeProgress(progressStyle(json), "pair", votes.length)
  const names = terms.terms.map(nameOf)
  const scored = yield* scoredPairs(votes, names, progress).pipe(Effect.scoped, Effect.provide(stages))
  yield* progress.end
  if (scored.length < fewestVotes) {
    return yield* new BadInput({ message: `Of ${votes.length} votes only ${scored.length} are on two drawings that render: at least ${fewestVotes} are needed.` })
  }
  const learned = learnRubric(scored, terms.terms.map(({ range, weight = 1 }, n) => ({ name: names[n]!, weight, range })), { l2, seed })
  if (learned.criteria.every(({ after }) => after < leastWeight)) {
    return yield* new BadInput({ message: "These terms give the two drawings of every vote the same scores, so votes say nothing of their weights." })
  }
  yield* writeNewFile(out, headOf(learned) + (yield* stringifyYaml(fileOf(learned, terms, given, out))), "--out")
  yield* Console.log(json ? JSON.stringify(learned) : told(learned, out).join("\n"))
})).pipe(Command.withDescription("Learn from people's votes how much each term of a blend counts"))

interface Labelled {
  readonly prompt: string
  readonly a: string
  readonly b: string
  readonly win: number
}

const wins = { left: 1, right: 0, tie: 0.5 } as const
const winOf = (verdict: Outcome): number | undefined => ({ A: 1, B: 0, tie: 0.5, invalid: undefined, failed: undefined })[verdict]

const votesOf = (runs: ReadonlyArray<string>) =>
  Effect.forEach(runs, Effect.fnUntraced(function*(run) {
    if (!holdsRun(run)) return yield* new BadInput({ message: `${run} is not a run: give a folder that vequinox train wrote.` })
    const pairs = yield* (yield* Votes).drawings(path.resolve(run))
    return pairs.map(({ choice, left, prompt, right }): Labelled => ({ prompt, a: left, b: right, win: wins[choice] }))
  })).pipe(Effect.map((all) => all.flat()), Effect.provide(votesSqlite.layer))

const votesIn = Effect.fnUntraced(function*(file: string) {
  const rows = yield* readPairRows(file)
  return yield* Effect.forEach(rows, ({ earlier, prompt, svgs: [a, b] }, n) => {
    const win = earlier === undefined ? undefined : winOf(earlier.verdict)
    return win === undefined
      ? Effect.fail(new BadInput({ message: `${file}, row ${n + 1}, says nothing of who won: give "by" and "verdict", which is A, B or tie.` }))
      : Effect.succeed<Labelled>({ prompt, a, b, win })
  })
})

/** Pairs of which both drawings render, with each term's scores. */
const scoredPairs = Effect.fnUntraced(function*(votes: ReadonlyArray<Labelled>, names: ReadonlyArray<string>, progress: Progress) {
  const judge = yield* Judge
  let done = 0
  const scored = yield* Effect.forEach(votes, Effect.fnUntraced(function*({ a, b, prompt: text, win }) {
    const prompt = promptOf(text)
    const [left, right] = yield* Effect.all([renderFor(prompt, a), renderFor(prompt, b)], { concurrency: 2 })
    yield* progress.tick(++done, "")
    if (left._tag !== "Rendered" || right._tag !== "Rendered") return []
    const { outcome, terms = {} } = yield* judge.compare(prompt, left.picture, right.picture)
    const of = (side: 0 | 1) => names.map((name) => terms[name]![side])
    return [{ prompt: text, win, judged: winOf(outcome) ?? 0.5, a: of(0), b: of(1) } satisfies VotedPair]
  }), { concurrency: 4 })
  return scored.flat()
})

const short = (x: number): number => Number(x.toPrecision(4))

const headOf = ({ after, before, votes }: Learned): string =>
  `# Learned from ${votes} votes by vequinox learn-rubric: on votes that were held out it agrees with people on ${percent(after)},\n` +
  `# where the weights before agreed on ${percent(before)}.\n`

/** A term that counts nothing is left out, unless it is a gate. */
const fileOf = ({ criteria, tieMargin }: Learned, terms: Terms, from: string, to: string) => ({
  tie_margin: short(tieMargin),
  terms: movedTerms(terms, from, to).flatMap((term, n) => {
    const { after, range: [none, full] } = criteria[n]!
    return after < leastWeight && term.least === undefined ? [] : [{ ...term, weight: short(Math.max(leastWeight, after)), range: [short(none), short(full)] }]
  })
})

const told = ({ after, before, criteria, difference, votes }: Learned, out: string): ReadonlyArray<string> => {
  const width = Math.max(...criteria.map(({ name }) => name.length))
  return [
    `${"term".padEnd(width)}  weight before  after`,
    ...criteria.map(({ after, before, name, standardError }) =>
      `${name.padEnd(width)}  ${before.toFixed(2).padStart(13)}  ${after.toFixed(2)} ± ${(1.96 * standardError).toFixed(2)}`),
    `Agreement with ${votes} votes, each held out: ${percent(before)} before, ${percent(after)} after, difference ${(100 * difference.value).toFixed(1)} points [${
      (100 * difference.lower).toFixed(1)
    }, ${(100 * difference.upper).toFixed(1)}].`,
    `Use it: --judge blend --judge-terms ${out}`
  ]
}
