/** Which of a policy's roles a row teaches. */
import { type Role, roles } from "../roles/roles.ts"
import { jsonIn } from "../system/json-in.ts"
import { type Conversation, RowRefused } from "./shapes.ts"

/** A drawing that is begun, or a fence that holds one. */
const draft = /<svg[\s>/]|```(?:xml|svg)\b/i

const hasScore = (answer: string): boolean => {
  if (!answer.includes("\"score\"")) return false
  try {
    return typeof (JSON.parse(jsonIn(answer)) as { readonly score?: unknown } | null)?.score === "number"
  } catch {
    return false
  }
}

/**
 * The kind that the row names. Else a critique if the answer is JSON with a score; a correction if a draft stands before
 * the answer, in the user's words or as an earlier answer; direct otherwise. Throws `RowRefused` if it names no kind that
 * there is.
 */
export const kindOf = ({ answer, context, kind }: Conversation): Role => {
  if (kind !== undefined && kind !== null) {
    const named = roles.find((role) => role === kind)
    if (named === undefined) throw new RowRefused(`its kind is ${JSON.stringify(kind).slice(0, 40)}: ${roles.join(", ")} are known`)
    return named
  }
  if (hasScore(answer)) return "critique"
  return context.some(({ content, role }) => role !== "system" && draft.test(content)) ? "correction" : "direct"
}
