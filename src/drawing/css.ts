/**
 * The parts of CSS that the gate reads: declarations, and the targets of `url(...)`. These scanners look at each
 * character at most a few times; a regular expression that backtracks takes hours on a few kilobytes of spaces.
 */

/** `url(`, in any case, and the spaces after it. */
const opening = /url\(\s*/gi
const closing = /\s*\)/y

/**
 * The target of each `url(...)` in a value, without quotes and spaces around it; a quote that does not end right before
 * the bracket stays. A `url(` that is never closed has no target.
 */
export const urlTargets = (value: string): Array<string> => {
  const targets: Array<string> = []
  opening.lastIndex = 0
  while (opening.exec(value) !== null) {
    const start = opening.lastIndex
    const bracket = value.indexOf(")", start)
    if (bracket === -1) break // no later one is closed either
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
 * name before it is skipped.
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
