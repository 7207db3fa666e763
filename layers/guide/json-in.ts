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

/**
 * The JSON object or list in an answer that says more: what comes after its thoughts (`<think>`), without the fence,
 * tags or words around it. The text as it is where none is found, and nothing where the thoughts never end.
 */
export const jsonIn = (text: string): string => {
  if (isJson(text)) return text
  const end = text.lastIndexOf(thought)
  if (end < 0 && text.includes("<think>")) return ""
  const said = end < 0 ? text : text.slice(end + thought.length)
  for (const { 0: open, index } of said.matchAll(/[[{]/g)) {
    const close = said.lastIndexOf(open === "[" ? "]" : "}")
    const part = said.slice(index, close + 1)
    if (close > index && isJson(part)) return part
  }
  return said
}
