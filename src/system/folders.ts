/**
 * Makes folders, and always returns. Node's own recursive mkdir does not: if the file system answers "no such file" for
 * a folder whose parent exists, as /proc does, it spins in native code and no signal gets through.
 */
import * as fs from "node:fs"
import * as path from "node:path"

/** Whether the folder is missing or empty. Throws what the file system throws. */
export const isFree = (folder: string): boolean => {
  const found = fs.statSync(folder, { throwIfNoEntry: false })
  return found === undefined || (found.isDirectory() && fs.readdirSync(folder).length === 0)
}

/** The file system has this folder but takes no new ones in it. */
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
 * Makes the folder and its missing parents. If one cannot be made, the others are removed again and the file system's
 * error is thrown.
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

/** Removes folders that `makeFolders` made, innermost first, unless somebody has put something there. */
export const removeFolders = (made: ReadonlyArray<string>): void => {
  try {
    for (const folder of made.toReversed()) fs.rmdirSync(folder)
  } catch {
    // Somebody has put something there.
  }
}
