/** What an icons' CLIP learns from: texts, renderings, broken drawings of the same icon, and other icons. */
import { Resvg } from "@resvg/resvg-js"
import { hash32, pick, type Random, wordsOf } from "../../src/engine/random.ts"
import { broken, type Fault, faults, side, svgOf } from "./compact.ts"
import { type SidedIcon, unseenDrawings } from "./icons.ts"
import { asked, askedWith, some, stemsOf, tagCounts, tellingTags } from "./words.ts"

/** An icon with the words that may be said of it. */
export interface Worded {
  readonly icon: SidedIcon
  /** Its tags, as far as this CLIP may read them. */
  readonly tags: ReadonlyArray<string>
  /** Tags of few icons: enough to ask for it. */
  readonly own: ReadonlyArray<string>
  /** Stems of its name and of all its tags. */
  readonly stems: ReadonlySet<string>
}

export interface ClipIcons {
  readonly train: ReadonlyArray<Worded>
  /** What it is measured on: words it has never read; words it knows, drawn by the package that it has not seen. */
  readonly tests: Readonly<Record<string, ReadonlyArray<Worded>>>
}

/**
 * The judge reads what the policy reads. The evaluator reads everything, because it must know the held-out words; it is
 * measured on drawings that it has not seen.
 */
export type Reads = "training words" | "all words"

/** One drawing in so many is kept from a CLIP that knows its words. */
const unseenEvery = 6

export const iconsFor = (icons: ReadonlyArray<SidedIcon>, reads: Reads): ClipIcons => {
  const counts = tagCounts(icons)
  const worded = (icon: SidedIcon): Worded => {
    const all = [...icon.tags, ...icon.hidden]
    const tags = reads === "all words" || icon.side === "heldout" ? all : icon.tags
    const named = { name: icon.name, tags }
    return {
      icon,
      tags: tellingTags(named, counts, 12),
      own: tellingTags(named, counts, 4),
      stems: new Set([icon.name, ...all].flatMap(stemsOf))
    }
  }
  const knows = (icon: SidedIcon) => reads === "all words" || icon.side === "train"
  const unseen = unseenDrawings(icons, (icon) =>
    knows(icon) && (icon.side === "heldout" || hash32(0x5ee, ...wordsOf(icon.name)) % unseenEvery === 0))
  const list = (test: (icon: SidedIcon) => boolean) => icons.filter(test).map(worded)
  return {
    train: list((icon) => knows(icon) && !unseen.has(icon)),
    tests: {
      "known words, unseen drawings": list((icon) => unseen.has(icon)),
      ...reads === "all words"
        ? { "held-out words, unseen drawings": list((icon) => unseen.has(icon) && icon.side === "heldout") }
        : { "words never read": list((icon) => icon.side === "heldout") }
    }
  }
}

/** A prompt as the policy is asked: by name, by name and tags, or by a tag. */
export const textOf = ({ icon, own, tags }: Worded, draw: Random): string => {
  const roll = draw()
  if (roll < 0.3 && own.length > 0) return asked(pick(draw, own))
  return roll < 0.6 ? asked(icon.name) : askedWith(icon.name, some(tags, 2, draw))
}

/** Whether a text, as `asked` writes it, is true of an icon: it has no word that is not among the icon's. */
export const says = (text: string, { stems }: Worded): boolean => stemsOf(text.replace(/ icon(?=:|$)/, "")).every((stem) => stems.has(stem))

/** Pixels of a drawing, or undefined where it cannot be rendered. */
export const render = (svg: string, size: number): Uint8Array | undefined => {
  try {
    const picture = new Resvg(svg, { fitTo: { mode: "width", value: size }, background: "#ffffff", font: { loadSystemFonts: false } }).render()
    return picture.width === size && picture.height === size ? new Uint8Array(picture.pixels) : undefined
  } catch {
    return undefined
  }
}

/** The same drawing a little larger or smaller, and a little aside: by up to a unit and a tenth. */
const reframed = (svg: string, draw: Random): string => {
  const size = side * (0.95 + 0.15 * draw())
  const at = () => ((side - size) / 2 + 2 * draw() - 1).toFixed(2)
  return svg.replace(/viewBox="[^"]*"/, `viewBox="${at()} ${at()} ${size.toFixed(2)} ${size.toFixed(2)}"`)
}

export interface Example {
  readonly of: Worded
  readonly text: string
  readonly wrongText: string
  readonly good: Uint8Array
  readonly flawed: Uint8Array
  readonly flaw: Fault | "another icon"
  /** The icon that the flawed picture is a good drawing of. */
  readonly shows: Worded | undefined
  readonly wrongOf: Worded
}

const faultNames = Object.keys(faults) as ReadonlyArray<Fault>

/** Share of the flawed pictures that show another icon, one with a word in common where there is one. */
const others = 0.3

/** Finds icons by the words of their names. */
export const kinOf = (icons: ReadonlyArray<Worded>) => {
  const byStem = new Map<string, Array<Worded>>()
  for (const worded of icons) for (const stem of stemsOf(worded.icon.name)) byStem.set(stem, [...byStem.get(stem) ?? [], worded])
  /** Another icon that the text is not true of. */
  return (of: Worded, text: string, draw: Random): Worded => {
    for (let attempt = 0;; attempt++) {
      const kin = attempt < 4 ? byStem.get(pick(draw, stemsOf(of.icon.name))) ?? [] : icons
      const other = pick(draw, kin.length > 1 ? kin : icons)
      if (!says(text, other)) return other
    }
  }
}

/** An icon with a good and a flawed picture, and a right and a wrong text. */
export const exampleOf = (of: Worded, kin: ReturnType<typeof kinOf>, size: number, augmented: boolean, draw: Random): Example => {
  const framed = (svg: string) => render(augmented ? reframed(svg, draw) : svg, size)
  for (;;) {
    const text = textOf(of, draw)
    const other = draw() < others ? kin(of, text, draw) : undefined
    const flaw = pick(draw, faultNames)
    const wrong = other === undefined ? broken(of.icon.parts, flaw, draw) : svgOf(other.icon.parts)
    const good = framed(svgOf(of.icon.parts))
    const flawed = wrong === undefined ? undefined : framed(wrong)
    if (good === undefined || flawed === undefined) continue
    const wrongOf = kin(of, text, draw)
    const wrongText = textOf(wrongOf, draw)
    if (says(wrongText, of)) continue
    return { of, text, wrongText, wrongOf, good, flawed, flaw: other === undefined ? flaw : "another icon", shows: other }
  }
}
