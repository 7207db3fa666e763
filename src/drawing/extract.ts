/** Finds the drawing in a model's answer. */

/** How many `<svg` starts are tried: prose may mention the tag before the drawing begins. */
const maxStarts = 4

const startOf = /<svg(?=[\s>/])/g

/** Where the tag that begins at `from` ends, outside quotes; -1 if it never does. */
const tagEnd = (text: string, from: number): number => {
  let quote = ""
  for (let i = from; i < text.length; i++) {
    const c = text[i]!
    if (quote !== "") {
      if (c === quote) quote = ""
    } else if (c === "\"" || c === "'") quote = c
    else if (c === ">") return i
  }
  return -1
}

/**
 * The end of the element that begins at `from`, counting nested svg elements and skipping comments and CDATA; -1 if it
 * is cut off.
 */
const elementEnd = (text: string, from: number): number => {
  let depth = 0
  let at = from
  while (at !== -1) {
    let end: number
    if (text.startsWith("<!--", at)) {
      end = text.indexOf("-->", at + 4)
    } else if (text.startsWith("<![CDATA[", at)) {
      end = text.indexOf("]]>", at + 9)
    } else {
      end = tagEnd(text, at)
      if (end === -1) return -1
      if (text.startsWith("</svg", at) && /[\s>]/.test(text[at + 5]!)) {
        if (--depth === 0) return end + 1
      } else if (text.startsWith("<svg", at) && /[\s>/]/.test(text[at + 4]!)) {
        if (text[end - 1] !== "/") depth++
        else if (depth === 0) return end + 1
      }
    }
    if (end === -1) return -1
    at = text.indexOf("<", end)
  }
  return -1
}

/**
 * The first complete `<svg ...>...</svg>` in `text`, without Markdown fences, prose, XML declaration or DOCTYPE around
 * it; `undefined` if there is none or it is cut off before its end. Linear in the length of `text`; checks nothing
 * inside the drawing.
 */
export const extractSvg = (text: string): string | undefined => {
  startOf.lastIndex = 0
  for (let tried = 0; tried < maxStarts; tried++) {
    const start = startOf.exec(text)
    if (start === null) return undefined
    const end = elementEnd(text, start.index)
    if (end !== -1) return text.slice(start.index, end)
  }
  return undefined
}
