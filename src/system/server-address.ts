/** The address of a server, as a person gave it. */

/** Undefined if it is none of http or https. */
export const serverUrl = (text: string): URL | undefined => {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol) ? url : undefined
}

/** Whether something in it may be a key: then it must be neither shown nor stored. */
export const mayHoldKey = ({ hash, password, search, username }: URL): boolean => username + password + search + hash !== ""

/** Without a slash at its end. */
export const plainAddress = ({ origin, pathname }: URL): string => `${origin}${pathname.replace(/\/+$/, "")}`
