/**
 * What the gate reads of CSS: declarations, and the targets of `url(...)`. Scanners, each of which looks at a character a
 * few times at most: a regular expression that gives characters back takes hours on a few kilobytes of spaces.
 */

/** `url(`, in any case, and the spaces after it. */
const opening = /url\(\s*/gi
const closing = /\s*\)/y

/**
 * What each `url(...)` of a value names, quotes and spaces around it left out; a quote that does not end just before the
 * bracket stays. One that is never closed names nothing.
 */
export const urlTargets = (value: string): Array<string> => {
  const targets: Array<string> = []
  opening.lastIndex = 0
  while (opening.exec(value) !== null) {
    const start = opening.lastIndex
    const bracket = value.indexOf(")", start)
    if (bracket === -1) break // nor is any later one closed
    const quote = value[start]
    const end = quote === "\"" || quote === "'" ? value.indexOf(quote, start + 1) : -1
    closing.lastIndex = end + 1
    if (end !== -1 && closing.test(value)) {
      targets.push(value.slice(start + 1, end))
      opening.lastIndex = closing.lastIndex
    } else {
      targets.push(value.slice(start, bracket).trimEnd())
      opening.lastIndex = bracket + 1
    }
  }
  return targets
}

const isSpace = (char: string): boolean => char.trim() === ""
const inName = /[\w-]/
const ending = /[;{}]/g

/**
 * Each `name: value` of a style attribute or a style sheet. A selector's `a:hover` counts as one too; a colon without a
 * name before it is passed over.
 */
export const declarations = (css: string): Array<readonly [name: string, value: string]> => {
  const found: Array<readonly [name: string, value: string]> = []
  let from = 0
  for (let colon = css.indexOf(":"); colon !== -1; colon = css.indexOf(":", from)) {
    let end = colon
    while (end > from && isSpace(css[end - 1]!)) end--
    let start = end
    while (start > from && inName.test(css[start - 1]!)) start--
    if (start === end) {
      from = colon + 1
      continue
    }
    ending.lastIndex = colon + 1
    from = ending.exec(css)?.index ?? css.length
    found.push([css.slice(start, end), css.slice(colon + 1, from).trimStart()])
  }
  return found
}
