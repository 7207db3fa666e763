/** Which rows are kept from training. */
import { createHash } from "node:crypto"
import type { TrainingRow } from "./read.ts"

/** Where a draft or a picture begins. What stands before asks for the drawing, in this repository's rows and IntroSVG's. */
const shown = /```|<svg[\s>/]|<image>|\nSeen: /i

/**
 * The same for all rows that ask for the same drawing: what the first user's message says before a draft or a picture.
 * The whole message if it begins with one.
 */
export const promptKey = ({ context }: Pick<TrainingRow, "context">): string => {
  const text = context.find(({ role }) => role === "user")!.content
  const end = text.search(shown)
  return (end < 0 ? text : text.slice(0, end)).trim() || text
}

/**
 * By a hash of the prompt alone: the same prompt is never on both sides, and more rows move none.
 *
 * @param share of the prompts that are held out, in [0, 1]
 */
export const isHeldOut = (row: Pick<TrainingRow, "context">, share: number): boolean =>
  createHash("sha256").update(promptKey(row)).digest().readUInt32BE(0) / 2 ** 32 < share
