/** SQLite's primary result code of an error (https://sqlite.org/rescode.html), 0 for any other error. */
export const resultCode = (cause: unknown): number => cause instanceof Error && "errcode" in cause ? Number(cause.errcode) & 0xff : 0

/** Another connection holds the database (SQLITE_BUSY). */
export const isLocked = (cause: unknown): boolean => resultCode(cause) === 5
