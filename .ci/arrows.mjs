/**
 * Which room imports which, against the rules of .dependency-cruiser.mjs, and as a drawing in CONTRIBUTING.md.
 *
 *     node .ci/arrows.mjs           draws
 *     node .ci/arrows.mjs --check   draws nothing; fails where a rule is broken or the drawing is out of date
 */
import * as fs from "node:fs"
import { cruise } from "dependency-cruiser"
import rules, { floors, roomOf } from "../.dependency-cruiser.mjs"

const page = "CONTRIBUTING.md"
const [begin, end] = ["<!-- arrows -->\n", "<!-- /arrows -->"]

const { output: { modules, summary } } = await cruise(["src", "layers"], { ...rules.options, ruleSet: { forbidden: rules.forbidden }, validate: true })
for (const { from, rule, to } of summary.violations) console.error(`${from} imports ${to}: ${rule.name}`)

const arrows = new Map(floors.flat().map((room) => [room, new Set()]))
for (const { dependencies, source } of modules) {
  for (const { resolved } of dependencies) {
    const [from, to] = [roomOf(source), roomOf(resolved)]
    if (from !== undefined && to !== undefined && from !== to) arrows.get(from)?.add(to)
  }
}
/** Whether there is a way from one room to another through some third. */
const aroundAbout = (from, to) => {
  const seen = new Set()
  const open = [...arrows.get(from)].filter((room) => room !== to)
  for (let room = open.pop(); room !== undefined; room = open.pop()) {
    if (room === to) return true
    if (!seen.has(room)) open.push(...(arrows.get(room) ?? []))
    seen.add(room)
  }
  return false
}
const lines = [...arrows].flatMap(([from, all]) => {
  const direct = floors.flat().filter((to) => all.has(to) && !aroundAbout(from, to))
  return direct.length === 0 ? [] : [`    ${from} --> ${direct.join(" & ")}`]
})
const drawing = ["```mermaid", "flowchart TD", ...lines, "```", ""].join("\n")

const text = fs.readFileSync(page, "utf8")
const [head, rest] = text.split(begin)
const [drawn, tail] = rest.split(end)
const check = process.argv.includes("--check")
if (!check) fs.writeFileSync(page, [head, begin, drawing, end, tail].join(""))
else if (drawn !== drawing) {
  console.error(`The arrows in ${page} are not those of the code: pnpm run arrows`)
  process.exitCode = 1
}
if (summary.error > 0) process.exitCode = 1
else console.log(`${modules.filter(({ source }) => roomOf(source) !== undefined).length} files in ${floors.flat().length} rooms, every arrow points down.`)
