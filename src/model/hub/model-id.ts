/** A model's name on the Hub: `owner/name`, or `owner/name@revision`. */

export interface HubModel {
  readonly id: string
  /** A branch, a tag or a commit. */
  readonly revision: string
}

/** Allowed ids: they become part of a URL and of a folder's name. */
const id = /^(?!.*(--|\.\.|\.git$))[A-Za-z0-9][\w.-]*\/[A-Za-z0-9_][\w.-]{0,95}$/

/** Names that git allows: they become part of a URL and of a file's path. */
const revision = /^(?!\/|.*(\.\.|\/\/|@\{|\/$))[^\s~^:?*[\\\p{Cc}]{1,200}$/u

/** Undefined if the text is not such a name. */
export const parseModelId = (text: string): { readonly id: string; readonly revision: string | undefined } | undefined => {
  const [name, ...rest] = text.split("@")
  const asked = rest.length === 0 ? undefined : rest.join("@")
  return id.test(name!) && (asked === undefined || revision.test(asked)) ? { id: name!, revision: asked } : undefined
}

export const isRevision = (text: string): boolean => revision.test(text)

/** Whether it is a whole commit, whose meaning never changes. */
export const isCommit = (text: string): boolean => /^[0-9a-f]{40}$/.test(text)
