/** README.md and docs/ taken apart: their blocks of code, the command lines in them, their links. */
import * as fs from "node:fs"
import * as path from "node:path"

export const root = path.resolve(import.meta.dirname, "../..")

export interface Document {
  /** From the root. */
  readonly file: string
  readonly text: string
}

export interface Block {
  /** File and line, for messages. */
  readonly where: string
  readonly language: string
  /** What else the fence says. */
  readonly words: ReadonlyArray<string>
  readonly code: string
}

export const documents = (): ReadonlyArray<Document> =>
  ["README.md", ...fs.readdirSync(path.join(root, "docs")).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)]
    .map((file) => ({ file, text: fs.readFileSync(path.join(root, file), "utf8") }))

const fence = /^```(.*)\n([\s\S]*?)^```$/gm

export const blocksOf = ({ file, text }: Document): ReadonlyArray<Block> =>
  [...text.matchAll(fence)].map(({ 1: info = "", 2: code = "", index }) => {
    const [language = "", ...words] = info.trim().split(/\s+/)
    return { where: `${file}:${text.slice(0, index).split("\n").length}`, language, words, code }
  })

/** The text around the blocks. */
export const proseOf = ({ text }: Document): string => text.replace(fence, "")

export const spansOf = (document: Document): ReadonlyArray<string> => [...proseOf(document).matchAll(/`([^`\n]+)`/g)].map(({ 1: span = "" }) => span)

/** Where its links lead, and its pictures. */
export const linksOf = (document: Document): ReadonlyArray<string> => [...proseOf(document).matchAll(/\]\(([^)\s]+)\)/g)].map(({ 1: target = "" }) => target)

/** A heading as a link names it. */
export const anchorsOf = ({ text }: Document): ReadonlyArray<string> =>
  [...text.replace(fence, "").matchAll(/^#+ (.*)$/gm)].map(({ 1: title = "" }) =>
    title.toLowerCase().replace(/[^\p{L}\p{N}\s-]/gu, "").replace(/\s/g, "-"))

/** Words of one line of a shell, up to a comment, a pipe or the next command; enough of a shell for what documents say. */
export const wordsOf = (line: string): ReadonlyArray<string> => {
  const words: Array<string> = []
  for (const { 0: word } of line.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g)) {
    if (/^(#|\||&&|;|>)/.test(word)) break
    words.push(word.replace(/"([^"]*)"|'([^']*)'/g, (_, double: string | undefined, single: string | undefined) => double ?? single ?? ""))
  }
  return words
}

/** Arguments of vequinox where a line runs it. */
export const argumentsOf = (line: string): ReadonlyArray<string> | undefined => {
  const words = wordsOf(line)
  const at = words.indexOf("vequinox")
  if (at < 0 || !words.slice(0, at).every((word) => /^([A-Z_]+=.*|npx|-y|pnpm(@\d+)?|run)$/.test(word))) return undefined
  return words.slice(at + 1)
}

/** Name of the script of package.json where a line runs one. */
export const scriptOf = (line: string): string | undefined => /^(?:npx -y )?pnpm(?:@\d+)? (?:run )?([\w:-]+)/.exec(line.trim())?.[1]
