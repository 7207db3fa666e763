/** Finds the JSON in answers of models that cannot be held to a schema. */

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

const thought = "</think>"
/** Most characters of an answer that counts as one: many times what any form needs. */
export const longestJson = 65_536
/** Most characters tried altogether: each bracket may take as long as the text is long. */
const mostTried = 1e6

/** A bracket where an object or a list may begin. */
const opening = /\{(?=\s{0,99}["}])|\[(?=\s{0,99}[\][{"tfn\d-])/g

/**
 * The JSON object or list in an answer that says more: the part after its thoughts (`<think>`), without the fence, tags
 * or words around it. Returns the text unchanged if there is none, and nothing if the thoughts never end.
 */
export const jsonIn = (text: string): string => {
  if (isJson(text)) return text
  const end = text.lastIndexOf(thought)
  if (end < 0 && text.includes("<think>")) return ""
  const said = end < 0 ? text : text.slice(end + thought.length)
  const ends = { "[": said.lastIndexOf("]"), "{": said.lastIndexOf("}") }
  const closed = Object.values(ends).filter((end) => end >= 0)
  if (closed.length === 0) return said
  let tried = 0
  const brackets = new RegExp(opening)
  brackets.lastIndex = Math.max(0, Math.min(...closed) + 1 - longestJson) // what begins before is too long
  for (const { 0: open, index } of said.matchAll(brackets)) {
    const length = ends[open as "[" | "{"] + 1 - index
    if (length < 2 || length > longestJson) continue
    if ((tried += length) > mostTried) break
    const part = said.slice(index, index + length)
    if (isJson(part)) return part
  }
  return said
}
