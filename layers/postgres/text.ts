/**
 * Text in Postgres, which holds every character but U+0000, and that can come from a model's bytes: it is written as U+E000
 * (private use) and a 0, and U+E000 itself twice. Half a surrogate pair becomes U+FFFD, as in SQLite.
 */
const escape = "\uE000"

export const storable = (text: string): string =>
  text.toWellFormed().replaceAll(/[\0\uE000]/g, (character) => escape + (character === "\0" ? "0" : escape))

export const readable = (text: string): string =>
  text.includes(escape) ? text.replaceAll(/\uE000(.)/gs, (_, of) => (of === "0" ? "\0" : of)) : text
