/**
 * The terms of `--judge blend`, from a YAML file:
 *
 *     tie_margin: 0.1
 *     terms:
 *       - judge: clip
 *         range: [10, 30]
 *         least: 5
 *       - name: shape
 *         judge: dino
 *         judge_model: facebook/dinov2-small
 *         judge_references: references.jsonl
 *         weight: 0.5
 *         range: [4, 20]
 *
 * What each means is in layers/judge/blend.ts. Paths are relative to the file.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Schema } from "effect"
import * as judgeBlend from "../../../layers/judge/blend.ts"
import { BadInput } from "../../system/errors.ts"
import { readText } from "../../system/files.ts"
import { above, real } from "../../system/ranges.ts"
import { parseYaml } from "../../system/yaml.ts"
import { fetched, type JudgeLayer, type JudgeRow, type JudgeSettings } from "./judge-row.ts"

const Term = Schema.Struct({
  name: Schema.optionalKey(Schema.NonEmptyString),
  judge: Schema.NonEmptyString,
  judge_model: Schema.optionalKey(Schema.NonEmptyString),
  judge_references: Schema.optionalKey(Schema.NonEmptyString),
  weight: Schema.optionalKey(above(0, 1e6)),
  range: Schema.optionalKey(Schema.Tuple([Schema.Finite, Schema.Finite])),
  least: Schema.optionalKey(Schema.Finite)
})
const File = Schema.Struct({ tie_margin: Schema.optionalKey(real(0, 100)), terms: Schema.NonEmptyArray(Term) })
export type Term = typeof Term.Type
export type Terms = typeof File.Type

export const nameOf = ({ judge, name = judge }: Term): string => name

const oneLine = (text: string): string => text.replace(/\s+/g, " ").trim().replace(/\.$/, "")

/** Judges that may be a term: they score, and ask nobody for money. */
const termsOf = (rows: Readonly<Record<string, JudgeRow>>): ReadonlyArray<string> =>
  Object.entries(rows).flatMap(([name, { asks, scores }]) => scores === true && asks === undefined ? [name] : [])

/** Fails with one sentence if the file is missing or is no list of terms that may be added up. */
export const readTerms = Effect.fnUntraced(function*(file: string, rows: Readonly<Record<string, JudgeRow>>) {
  if (file === "") {
    return yield* new BadInput({ message: "--judge blend adds up the scores of several judges: name them in a YAML file, a list under `terms`, and give it as --judge-terms." })
  }
  const text = yield* Effect.mapError(readText(file), ({ message }) => new BadInput({ message }))
  const value = yield* parseYaml(text, (message) => new BadInput({ message: `${file} is not YAML: ${oneLine(message)}.` }))
  const blend = yield* Schema.decodeUnknownEffect(File, { onExcessProperty: "error" })(value).pipe(
    Effect.mapError(({ message }) => new BadInput({ message: `${file}: ${oneLine(message)}.` }))
  )
  for (const [n, term] of blend.terms.entries()) {
    const refuse = (why: string) => new BadInput({ message: `${file}, term ${n + 1}: ${why}.` })
    const known = termsOf(rows)
    if (!known.includes(term.judge)) return yield* refuse(`${term.judge} cannot be a term: take one of ${known.join(", ")}`)
    if (term.range !== undefined && term.range[0] === term.range[1]) return yield* refuse("its range begins where it ends")
    if (blend.terms.slice(0, n).some((other) => nameOf(other) === nameOf(term))) return yield* refuse(`another one is called ${nameOf(term)} too: give it a name of its own`)
  }
  return blend
})

/** The terms as they must stand in a file of another folder, whose paths are relative to that. */
export const movedTerms = ({ terms }: Terms, from: string, to: string): ReadonlyArray<Term> => {
  const moved = (text: string) => {
    const at = path.resolve(path.dirname(from), text)
    return fs.existsSync(at) ? path.relative(path.dirname(path.resolve(to)), at) : text
  }
  return terms.map(({ judge_model, judge_references, ...term }) => ({
    ...term,
    ...(judge_model === undefined ? {} : { judge_model: moved(judge_model) }),
    ...(judge_references === undefined ? {} : { judge_references: moved(judge_references) })
  }))
}

/** A term's judge by itself. */
const settingsOf = ({ judge_terms: file, ...settings }: JudgeSettings, { judge, judge_model = "", judge_references = "" }: Term): JudgeSettings => {
  const beside = (text: string) => path.resolve(path.dirname(file), text)
  return {
    ...settings,
    judge_terms: "",
    judge,
    judge_model: judge_model !== "" && fs.existsSync(beside(judge_model)) ? beside(judge_model) : judge_model,
    judge_references: judge_references === "" ? "" : beside(judge_references)
  }
}

/** @param rows the judges that a term may be */
export const blendRow = (rows: Readonly<Record<string, JudgeRow>>): JudgeRow => {
  const opened = Effect.fnUntraced(function*(settings: JudgeSettings) {
    const { terms, tie_margin } = yield* readTerms(settings.judge_terms, rows)
    const each = yield* Effect.forEach(terms, Effect.fnUntraced(function*(term) {
      const own = settingsOf(settings, term)
      const row = rows[term.judge]!
      yield* row.layer(own) // says what is missing before anything is fetched
      return { term, row, own }
    }))
    return { each, tieMargin: tie_margin }
  })
  const placed = ({ own, row }: { readonly own: JudgeSettings; readonly row: JudgeRow }) =>
    Effect.mapError(fetched(row, own, "none"), ({ message }) => new BadInput({ message }))
  return {
    says: "the weighted scores of several of these, from a YAML file (`--judge-terms`)",
    scores: true,
    layer: Effect.fnUntraced(function*(settings) {
      const { each, tieMargin } = yield* opened(settings)
      const terms = yield* Effect.forEach(each, Effect.fnUntraced(function*({ own, row, term }) {
        const { least, range, weight = 1 } = term
        const judge: JudgeLayer = yield* row.layer(yield* placed({ own, row }))
        return { name: nameOf(term), judge, weight, least, range }
      }))
      return judgeBlend.layer(terms, tieMargin === undefined ? {} : { tieMargin })
    }),
    size: Effect.fnUntraced(function*(settings) {
      const { each } = yield* opened(settings)
      const sizes = yield* Effect.forEach(each, Effect.fnUntraced(function*(of) {
        return yield* of.row.size(yield* placed(of))
      }))
      return Math.max(...sizes)
    })
  }
}
