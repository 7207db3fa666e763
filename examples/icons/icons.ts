/** The icons of two npm packages, lucide-static (ISC) and @tabler/icons (MIT), as parts and words. */
import * as fs from "node:fs"
import { createRequire } from "node:module"
import { type Node, type Part, partsOf, svgOf } from "./compact.ts"
import { divide, type Named, type Sided, stemsOf } from "./words.ts"

export interface Icon extends Named {
  readonly from: "lucide" | "tabler"
  readonly parts: ReadonlyArray<Part>
}

export type SidedIcon = Icon & Sided

const require = createRequire(import.meta.url)
const json = <A>(file: string): A => JSON.parse(fs.readFileSync(require.resolve(file), "utf8")) as A

/**
 * tabler's logos belong to their owners. Its letters and digits are written, not drawn: the gate and the judge expect no
 * letters in a drawing.
 */
const leftOut = new Set(["Brand", "Letters", "Numbers", "Text"])

const allIcons = (): ReadonlyArray<Icon> => {
  const make = (from: Icon["from"], name: string, tags: ReadonlyArray<string>, nodes: ReadonlyArray<Node>): ReadonlyArray<Icon> => {
    const parts = partsOf(nodes)
    // Digits at the end of a name number its variants; the words are the same.
    return parts === undefined ? [] : [{ from, name: name.replace(/(-\d+)+$/, ""), tags, parts }]
  }
  const lucide = json<Record<string, ReadonlyArray<Node>>>("lucide-static/icon-nodes.json")
  const lucideTags = json<Record<string, ReadonlyArray<string>>>("lucide-static/tags.json")
  const tabler = json<Record<string, ReadonlyArray<Node>>>("@tabler/icons/tabler-nodes-outline.json")
  const listed = json<Record<string, { readonly category: string; readonly tags: ReadonlyArray<string | number> }>>("@tabler/icons/icons.json")
  return [
    ...Object.entries(lucide).flatMap(([name, nodes]) => make("lucide", name, lucideTags[name] ?? [], nodes)),
    ...Object.entries(tabler).flatMap(([name, nodes]) => {
      const { category, tags } = listed[name] ?? { category: "", tags: [] }
      return leftOut.has(category) ? [] : make("tabler", name, tags.map(String), nodes)
    })
  ]
}

/** All icons on their sides of the split; a training icon that looks exactly like a held-out one is left out. */
export const readIcons = (): ReadonlyArray<SidedIcon> => {
  const icons = divide(allIcons())
  const shown = new Set(icons.filter(({ side }) => side === "heldout").map(({ parts }) => svgOf(parts)))
  return icons.filter(({ parts, side }) => side === "heldout" || !shown.has(svgOf(parts)))
}

/** Name and package of drawings that no CLIP is trained on, though it knows the words: the other package draws them too. */
export const unseenDrawings = (icons: ReadonlyArray<SidedIcon>, chosen: (icon: SidedIcon) => boolean): ReadonlySet<SidedIcon> => {
  const wordsOf = ({ name }: Named) => stemsOf(name).join(" ")
  const tabler = new Set(icons.filter(({ from }) => from === "tabler").map(wordsOf))
  return new Set(icons.filter((icon) => icon.from === "lucide" && tabler.has(wordsOf(icon)) && chosen(icon)))
}
