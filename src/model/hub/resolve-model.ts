/** Reads --model and --judge-model: a local folder, which wins if there is one, or a model of the Hub. */
import * as fs from "node:fs"
import { Effect } from "effect"
import type { Base } from "../adapter.ts"
import type { ProgressStyle } from "../../system/progress.ts"
import { ModelUnavailable } from "./errors.ts"
import { fetchModel } from "./fetch-model.ts"
import { isRevision, parseModelId } from "./model-id.ts"
import type { ModelKind } from "./model-kind.ts"

export interface ResolvedModel {
  /** As it was given, absolute or not; it need not exist. */
  readonly folder: string
  /** How files made from it name their base. */
  readonly base: Base
}

/**
 * The folder of a model, fetched from the Hub if necessary. Text that is neither a folder nor a name on the Hub is left
 * to the opener, which reports it.
 *
 * @param asked branch, tag or commit on the Hub; empty takes the one in the text, else `main`
 */
export const resolveModel = Effect.fn("resolveModel")(function*(
  text: string,
  kind: ModelKind,
  { revision: asked = "", style }: { readonly revision?: string; readonly style: ProgressStyle }
) {
  const given = fs.existsSync(text) ? undefined : parseModelId(text)
  if (given === undefined) {
    if (asked !== "") {
      return yield* new ModelUnavailable({ message: `--revision ${asked} is only for models on the Hub, and ${text} is a folder: leave it out.` })
    }
    return { folder: text, base: { name: text, revision: null } } satisfies ResolvedModel as ResolvedModel
  }
  const { id, revision = asked || "main" } = given
  if (asked !== "" && asked !== revision) {
    return yield* new ModelUnavailable({ message: `${text} and --revision ${asked} ask for two revisions: give one.` })
  }
  if (!isRevision(revision)) {
    return yield* new ModelUnavailable({ message: `"${revision}" is not a revision: give a branch, a tag or a whole commit.` })
  }
  const { commit, folder } = yield* fetchModel({ id, revision }, kind, style)
  return { folder, base: { name: id, revision: commit } } satisfies ResolvedModel as ResolvedModel
})
