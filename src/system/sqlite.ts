/** SQLite's primary result code of an error, 0 for any other error. */
const resultCode = (cause: unknown): number => Number((cause as { readonly errcode?: unknown }).errcode) & 0xff

/** Another connection holds the database (SQLITE_BUSY). */
export const isLocked = (cause: unknown): boolean => resultCode(cause) === 5
