/**
 * Judge: a guide model sees all drawings of a prompt in one call and scores each from 1 to 100 (IntroSVG's listwise
 * labels). The verdict on a pair is
 *
 *      a tie, if score A - score B has different signs in the two orders, or is 0 or closer than `tieMargin`
 *      else the higher mean score, with confidence |difference of the mean scores| / 99
 *
 * IntroSVG shows its candidates once, in the order they came. Here the pictures' hashes give the order, and by default
 * a second call shows them reversed. The number of calls grows with a prompt's drawings, not with its pairs.
 */
import { createHash } from "node:crypto"
import { Effect, Layer } from "effect"
import { type Picture, type Prompt, Verdict } from "../../src/domain.ts"
import { Judge } from "../../src/stages/Judge.ts"
import { billRefusals, Guide } from "../guide/guide.ts"
import { listRequest, listRubric } from "../guide/list-rubric.ts"
import { reasonOf } from "../guide/reason.ts"

export interface JudgeListOptions {
  /** 2: every list is shown in both directions, and a pair on which they disagree is a tie. 1: once, at half the price. Default 2. */
  readonly orders?: 1 | 2 | undefined
  /** Mean scores closer than this are a tie; 0..99. Default 5: the model must give equals different scores. */
  readonly tieMargin?: number | undefined
}

/** Pictures in one call: more, and a model loses track of which is which. */
const mostPictures = 8

/**
 * Positions that are shown together; every two of n share at least one list. More than `mostPictures` are cut into
 * blocks of half as many, and every two blocks make a list, so that each pair is decided by a call that showed both.
 */
export const listsOf = (n: number): ReadonlyArray<ReadonlyArray<number>> => {
  const places = Array.from({ length: n }, (_, place) => place)
  if (n <= mostPictures) return n < 2 ? [] : [places]
  const size = mostPictures / 2
  const blocks = places.filter((place) => place % size === 0).map((from) => places.slice(from, from + size))
  return blocks.flatMap((one, i) => blocks.slice(i + 1).map((other) => [...one, ...other]))
}

interface Seen {
  readonly number: number
  readonly score: number
  readonly note: string
}

const mean = (numbers: ReadonlyArray<number>): number => numbers.reduce((sum, x) => sum + x, 0) / numbers.length

const makeListJudge = Effect.fnUntraced(function*({ orders = 2, tieMargin = 5 }: JudgeListOptions) {
  const name = "list"
  const guide = yield* Guide

  const showing = (prompt: Prompt, shown: ReadonlyArray<Picture>) =>
    guide.question(listRubric(shown.length), [
      { text: listRequest(prompt, shown.length) },
      ...shown.flatMap((picture, i) => [{ text: `Picture ${i + 1}:` }, { picture }])
    ])

  const compareAll = Effect.fn("Judge.compareAll")(function*(prompt: Prompt, pictures: ReadonlyArray<Picture>) {
    // Independent of the order they come in, and different for each prompt.
    const drawn = ({ hash }: Picture) => createHash("sha256").update(JSON.stringify([prompt.text, hash])).digest("hex")
    const distinct = [...new Map(pictures.map((picture) => [drawn(picture), picture]))]
      .sort(([a], [b]) => (a < b ? -1 : 1)).map(([, picture]) => picture)
    const place = new Map(distinct.map(({ hash }, i) => [hash, i]))

    const lists = listsOf(distinct.length)
    const calls = lists.flatMap((list, n) =>
      [list, list.toReversed()].slice(0, orders)
        .map((places) => ({ n, places, question: showing(prompt, places.map((at) => distinct[at]!)) }))
    )
    const questions = calls.map(({ question }) => question)
    // Wait for all of them: an answer under way is paid for.
    const asked = yield* Effect.forEach(questions, (question) => Effect.result(guide.ask(question)), { concurrency: "unbounded" })
    const answers = yield* Effect.forEach(asked, Effect.fromResult).pipe(billRefusals(guide, questions))
    const readings = answers.map((answer, i) => ({
      n: calls[i]!.n,
      differences: answer.differences,
      seen: new Map(answer.pictures.map((row): [number, Seen] => [calls[i]!.places[row.number - 1]!, row]))
    }))

    const pairs = pictures.flatMap((a, i) => pictures.slice(i + 1).map((b) => [place.get(a.hash)!, place.get(b.hash)!] as const))
    const costUsd = guide.bill(questions) / pairs.length
    return pairs.map(([a, b]) => {
      if (a === b) return new Verdict({ outcome: "tie", confidence: 0, by: name, costUsd })
      const n = lists.findIndex((list) => list.includes(a) && list.includes(b))
      const both = readings.filter((reading) => reading.n === n)
        .map(({ differences, seen }) => ({ differences, a: seen.get(a)!, b: seen.get(b)! }))
      const scores = [mean(both.map(({ a }) => a.score)), mean(both.map(({ b }) => b.score))] as const
      const gap = scores[0] - scores[1]
      const agreed = both.every(({ a, b }) => Math.sign(a.score - b.score) === Math.sign(gap))
      const tie = !agreed || gap === 0 || Math.abs(gap) < tieMargin
      const said = both.map(({ a, b, differences }) =>
        `A is picture ${a.number}, ${a.score}: ${a.note} | B is picture ${b.number}, ${b.score}: ${b.note} | ${differences}`
      )
      return new Verdict({
        outcome: tie ? "tie" : gap > 0 ? "A" : "B",
        confidence: tie ? 0 : Math.min(1, Math.abs(gap) / 99),
        scores,
        by: name,
        reason: reasonOf(agreed ? said[0]! : `The orders disagree: ${said.join(" || ")}`),
        costUsd
      })
    })
  })
  return Judge.of({
    name,
    identity: `list-1 model=${guide.model} rubric=${listRubric(1).version} orders=${orders} tieMargin=${tieMargin} most=${mostPictures}`,
    concurrency: guide.concurrency * 8,
    compare: (prompt, a, b) => Effect.map(compareAll(prompt, [a, b]), ([verdict]) => verdict!),
    compareAll
  })
})

export const layer = (options: JudgeListOptions = {}) => Layer.effect(Judge, makeListJudge(options))
