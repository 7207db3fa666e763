import { oneLine } from "../../src/system/secrets.ts"

/** What a model said about its verdict, in the stored form: one line of at most 2000 characters. */
export const reasonOf = (said: string): string => oneLine(said, 2000)
