/** A model's name on the Hub: `owner/name`, or `owner/name@revision`. */

export interface HubModel {
  readonly id: string
  /** A branch, a tag or a commit. */
  readonly revision: string
}

/** What an id may look like, so that it can be part of an address and of a folder's name. */
const id = /^(?!.*(--|\.\.|\.git$))[A-Za-z0-9][\w.-]*\/[A-Za-z0-9_][\w.-]{0,95}$/

/** What git allows in names, so that it can be part of an address and of a file's path. */
const revision = /^(?!\/|.*(\.\.|\/\/|@\{|\/$))[^\s~^:?*[\\\p{Cc}]{1,200}$/u

/** Undefined where the text is no such name. */
export const parseModelId = (text: string): { readonly id: string; readonly revision: string | undefined } | undefined => {
  const [name, ...rest] = text.split("@")
  const asked = rest.length === 0 ? undefined : rest.join("@")
  return id.test(name!) && (asked === undefined || revision.test(asked)) ? { id: name!, revision: asked } : undefined
}

export const isRevision = (text: string): boolean => revision.test(text)

/** A whole commit, which never comes to mean something else. */
export const isCommit = (text: string): boolean => /^[0-9a-f]{40}$/.test(text)
