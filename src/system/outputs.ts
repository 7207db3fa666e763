/**
 * Decides whether a command may write somewhere; no other place does. No command touches what it did not make: a folder
 * that it fills is missing or empty before, a file that it makes does not exist yet. Run folders add their own rule
 * (run/folder.ts), because a run may continue in its own folder.
 */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { explain, FileProblem, syncFolder, writeThrough } from "./files.ts"
import { isFree, makeFolders, removeFolders } from "./folders.ts"

/** The path without symbolic links and dots, even if its last parts do not exist yet. */
const realPath = (given: string): string => {
  const at = path.resolve(given)
  try {
    return fs.realpathSync(at)
  } catch {
    return path.dirname(at) === at ? at : path.join(realPath(path.dirname(at)), path.basename(at))
  }
}

/**
 * Fails with `FileProblem` unless the folder is missing or empty and can be written to: checked before hours of work.
 *
 * @param flag the flag that named it, such as `--out`
 * @param inputs folders that are read, by the flags that named them: the message says if it is one of those
 */
export const needFreeFolder = (
  given: string,
  flag: string,
  inputs: Readonly<Record<string, string>> = {}
): Effect.Effect<void, FileProblem> =>
  Effect.suspend(() => {
    const fail = (message: string) => Effect.fail(new FileProblem({ message }))
    const same = Object.keys(inputs).find((input) => realPath(inputs[input]!) === realPath(given))
    if (same !== undefined) return fail(`${flag} ${given} is the folder of ${same} itself, which would be replaced: choose another with ${flag}.`)
    try {
      if (!isFree(given)) return fail(`${given} exists and is not an empty folder: choose another with ${flag}.`)
      const made = makeFolders(given)
      try {
        fs.accessSync(given, fs.constants.W_OK)
      } finally {
        removeFolders(made)
      }
      return Effect.void
    } catch (cause) {
      return fail(`${given} cannot be written to: ${explain(cause)}. Choose another with ${flag}.`)
    }
  })

const exists = (file: string): boolean => fs.lstatSync(file, { throwIfNoEntry: false }) !== undefined

const isThere = (file: string, flag: string): FileProblem =>
  new FileProblem({ message: `${file} exists already and is not overwritten: choose another with ${flag}, or remove it first.` })

/**
 * Fails with `FileProblem` if one of the files exists.
 * @param flag the flag that named them, or their folder, such as `--out`
 */
export const needNewFiles = (files: ReadonlyArray<string>, flag: string): Effect.Effect<void, FileProblem> =>
  Effect.suspend(() => {
    try {
      const there = files.find(exists)
      return there === undefined ? Effect.void : Effect.fail(isThere(there, flag))
    } catch (cause) {
      return Effect.fail(new FileProblem({ message: `${files[0]} cannot be written: ${explain(cause)}.` }))
    }
  })

/** Errors of file systems without hard links, such as those of memory cards. */
const withoutLinks: ReadonlySet<string | undefined> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"])

/** Gives the file its name unless that is taken: in one step if the file system has links. */
const claim = (part: string, file: string): void => {
  try {
    fs.linkSync(part, file)
  } catch (cause) {
    if (!withoutLinks.has((cause as NodeJS.ErrnoException).code)) throw cause
    try {
      fs.copyFileSync(part, file, fs.constants.COPYFILE_EXCL)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EEXIST") fs.rmSync(file, { force: true })
      throw cause
    }
  }
}

/**
 * Writes a new file, whole or not at all; missing folders are made. An existing file is left unchanged and is a
 * `FileProblem`, even if another process made it a moment ago.
 *
 * @param durable false does not wait for the disk: for what can be made again
 */
export const writeNewFile = (file: string, data: string | Uint8Array, flag: string, durable = true): Effect.Effect<void, FileProblem> =>
  Effect.try({
    try: () => {
      const folder = path.dirname(path.resolve(file))
      makeFolders(folder)
      const part = path.join(folder, `.vequinox-${randomBytes(6).toString("hex")}.part`)
      try {
        writeThrough(part, data, "wx", durable)
        claim(part, file)
      } finally {
        fs.rmSync(part, { force: true })
      }
      if (durable) syncFolder(folder)
    },
    catch: (cause) =>
      (cause as NodeJS.ErrnoException).code === "EEXIST" && exists(file)
        ? isThere(file, flag)
        : new FileProblem({ message: `${file} cannot be written: ${explain(cause)}.` })
  })

/**
 * Makes a new file of any size, whole or not at all: `fill` writes to `fd`, a file beside it, which then gets the name.
 * Missing folders are made. A failure or an interruption leaves nothing. An existing file is left unchanged and is a
 * `FileProblem`. It is on disk when this returns.
 */
export const fillNewFile = <E>(
  file: string,
  flag: string,
  fill: (fd: number, part: string) => Effect.Effect<void, E>
): Effect.Effect<void, E | FileProblem> => {
  const folder = path.dirname(path.resolve(file))
  const attempt = <A>(run: () => A) =>
    Effect.try({
      try: run,
      catch: (cause) =>
        (cause as NodeJS.ErrnoException).code === "EEXIST" && exists(file)
          ? isThere(file, flag)
          : new FileProblem({ message: `${file} cannot be written: ${explain(cause)}.` })
    })
  const open = attempt(() => {
    const made = makeFolders(folder)
    try {
      const part = path.join(folder, `.vequinox-${randomBytes(6).toString("hex")}.part`)
      return { made, part, fd: fs.openSync(part, "wx") }
    } catch (cause) {
      removeFolders(made)
      throw cause
    }
  })
  return Effect.andThen(
    needNewFiles([file], flag),
    Effect.acquireUseRelease(
      open,
      ({ fd, part }) =>
        Effect.andThen(fill(fd, part), attempt(() => {
          fs.fsyncSync(fd)
          claim(part, file)
          syncFolder(folder)
        })),
      ({ fd, made, part }) =>
        Effect.sync(() => {
          fs.closeSync(fd)
          fs.rmSync(part, { force: true })
          removeFolders(made) // if nothing is in them
        })
    )
  )
}

/** Most UTF-8 bytes of a name: file systems take 255, and an ending follows. */
const nameBytes = 180

/** Letters and digits of every script, joined by hyphens; empty if the text has none. */
const slug = (text: string): string => {
  const whole = text.normalize("NFC").toLowerCase().replace(/[^\p{L}\p{M}\p{N}]+/gu, "-").replace(/^-|-$/g, "")
  let name = ""
  let bytes = 0
  for (const char of [...whole].slice(0, 60)) {
    bytes += Buffer.byteLength(char)
    if (bytes > nameBytes) break
    name += char
  }
  return name.replace(/-$/, "")
}

/** Equal for two names that some file system would take for one. */
const folded = (name: string): string => name.normalize("NFKC").toLowerCase()

/**
 * A readable file name for each text, in order, without an ending; no two are the same, even ignoring case.
 *
 * @param ids hex digits that tell the texts apart; added if two texts read the same
 */
export const fileNames = (texts: ReadonlyArray<{ readonly text: string; readonly id: string }>): ReadonlyArray<string> => {
  const slugs = texts.map(({ text }) => slug(text))
  const times = new Map<string, number>()
  for (const each of slugs) times.set(folded(each), (times.get(folded(each)) ?? 0) + 1)
  return distinct(texts.map(({ id }, n) => {
    const own = slugs[n]!
    if (own === "") return `drawing-${id.slice(0, 8)}`
    return times.get(folded(own)) === 1 ? own : `${own}-${id.slice(0, 8)}`
  }))
}

/** The names in order; a name that came before gets a number, ignoring case. */
export const distinct = (names: ReadonlyArray<string>, joint = "-"): ReadonlyArray<string> => {
  const given = new Set(names.map(folded))
  const taken = new Set<string>()
  const next = new Map<string, number>()
  return names.map((name) => {
    let own = name
    for (let n = next.get(folded(name)) ?? 2; taken.has(folded(own)); n++) {
      const numbered = `${name}${joint}${n}`
      next.set(folded(name), n + 1)
      if (!given.has(folded(numbered))) own = numbered
    }
    taken.add(folded(own))
    return own
  })
}
