/** How a drawing differs from a better one of the same prompt, colour by colour: measured, and said in words. */
import type { Picture } from "../domain.ts"
import { type Colour, colours } from "../scenes/grammar.ts"
import type { Critique } from "./roles.ts"
import { type SeenBlob, seenBlobs } from "./seen.ts"

/** Areas that differ by no more than this factor count as equal: two layouts of one thing are not the same size. */
const alike = 1.6
/** Most colours that are told of, those with the largest difference first. */
const most = 2

interface Amount {
  readonly parts: number
  readonly area: number
}

const amountOf = (blobs: ReadonlyArray<SeenBlob>, colour: Colour): Amount => {
  const own = blobs.filter((blob) => blob.colour === colour)
  return { parts: own.length, area: own.reduce((sum, { area }) => sum + area, 0) }
}

const said = (colour: Colour, { area, parts }: Amount): string =>
  parts === 0 ? `no ${colour}` : `${parts} ${colour} ${parts === 1 ? "part" : "parts"} of ${Math.round(area)}`

/**
 * `It has no orange, not 1 orange part of 197.` and what to draw instead; undefined if number and area of the parts of each
 * colour are alike. Areas are in 64ths of the picture's width, squared.
 */
export const differenceOf = (draft: Picture, better: Picture): Pick<Critique, "critique" | "suggestions"> | undefined => {
  const [seen, wanted] = [seenBlobs(draft), seenBlobs(better)]
  const different = colours
    .map((colour) => ({ colour, is: amountOf(seen, colour), should: amountOf(wanted, colour) }))
    .filter(({ is, should }) => is.parts !== should.parts || Math.max(is.area, should.area) > alike * Math.min(is.area, should.area))
    .toSorted((a, b) => Math.abs(b.is.area - b.should.area) - Math.abs(a.is.area - a.should.area))
    .slice(0, most)
  return different.length === 0 ? undefined : {
    critique: different.map(({ colour, is, should }) => `It has ${said(colour, is)}, not ${said(colour, should)}.`).join(" "),
    suggestions: different.map(({ colour, should }) => `Draw ${said(colour, should)}.`).join(" ")
  }
}
