/**
 * What icons are called, and which words are held out. A held-out word is in no training text, as a name or as a tag, of
 * either package; an icon whose name has one is drawn in no training row.
 *
 * A word is compared by its stem. Words that are in the names of many icons (arrow, circle, plus, off) say how an icon
 * differs from its kin: they are never held out, so arrow-left and arrow-left-circle are on the same side. Kin that share
 * a held-out word (cart, shopping-cart, garden-cart-off) are held out together.
 */
import { hash32, integer, type Random, wordsOf } from "../../src/engine/random.ts"

/** An icon as a package lists it. */
export interface Named {
  /** E.g. "shopping-cart". */
  readonly name: string
  readonly tags: ReadonlyArray<string>
}

/** Of a word in lower case: plurals fall together with what they are plurals of. */
export const stemOf = (word: string): string => {
  if (word.length > 4 && word.endsWith("ies")) return `${word.slice(0, -3)}y`
  if (word.length > 4 && /(x|ch|sh|ss|zz)es$/.test(word)) return word.slice(0, -2)
  return word.length > 3 && /[^siu]s$/.test(word) ? word.slice(0, -1) : word
}

/** Stems of a name's or a tag's words. */
export const stemsOf = (text: string): ReadonlyArray<string> => text.toLowerCase().split(/[^a-z0-9]+/).filter((word) => word !== "").map(stemOf)

const counted = (lists: ReadonlyArray<ReadonlyArray<string>>): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const list of lists) for (const item of new Set(list)) counts.set(item, (counts.get(item) ?? 0) + 1)
  return counts
}

/** In the names of more icons than this, a word tells kin apart and is never held out. */
const common = 16

/** One word in so many is held out: of those in names, and of those that are only tags. */
const everyName = 9
const everyTag = 12

/** In the tags of more icons than this, a word says too little to ask for. */
const vague = 12

export interface HeldOut {
  /** Stems of held-out words that are in names, and of those that are only tags. */
  readonly names: ReadonlySet<string>
  readonly tags: ReadonlySet<string>
}

/** Chosen by a hash of the stem, so another icon moves none of the others. */
export const heldOutWords = (icons: ReadonlyArray<Named>): HeldOut => {
  const inNames = counted(icons.map(({ name }) => stemsOf(name)))
  const inTags = counted(icons.map(({ tags }) => tags.flatMap(stemsOf)))
  const chosen = (stem: string, every: number) => /^[a-z]{4,}$/.test(stem) && hash32(0x1c0, ...wordsOf(stem)) % every === 0
  return {
    names: new Set([...inNames].filter(([stem, n]) => n <= common && chosen(stem, everyName)).map(([stem]) => stem)),
    tags: new Set([...inTags].filter(([stem, n]) => !inNames.has(stem) && n <= vague && chosen(stem, everyTag)).map(([stem]) => stem))
  }
}

/** What may stand before or behind a held-out word in a longer one: two words written together, not "corn" in "corner". */
const rest = 3

/**
 * Whether a text has a held-out word, alone or in a compound: "sailboat" if "boat" is held out. The texts of training have
 * none.
 */
export const hasHeldOut = (text: string, words: ReadonlySet<string>): boolean =>
  stemsOf(text).some((stem) => {
    if (words.has(stem)) return true
    for (let at = 4; at <= stem.length - rest; at++) if (words.has(stem.slice(0, at)) || words.has(stem.slice(-at))) return true
    return false
  })

/** An icon on its side of the split, its tags without those that training must not read. */
export interface Sided extends Named {
  readonly side: "train" | "heldout"
  /** Its tags that have a held-out word. */
  readonly hidden: ReadonlyArray<string>
}

export const divide = <I extends Named>(icons: ReadonlyArray<I>): ReadonlyArray<I & Sided> => {
  const { names, tags: onlyTags } = heldOutWords(icons)
  const all = new Set([...names, ...onlyTags])
  return icons.map((icon) => {
    const hides = (tag: string) => hasHeldOut(tag, all)
    return {
      ...icon,
      side: hasHeldOut(icon.name, all) ? "heldout" : "train",
      tags: icon.tags.filter((tag) => !hides(tag)),
      hidden: icon.tags.filter(hides)
    }
  })
}

const plain = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]+/g, " ").trim()

/** "shopping cart icon" */
export const asked = (words: string): string => `${plain(words)} icon`

/** "shopping cart icon: trolley, basket" */
export const askedWith = (words: string, tags: ReadonlyArray<string>): string =>
  tags.length === 0 ? asked(words) : `${asked(words)}: ${tags.map(plain).join(", ")}`

/** How many icons have a tag, by the stems of its words. */
export const tagCounts = (icons: ReadonlyArray<Named>): ReadonlyMap<string, number> =>
  counted(icons.map(({ tags }) => tags.map((tag) => stemsOf(tag).join(" "))))

/** Tags that say something of their own: not the name again, and not of more than `most` icons. */
export const tellingTags = ({ name, tags }: Named, counts: ReadonlyMap<string, number>, most: number): ReadonlyArray<string> => {
  const own = new Set(stemsOf(name))
  return tags.filter((tag) => {
    const stems = stemsOf(tag)
    return stems.length > 0 && stems.length <= 3 && stems.some((stem) => !own.has(stem) && stem.length > 2) &&
      (counts.get(stems.join(" ")) ?? 0) <= most
  })
}

/** Up to `n` of the items, drawn without putting back. */
export const some = <A>(items: ReadonlyArray<A>, n: number, draw: Random): ReadonlyArray<A> => {
  const left = [...items]
  return Array.from({ length: Math.min(n, left.length) }, () => left.splice(integer(draw, left.length), 1)[0]!)
}
