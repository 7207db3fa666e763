/**
 * Reads the pairs to judge from a JSONL file, and writes the JSONL file of their verdicts, which a second start
 * continues.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Schema } from "effect"
import { Outcome, type Verdict } from "../domain.ts"
import { explain, FileProblem, readNumberedRows, readText } from "../system/files.ts"
import { makeFolders } from "../system/folders.ts"

/** An earlier judge's verdict on the pair. */
const Earlier = Schema.Struct({ by: Schema.String, verdict: Outcome })

/** Names of the two drawings: a file's path, a hash of the text, or a position among a prompt's candidates. */
const Name = Schema.Union([Schema.String, Schema.Int])

export interface PairRow {
  readonly prompt: string
  readonly a: typeof Name.Type
  readonly b: typeof Name.Type
  /** The step of a run's pair. */
  readonly step?: number
  readonly svgs: readonly [a: string, b: string]
  readonly earlier?: typeof Earlier.Type
}

const GivenRow = Schema.Struct({
  prompt: Schema.String,
  a: Schema.optionalKey(Schema.String),
  b: Schema.optionalKey(Schema.String),
  a_svg: Schema.optionalKey(Schema.String),
  b_svg: Schema.optionalKey(Schema.String),
  /** Both are there if the pair was judged before. */
  by: Schema.optionalKey(Schema.String),
  verdict: Schema.optionalKey(Outcome)
})

/**
 * Rows of {prompt, a, b} with paths of SVG files, relative to the rows' file, or {prompt, a_svg, b_svg} with their
 * texts.
 */
export const readPairRows = Effect.fn("readPairRows")(function*(file: string) {
  const known = new Map<string, string>() // a drawing in several pairs is read once
  const drawing = Effect.fnUntraced(function*(number: number, side: "a" | "b", name: string | undefined, svg: string | undefined) {
    if (svg !== undefined) return [`sha256:${createHash("sha256").update(svg).digest("hex").slice(0, 16)}`, svg] as const
    if (name === undefined) {
      return yield* new FileProblem({ message: `${file}, line ${number}: give "${side}", the path of an SVG file, or "${side}_svg", its text.` })
    }
    const at = path.resolve(path.dirname(file), name)
    const text = known.get(at) ?? (yield* readText(at).pipe(
      Effect.mapError(({ message }) => new FileProblem({ message: `${file}, line ${number}: ${message}` }))
    ))
    known.set(at, text)
    return [name, text] as const
  })
  return yield* Effect.forEach(yield* readNumberedRows(file, GivenRow), ({ number, row }) =>
    Effect.gen(function*() {
      const [a, svgA] = yield* drawing(number, "a", row.a, row.a_svg)
      const [b, svgB] = yield* drawing(number, "b", row.b, row.b_svg)
      const { by, prompt, verdict } = row
      const earlier = by === undefined || verdict === undefined ? {} : { earlier: { by, verdict } }
      return { prompt, a, b, svgs: [svgA, svgB], ...earlier } satisfies PairRow as PairRow
    }))
})

/** A line of the results. */
const JudgedRow = Schema.Struct({
  prompt: Schema.String,
  a: Name,
  b: Name,
  step: Schema.optionalKey(Schema.Int),
  verdict: Outcome,
  confidence: Schema.Finite,
  scores: Schema.NullOr(Schema.Tuple([Schema.Finite, Schema.Finite])),
  by: Schema.String,
  reason: Schema.NullOr(Schema.String),
  costUsd: Schema.Finite,
  /** Identity of the judge that was asked. */
  judge: Schema.String,
  earlier: Schema.optionalKey(Earlier)
})
export type JudgedRow = typeof JudgedRow.Type

/** A verdict as a row of JSON has it. */
export const verdictColumns = ({ by, confidence, costUsd, outcome, reason, scores }: Verdict) =>
  ({ verdict: outcome, confidence, scores: scores ?? null, by, reason: reason ?? null, costUsd: costUsd ?? 0 })

export const judgedRow = ({ a, b, earlier, prompt, step }: PairRow, verdict: Verdict, judge: string): JudgedRow => ({
  prompt,
  a,
  b,
  ...(step === undefined ? {} : { step }),
  ...verdictColumns(verdict),
  judge,
  ...(earlier === undefined ? {} : { earlier })
})

type Results = { readonly done: ReadonlyArray<JudgedRow>; readonly torn: Buffer }

/** The first bytes of this pair's row, which do not depend on the verdict. */
const beginning = ({ a, b, prompt, step }: PairRow): Buffer =>
  Buffer.from(JSON.stringify({ prompt, a, b, ...(step === undefined ? {} : { step }) }).slice(0, -1) + ",\"verdict\":")

const decodeRow = Schema.decodeUnknownEffect(Schema.fromJsonString(JudgedRow))

/** The rows of the first pairs, and the rest of a row that was cut off. Fails if the file holds anything else. */
const readResults = Effect.fnUntraced(function*(file: string, bytes: Buffer, pairs: ReadonlyArray<PairRow>, judge: string) {
  const end = bytes.lastIndexOf("\n") + 1
  const torn = bytes.subarray(end)
  const lines = bytes.subarray(0, end).toString("utf8").split("\n").slice(0, -1)
  const refused = (n: number, what: string) => new FileProblem({ message: `${file}, line ${n + 1}, is ${what}: choose another --out.` })
  const foreign = (n: number) => refused(n, "not a verdict that judge-pairs wrote")
  const done: Array<JudgedRow> = []
  for (const [n, line] of lines.entries()) {
    const row = yield* Effect.mapError(decodeRow(line), () => foreign(n))
    const pair = pairs[n]
    const same = pair !== undefined && pair.prompt === row.prompt && pair.a === row.a && pair.b === row.b && pair.step === row.step
    if (!same) return yield* refused(n, "of another pair")
    if (row.judge !== judge) return yield* refused(n, `by another judge (${row.judge})`)
    done.push(row)
  }
  if (torn.length > 0) {
    const next = pairs[done.length]
    const expected = next === undefined ? undefined : beginning(next)
    const length = Math.min(torn.length, expected?.length ?? 0)
    if (expected === undefined || !torn.subarray(0, length).equals(expected.subarray(0, length))) return yield* foreign(done.length)
  }
  return { done, torn } satisfies Results as Results
})

/**
 * Opens the results to add more, until the scope closes. Existing rows must belong to the first pairs, in their order,
 * by the same judge; a last line that was cut off is dropped. If a file holds anything else, that is a `FileProblem`
 * and the file stays as it is. A row that cannot be written whole leaves no part of itself, and if no row is written no
 * file is left.
 */
export const openResults = Effect.fn("openResults")(function*(file: string, pairs: ReadonlyArray<PairRow>, judge: string) {
  const attempt = <A>(work: () => A) =>
    Effect.try({
      try: work,
      catch: (cause) => new FileProblem({ message: `${file} cannot be written (${explain(cause)}): choose another --out.` })
    })
  const { fd } = yield* Effect.acquireRelease(
    attempt(() => {
      makeFolders(path.dirname(path.resolve(file)))
      const made = !fs.existsSync(file)
      return { fd: fs.openSync(file, "a+"), made }
    }),
    ({ fd, made }) =>
      Effect.sync(() => {
        if (made && fs.fstatSync(fd).size === 0) fs.rmSync(file, { force: true })
        fs.closeSync(fd)
      })
  )
  const bytes = yield* attempt(() => fs.readFileSync(fd))
  const { done, torn } = yield* readResults(file, bytes, pairs, judge)
  let size = bytes.length - torn.length
  if (torn.length > 0) yield* attempt(() => fs.ftruncateSync(fd, size))
  const append = (row: JudgedRow) =>
    attempt(() => {
      const line = JSON.stringify(row) + "\n"
      try {
        fs.writeFileSync(fd, line) // writes until all of it is there
        size += Buffer.byteLength(line)
      } catch (cause) {
        fs.ftruncateSync(fd, size)
        throw cause
      }
    })
  return { done, append }
})
