/**
 * Hides a key in text from others: a server, or a proxy before it, may repeat the key it was sent, and its words are
 * shown and stored. This is the only place that hides a key. Text is parsed first and hidden when it is shown or
 * stored, so that a key that is also a common word breaks no parsing.
 */
import { Redacted } from "effect"

/**
 * Fewest characters of a key that is hidden. A shorter one ("test", "EMPTY", "A") is a placeholder for servers that
 * need no key: it protects nothing, and hiding it would damage every text.
 */
const leastHidden = 8

const mark = "…"

export interface Hiding {
  /** The text with the key replaced, in its plain form and as a URL or JSON writes it. */
  readonly text: (text: string) => string
  /**
   * The JSON text with the key replaced in all strings and names, however they are written; unchanged if the key is not
   * in it. Text that is not JSON is searched as text.
   *
   * @param keeps whole strings and names that stay, because they are words of the form itself
   */
  readonly json: (text: string, keeps: (word: string) => boolean) => string
}

/** Undefined hides nothing. */
export const hiding = (secret: Redacted.Redacted | undefined): Hiding => {
  const key = secret === undefined ? "" : Redacted.value(secret).trim()
  if (key.length < leastHidden) return { text: (text) => text, json: (text) => text }
  const forms = [...new Set([key, JSON.stringify(key).slice(1, -1), inAddress(key)])]
  const text = (text: string) => forms.reduce((rest, form) => rest.replaceAll(form, mark), text)

  const json: Hiding["json"] = (written, keeps) => {
    const word = (word: string) => (keeps(word) ? word : text(word))
    const walk = (value: unknown): unknown =>
      typeof value === "string"
        ? word(value)
        : Array.isArray(value)
        ? value.map(walk)
        : typeof value === "object" && value !== null
        ? Object.fromEntries(Object.entries(value).map(([name, inner]) => [word(name), walk(inner)]))
        : value
    try {
      const value: unknown = JSON.parse(written)
      const hidden = JSON.stringify(walk(value))
      return hidden === JSON.stringify(value) ? written : hidden
    } catch { // not JSON, or nested deeper than anything we asked for
      return text(written)
    }
  }
  return { text, json }
}

const inAddress = (key: string): string => {
  try {
    return encodeURIComponent(key)
  } catch { // half a surrogate pair
    return key
  }
}

/**
 * One line for people of somebody else's text, without anything that a terminal would obey.
 * @param most characters
 */
export const oneLine = (text: string, most = 200): string => {
  const line = text.replace(/[\s\p{Cc}]+/gu, " ").trim()
  return line.length > most ? `${line.slice(0, most - 1)}…` : line
}
