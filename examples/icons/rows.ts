/**
 * Writes what the icon policy is taught and asked:
 *
 * - `sft.jsonl`: rows of {prompt, completion} for `vequinox sft`
 * - `words.txt`: prompts for `vequinox train`; training words only
 * - `names.txt`, `tags.txt`: prompts for the evaluation, in words that no training text has. Icons of the names are not
 *   trained; those of the tags are, under other words.
 *
 * Usage: node examples/icons/rows.ts --model FOLDER --out FOLDER [--tokens N]
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { Effect } from "effect"
import { hash32, random, shuffled, wordsOf } from "../../src/engine/random.ts"
import { openTokenizer } from "../../src/model/tokenizer/tokenizer.ts"
import { completionOf, prefill } from "./compact.ts"
import { readIcons, type SidedIcon } from "./icons.ts"
import { asked, askedWith, heldOutWords, hasHeldOut, some, stemsOf, tagCounts, tellingTags } from "./words.ts"

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    out: { type: "string" },
    /** Longest drawing, tokens of the model's tokenizer, without the prefill and the end token. */
    tokens: { type: "string", default: "96" }
  }
})
const { model, out } = values
if (model === undefined || out === undefined) throw new Error("usage: node examples/icons/rows.ts --model FOLDER --out FOLDER [--tokens N]")
const tokenizer = await Effect.runPromise(openTokenizer(model))

const most = Number(values.tokens)
const everything = readIcons()
const icons = everything.filter(({ parts }) => tokenizer.encode(completionOf(parts)).length <= most)
const counts = tagCounts(everything)
const training = icons.filter(({ side }) => side === "train")

/** Drawings of one icon by its name, by name and tags, and by a tag alone where that is of few icons. */
const rowsOf = (icon: SidedIcon) => {
  const draw = random(0x5f7, ...wordsOf(`${icon.from} ${icon.name}`))
  const own = some(tellingTags(icon, counts, 4), 1, draw)
  const prompts = [asked(icon.name), askedWith(icon.name, some(tellingTags(icon, counts, 12), 2, draw)), ...own.map(asked)]
  return [...new Set(prompts)].map((prompt) => ({ prompt, completion: prefill + completionOf(icon.parts) }))
}
const rows = shuffled(random(0x5f8), training.flatMap(rowsOf))

const words = [...new Set(training.flatMap((icon) => [asked(icon.name), ...tellingTags(icon, counts, 4).slice(0, 2).map(asked)]))]

const held = heldOutWords(everything.map((icon) => ({ name: icon.name, tags: [...icon.tags, ...icon.hidden] })))

/** For each held-out word, the shortest name of an icon that has it. */
const names = [...held.names].flatMap((stem) => {
  const own = icons.filter(({ name, side }) => side === "heldout" && stemsOf(name).includes(stem) && stemsOf(name).length <= 2)
  const shortest = own.map(({ name }) => name).sort((a, b) => a.length - b.length || (a < b ? -1 : 1))[0]
  return shortest === undefined ? [] : [asked(shortest)]
})

/** For each held-out word that is only a tag, the tag of a training icon that says little more. */
const tags = [...held.tags].flatMap((stem) => {
  const own = training.flatMap(({ hidden }) => hidden).filter((tag) => stemsOf(tag).length <= 2 && stemsOf(tag).includes(stem))
  const shortest = own.sort((a, b) => a.length - b.length || (a < b ? -1 : 1))[0]
  return shortest === undefined ? [] : [asked(shortest)]
})

const all = new Set([...held.names, ...held.tags])
const leaks = [...rows.map(({ prompt }) => prompt), ...words].filter((text) => hasHeldOut(text, all))
if (leaks.length > 0) throw new Error(`held-out words are in training texts: ${leaks.slice(0, 5).join(", ")}`)

fs.mkdirSync(out, { recursive: true })
const inOrder = (texts: ReadonlyArray<string>) => [...new Set(texts)].sort((a, b) => hash32(...wordsOf(a)) - hash32(...wordsOf(b)))
const lines = (texts: ReadonlyArray<string>) => texts.map((text) => `${text}\n`).join("")
fs.writeFileSync(path.join(out, "sft.jsonl"), lines(rows.map((row) => JSON.stringify(row))))
fs.writeFileSync(path.join(out, "words.txt"), lines(inOrder(words)))
fs.writeFileSync(path.join(out, "names.txt"), lines(inOrder(names)))
fs.writeFileSync(path.join(out, "tags.txt"), lines(inOrder(tags)))
console.log(`${out}: ${rows.length} rows of ${training.length} icons, ${words.length} prompts; held out ${names.length} names and ${tags.length} tags`)
console.log(`${everything.length} icons, ${icons.length} of them in ${most} tokens or fewer; ${held.names.size} and ${held.tags.size} words held out`)
