/**
 * A key in a text that somebody else wrote: a server, or what stands between, may repeat the key that it was sent, and what
 * it says is shown and stored. The one place where a key is hidden. What is said is read first and hidden when it is
 * shown or stored, so that a key that is also a word breaks no reading.
 */
import { Redacted } from "effect"

/**
 * Characters from which on a key is hidden. A shorter one ("test", "EMPTY", "A") is a word that servers which ask for no key
 * are given; it protects nothing, and hidden it would tear holes into every text.
 */
const leastHidden = 8

const mark = "…"

export interface Hiding {
  /** The text with the key, as it is or as an address or JSON writes it, replaced. */
  readonly text: (text: string) => string
  /**
   * A JSON text whose strings and names are searched, however they are written; the text as it is where nothing is found.
   * What is no JSON is searched as text.
   *
   * @param keeps whole strings and names that stay, for they are words of the form itself
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
    } catch { // no JSON, or nested so deeply that it is none that anybody asked for
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

/** One line for people of what somebody else said, nothing in it that a terminal would obey. @param most characters */
export const oneLine = (text: string, most = 200): string => {
  const line = text.replace(/[\s\p{Cc}]+/gu, " ").trim()
  return line.length > most ? `${line.slice(0, most - 1)}…` : line
}
