/**
 * Makes folders, and always ends. Node's own recursive mkdir does not where the file system answers "no such file" to a
 * folder whose parent is there, as /proc does: it spins in native code, and no signal is heard.
 */
import * as fs from "node:fs"
import * as path from "node:path"

/** Missing, or an empty folder. Throws what the file system throws. */
export const isFree = (folder: string): boolean => {
  const found = fs.statSync(folder, { throwIfNoEntry: false })
  return found === undefined || (found.isDirectory() && fs.readdirSync(folder).length === 0)
}

/** A file system that has this folder but takes no new ones. */
const takesNone = (parent: string): Error => new Error(`no folder can be made in ${parent}`)

const isFolder = (at: string): boolean => fs.statSync(at, { throwIfNoEntry: false })?.isDirectory() ?? false

const make = (at: string): boolean => {
  try {
    fs.mkdirSync(at)
    return true
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === "EEXIST" && isFolder(at)) return false // another process was faster
    if (code === "ENOENT" && isFolder(path.dirname(at))) throw takesNone(path.dirname(at))
    throw cause
  }
}

/**
 * The folder and those above it that are missing. Where one cannot be made, those that were are removed again, and what
 * the file system said is thrown.
 *
 * @returns those that were made, outermost first, absolute
 */
export const makeFolders = (folder: string): ReadonlyArray<string> => {
  const missing: Array<string> = []
  let at = path.resolve(folder)
  for (; !isFolder(at); at = path.dirname(at)) {
    missing.unshift(at)
    if (path.dirname(at) === at) break
  }
  const made: Array<string> = []
  try {
    for (const each of missing) if (make(each)) made.push(each)
  } catch (cause) {
    removeFolders(made)
    throw cause
  }
  return made
}

/** Removes folders that `makeFolders` made, innermost first, as far as nobody has put anything there. */
export const removeFolders = (made: ReadonlyArray<string>): void => {
  try {
    for (const folder of made.toReversed()) fs.rmdirSync(folder)
  } catch {
    // Somebody else has put something there.
  }
}
