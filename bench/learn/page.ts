/** docs/learning.md and its pictures, written from the results and nothing else. */
import * as fs from "node:fs"
import * as path from "node:path"
import type { Interval } from "../../src/evaluation/statistics.ts"
import { kindNames } from "../../src/evaluation/sentence.ts"
import { duration } from "../../src/system/progress.ts"
import { chart, type Line } from "./chart.ts"
import { type JudgeName, type Result, trlVersion } from "./jobs.ts"
import { recipes } from "./recipes.ts"
import { type At, baseOf, budgetOf, curveOf, differenceOf, endOf, kindsIn, type Series, seriesOf } from "./results.ts"

const pictures = { overall: "learning.svg", kinds: "learning-kinds.svg" } as const

const number = (n: number): string => Math.round(n).toLocaleString("en")
/** `.52`; a difference keeps its sign. */
const share = (value: number): string => value.toFixed(2).replace(/^(-?)0\./, "$1.")
const signed = (value: number): string => `${value < 0 ? "-" : "+"}${share(Math.abs(value))}`
const within = ({ lower, upper, value }: Interval): string => `${share(value)} [${share(lower)}, ${share(upper)}]`
const change = ({ lower, upper, value }: Interval): string => `${signed(value)} [${signed(lower)}, ${signed(upper)}]`
const row = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |`
const told = (items: ReadonlyArray<string | number>): string => [...new Set(items)].join(", ")

const seconds = ({ results }: Series): string => {
  const [spent, drawn] = results.reduce(([s, d], { points, seconds }) => [s + seconds, d + points.at(-1)!.drawings], [0, 0])
  return (1000 * spent / drawn).toFixed(1)
}

const table = (base: Result, all: ReadonlyArray<Series>): string => {
  const kinds = kindsIn(base)
  const ends = (of: Pick<Series, "results">) => [
    within(endOf(of, "best").right),
    share(endOf(of, 1).right.value),
    ...kinds.map((kind) => share(endOf(of, "best", kind).right.value))
  ]
  const temperatures = (of: Pick<Series, "results">) => told(of.results.map(({ points }) => points.at(-1)!.best))
  return [
    row(["recipe", "judge", "seeds", "drawings", "right", "at temperature 1", ...kinds, "more than the base", "best temperature", "ms a drawing"]),
    row(["---", "---", ...Array.from({ length: kinds.length + 7 }, () => "---:")]),
    row(["none: the base", "", "", "0", ...ends({ results: [base] }), "", temperatures({ results: [base] }), ""]),
    ...all.map((of) =>
      row([`\`${of.recipe}\``, of.judge, String(of.results.length), number(budgetOf(of.results)), ...ends(of), change(differenceOf(of, { results: [base] })), temperatures(of), seconds(of)]))
  ].join("\n")
}

/** Ours beside TRL's with the same judge. */
const beside = (all: ReadonlyArray<Series>): ReadonlyArray<string> => {
  const by = (name: "vequinox" | "trl") => all.filter(({ recipe }) => recipes[recipe]?.by === name)
  return by("trl").flatMap((peer) => by("vequinox").filter(({ judge }) => judge === peer.judge).map((own) => {
    const drawings = Math.min(budgetOf(own.results), budgetOf(peer.results))
    const difference = differenceOf(own, peer, drawings)
    const said = difference.lower > 0 ? "right more often" : difference.upper < 0 ? "right less often" : "not to be told apart"
    return `- \`${own.recipe}\` minus \`${peer.recipe}\`, judge ${own.judge}, after ${number(drawings)} drawings: ${change(difference)}, ${said}.`
  }))
}

const stops = (results: ReadonlyArray<Result>): ReadonlyArray<string> =>
  results.flatMap(({ judge, points, recipe, seed, stopped }) =>
    stopped === undefined ? [] : [`- \`${recipe}\`, judge ${judge}, seed ${seed}, after ${number(points.at(-1)!.drawings)} drawings: ${stopped}`])

const lineOf = (series: Series, base: Result, colour: number, at: At, kind?: Parameters<typeof curveOf>[3]): Line => ({
  name: series.recipe,
  colour,
  points: curveOf(series, base, at, kind).map(({ drawings, right }) => ({ x: drawings, y: right.value, lower: right.lower, upper: right.upper }))
})

const picturesOf = (base: Result, all: ReadonlyArray<Series>) => {
  const names = [...new Set(all.map(({ recipe }) => recipe))]
  const colour = ({ recipe }: Series) => names.indexOf(recipe) % 8
  const judges = [...new Set(all.map(({ judge }) => judge))]
  const of = (judge: JudgeName) => all.filter((series) => series.judge === judge)
  const overall = judges.flatMap((judge) => (["best", 1] as const).map((at) => ({
    title: `judge ${judge}, ${at === "best" ? "best temperature" : "temperature 1"}`,
    lines: of(judge).map((series) => lineOf(series, base, colour(series), at))
  })))
  const shown = judges.includes("clip") ? "clip" : judges[0]!
  const byKind = kindsIn(base).map((kind) => ({
    title: kindNames[kind],
    lines: of(shown).map((series) => lineOf(series, base, colour(series), "best", kind))
  }))
  return {
    shown,
    [pictures.overall]: chart("Share of held-out prompts drawn right, by the drawings that training drew", overall, 2),
    [pictures.kinds]: chart("The same by kind", byKind, 3)
  }
}

/** Recipes that the table names, in words. */
const legend = (all: ReadonlyArray<Series>): ReadonlyArray<string> =>
  [...new Set(all.map(({ recipe }) => recipe))].map((name) => `- \`${name}\`: ${recipes[name]?.says ?? "no longer in the list"}`)

/** What a page is written from besides the results. */
export interface PageFacts {
  /** What writes it again. */
  readonly command: string
  /** Drawings of the default run. */
  readonly usual: number
}

export const pageOf = (results: ReadonlyArray<Result>, { command, usual }: PageFacts): string => {
  const base = baseOf(results)!
  const all = seriesOf(results)
  const runs = results.filter(({ recipe }) => recipe !== null)
  const seeds = [...new Set(runs.map(({ seed }) => seed))]
  const drawings = budgetOf(runs)
  const { shown } = picturesOf(base, all)
  const peers = beside(all)
  const stopped = stops(runs)
  return `# Learning curves

<!-- Written by \`pnpm run bench learn\` from its results: change bench/learn/page.ts instead. -->

How often a policy draws a held-out prompt right, by the number of drawings that its training drew. Up to ${number(drawings)} drawings
a run, seeds ${seeds.join(", ")}, ${base.heldOut} held-out prompts${runs.some(({ recipe }) => recipes[recipe!]?.by === "trl") ? `, TRL ${trlVersion} beside it` : ""}.
${drawings >= usual ? "" : `
**These runs are shorter than the default run, which draws ${number(usual)}: they say what ${number(drawings)} drawings teach, not what it learns.**
`}
![Share of held-out prompts drawn right, by the drawings that training drew](${pictures.overall})

After all drawings:

${table(base, all)}

${legend(all).join("\n")}

By kind, each at its best temperature, judge ${shown}:

![The same by kind of prompt](${pictures.kinds})
${peers.length === 0 ? "" : `
## Beside TRL

Each at its best temperature. Where TRL drew fewer, ours is taken from the middle of its run, before its rate has decayed:

${peers.join("\n")}

TRL's trainer runs as it stands: two drawings a prompt, beta 0.1, its loss, its schedule. The policy, the prompts and the judge
are ours. It knows no ties, so a tie goes to the higher score. \`bench/peers/README.md\` says how it is installed.
`}${stopped.length === 0 ? "" : `
## Stopped

These runs diverged and stopped; what they had learned by then counts as their end.

${stopped.join("\n")}
`}
## How it is measured

- *Right* is a scene check of at least 0.9 ([judges](judges.md)). A drawing that does not render is wrong.
- Every policy draws the same ${base.heldOut} prompts with the same random numbers, once at each of the temperatures
  ${base.points[0]!.heldOut.map(({ temperature }) => temperature).join(", ")}. Its *best temperature* is the one at which it draws most of ${base.choice} other prompts right, which are
  training prompts. Temperature 1 stands beside it: a gain that a lower temperature gives the base as well is not learning.
- The held-out prompts are not those on which a run compares its own policies.
- A share is a mean over the seeds. Its interval (95 %) is a bootstrap over the prompts, and that of a difference is paired; it
  says nothing about seeds that were not run.
- Every drawing counts that training drew, judged or not. The time is training's alone, one thread, two runs side by side.
- Judges: *perfect* is the scene check itself, which no user has: it shows what the recipe could learn from a judge that is never
  wrong. *clip* is the embedded CLIP, the default. *coin* knows nothing, so what it teaches is no learning.

## Again

\`\`\`sh
${command}
\`\`\`

It goes on where it was stopped. Results of another model, recipe or scene check lie in other folders and are not mixed with
these. All runs together took ${duration(runs.reduce((sum, { seconds }) => sum + seconds, 0))} of training. Recipes are rows of \`bench/learn/recipes.ts\`.
`
}

/** Writes the page and its pictures. */
export const writePage = (docs: string, results: ReadonlyArray<Result>, facts: PageFacts): void => {
  const base = baseOf(results)!
  const { shown: _, ...drawn } = picturesOf(base, seriesOf(results))
  fs.mkdirSync(docs, { recursive: true })
  for (const [name, svg] of Object.entries(drawn)) fs.writeFileSync(path.join(docs, name), svg)
  fs.writeFileSync(path.join(docs, "learning.md"), pageOf(results, facts))
}
