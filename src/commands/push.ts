/** `vequinox push`: commits an adapter, a model or a dataset of preferences to a repository of the Hub. */
import * as path from "node:path"
import { Console, Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { parseModelId } from "../model/hub/model-id.ts"
import { push as pushFiles } from "../model/hub/push.ts"
import { collectFiles, pushKinds } from "../model/hub/pushed-files.ts"
import { byteSize, progressStyle } from "../system/progress.ts"
import * as Flags from "../wiring/flags.ts"

const isName = (text: string): boolean => parseModelId(text) !== undefined && !text.includes("@")
const hubName = Schema.String.check(Schema.makeFilter((text: string) => isName(text) || "a repository is named owner/name"))
const oneWord = Schema.String.check(Schema.makeFilter((text: string) => /^[\w.-]+$/.test(text) || "a licence is one word, such as mit"))

export const push = Command.make("push", {
  from: Argument.String("what").pipe(Argument.withDescription("folder of an adapter, a model or a run; or a file of preferences (.jsonl) or weights (.gguf)")),
  repo: Flag.String("repo").pipe(Flag.withDescription("repository, as owner/name; made if it does not exist"), Flag.withSchema(hubName)),
  kind: Flag.Literals("kind", pushKinds).pipe(Flag.withDescription("what of a run to push, or what a folder is, where that is not plain"), Flag.optional),
  baseModel: Flag.String("base-model").pipe(
    Flag.withDescription("the model of the Hub that it was made from, as owner/name; needed where an adapter names a folder"),
    Flag.withSchema(hubName),
    Flag.optional
  ),
  license: Flag.String("license").pipe(Flag.withDescription("licence for a card that is written, by the Hub's name"), Flag.withSchema(oneWord), Flag.optional),
  public: Flag.Boolean("public").pipe(Flag.withDescription("a repository that is made is for everybody; otherwise private"), Flag.withDefault(false)),
  update: Flag.Boolean("update").pipe(Flag.withDescription("replace files that the repository has; its history keeps them"), Flag.withDefault(false)),
  message: Flag.String("message").pipe(Flag.withDescription("title of the commit"), Flag.optional),
  json: Flags.json
}, Effect.fn(function*(o) {
  const { files, kind, left } = yield* collectFiles(o.from, Option.getOrUndefined(o.kind), {
    name: o.repo,
    license: Option.getOrUndefined(o.license),
    base: Option.getOrUndefined(o.baseModel)
  })
  const { commit, created, known, sent, url } = yield* pushFiles({
    repo: { type: kind === "dataset" ? "dataset" : "model", name: o.repo },
    visibility: o.public ? "public" : "private",
    title: Option.getOrElse(o.message, () => `Push ${kind} with vequinox`),
    files,
    update: o.update,
    style: progressStyle(o.json)
  })
  const stays = left.length === 0 ? "" : ` Left out: ${left.join(", ")}.`
  yield* Console.log(
    o.json
      ? JSON.stringify({ url, commit, kind, created, files: files.map(({ path }) => path), sent, known, left })
      : `Pushed ${files.length} files of ${path.normalize(o.from)} to ${url}${created ? o.public ? ", new and public" : ", new and private" : ""}: ${byteSize(sent)} sent, ${byteSize(known)} there already.${stays}`
  )
})).pipe(Command.withDescription("Commit an adapter, a model or preferences to the Hub"))
