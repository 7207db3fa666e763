/** Answers of models that cannot be held to a schema. */

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

const thought = "</think>"
/** Characters of the longest answer that counts as one: many times what any form asks for. */
export const longestJson = 65_536
/** Characters that are tried altogether: each bracket may take as long as the text is long. */
const mostTried = 1e6

/** A bracket that an object or a list may begin with. */
const opening = /\{(?=\s{0,99}["}])|\[(?=\s{0,99}[\][{"tfn\d-])/g

/**
 * The JSON object or list in an answer that says more: what comes after its thoughts (`<think>`), without the fence,
 * tags or words around it. The text as it is where none is found, and nothing where the thoughts never end.
 */
export const jsonIn = (text: string): string => {
  if (isJson(text)) return text
  const end = text.lastIndexOf(thought)
  if (end < 0 && text.includes("<think>")) return ""
  const said = end < 0 ? text : text.slice(end + thought.length)
  const ends = { "[": said.lastIndexOf("]"), "{": said.lastIndexOf("}") }
  let tried = 0
  for (const { 0: open, index } of said.matchAll(opening)) {
    const length = ends[open as "[" | "{"] + 1 - index
    if (length < 2 || length > longestJson) continue
    if ((tried += length) > mostTried) break
    const part = said.slice(index, index + length)
    if (isJson(part)) return part
  }
  return said
}
