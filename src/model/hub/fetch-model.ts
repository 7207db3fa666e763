/**
 * Fetches a model of the Hub into a folder of the cache. Small things that may rule the model out come first: the
 * listing, config.json, the index of the shards, the room on the disk; then the small files, then the weights, four at
 * a time. The revision is remembered only when everything is there.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Schedule } from "effect"
import { weightFiles } from "../model-folder.ts"
import { explain } from "../../system/files.ts"
import { bytes, byteSize, makeProgress, type Progress, type ProgressStyle } from "../../system/progress.ts"
import { type ModelCache, modelCache } from "./cache.ts"
import { type CacheUnwritable, download, thereOf, writing } from "./download.ts"
import { type HubBusy, ModelUnavailable } from "./errors.ts"
import { type Hub, makeHub, type RepoFile } from "./hub.ts"
import { type HubModel, isCommit } from "./model-id.ts"
import { type ModelKind, shardIndex } from "./model-kind.ts"
import { withHubRetry } from "./retry.ts"
import { hubSettings } from "./settings.ts"

export interface FetchedModel {
  readonly folder: string
  readonly commit: string
}

/** Files fetched at the same time. */
const together = 4

const unavailable = (message: string) => new ModelUnavailable({ message })

export const fetchModel = Effect.fn("fetchModel")(function*(model: HubModel, kind: ModelKind, style: ProgressStyle) {
  const settings = yield* hubSettings
  const cache = modelCache(settings.cache, model)
  const { note } = yield* makeProgress(style, bytes, 0)
  const pinned = isCommit(model.revision)
  if (settings.offline || pinned) {
    const found = yield* cached(cache, model, kind)
    if (found.missing === undefined) return found
    if (settings.offline) {
      return yield* unavailable(`${found.missing} in ${settings.cache}, and HF_HUB_OFFLINE forbids fetching it: unset it once, or give a folder that exists.`)
    }
  }
  const hub = makeHub(settings)
  const ask = withHubRetry(note, false)
  const listed = yield* Effect.result(Effect.gen(function*() {
    const commit = pinned ? model.revision : yield* ask(hub.commitOf(model))
    return { commit, listing: yield* ask(hub.files(model, commit)) }
  }))
  if (listed._tag === "Failure") {
    if (listed.failure._tag !== "HubBusy") return yield* listed.failure
    const found = yield* cached(cache, model, kind)
    if (found.missing !== undefined) {
      return yield* unavailable(`${listed.failure.message}, and ${found.missing} in ${settings.cache}: check the network, or give a folder that exists.`)
    }
    yield* note(`${listed.failure.message}: continuing with the cached files of ${named(model)}.`)
    return found
  }
  const { commit, listing } = listed.success
  const fetched = yield* fetchMissing({ cache, commit, hub, kind, model, root: settings.cache, style }, listing)
  // A complete cache may be read-only.
  yield* writing(() => cache.remember(model.revision === commit ? commit : model.revision, commit)).pipe(Effect.ignore)
  return fetched
})

const named = ({ id, revision }: HubModel): string => (revision === "main" ? id : `${id}@${revision}`)

/** The model in the cache, or what is missing, as a clause. */
const cached = Effect.fnUntraced(function*(cache: ModelCache, model: HubModel, kind: ModelKind) {
  const commit = cache.commitOf(model.revision)
  const folder = commit === undefined ? "" : cache.snapshot(commit)
  if (commit === undefined || !fs.existsSync(folder)) return { missing: `${named(model)} is not` }
  const has = (name: string) => fs.existsSync(path.join(folder, name))
  const lead = kind.weights.find(has)
  const weights = lead !== shardIndex ? [lead ?? kind.weights[0]!] : (yield* weightFiles(folder)).files
  const missing = [...kind.required, ...weights].find((name) => !has(name))
  return missing === undefined ? { folder, commit, missing } : { missing: `${named(model)} has no ${missing}` }
})

interface Fetch {
  readonly cache: ModelCache
  readonly commit: string
  readonly hub: Hub
  readonly kind: ModelKind
  readonly model: HubModel
  readonly root: string
  readonly style: ProgressStyle
}

const fetchMissing = Effect.fnUntraced(function*(o: Fetch, listing: ReadonlyArray<RepoFile>) {
  const { cache, commit, kind, model: { id } } = o
  const folder = cache.snapshot(commit)
  const known = new Map(listing.map((file) => [file.name, file]))
  const get = (name: string) => {
    const file = known.get(name)
    return file === undefined ? Effect.fail(unavailable(`${id} has no ${name}: ${kind.instead}.`)) : Effect.succeed(file)
  }
  const required = yield* Effect.forEach(kind.required, get)
  const lead = kind.weights.find((name) => known.has(name))
  if (lead === undefined) return yield* unavailable(`${id} has no ${kind.weights[0]}: ${kind.instead}.`)

  if (kind.check !== undefined) {
    yield* fetchFiles(o, [yield* get("config.json")])
    yield* kind.check(folder)
  }
  if (lead === shardIndex) yield* fetchFiles(o, [yield* get(lead)])
  const weights = yield* Effect.forEach(lead === shardIndex ? (yield* weightFiles(folder)).files : [lead], get)
  const others = kind.others.flatMap((name) => known.get(name) ?? [])
  yield* fetchFiles(o, [...new Set([...required, ...others])], weights)
  return { folder, commit } satisfies FetchedModel
})

/** Fetches the groups one after the other, so that the weights come last. A file that is there is not fetched. */
const fetchFiles = Effect.fnUntraced(function*(o: Fetch, ...groups: ReadonlyArray<ReadonlyArray<RepoFile>>) {
  const { cache, commit, hub, model, root, style } = o
  const isMissing = ({ name }: RepoFile) => !fs.existsSync(path.join(cache.snapshot(commit), name))
  const missing = groups.map((group) => group.filter(isMissing))
  const there = new Map(missing.flat().map(({ blob, name, size }) => [name, Math.min(size, thereOf(cache.blob(blob)))]))
  const total = missing.flat().reduce((sum, { size }) => sum + size, 0)
  const done = () => [...there.values()].reduce((sum, size) => sum + size, 0)
  if (missing.flat().length === 0) return
  const left = () => total - done()
  yield* enoughRoom(model.id, root, left())

  const progress: Progress = yield* makeProgress(style, bytes, total, done())
  const shown = groups.length > 1 // the first files are small
  if (shown) yield* progress.note(`Fetching ${named(model)} (${byteSize(left())}) from ${hub.host} into ${cache.snapshot(commit)}.`)
  const current = new Set<RepoFile>()
  const doing = () => [...current].slice(0, 1).map(({ name, size }) => (there.get(name) === size ? `checking ${name}` : name)).join()
  const tick = Effect.suspend(() => (shown ? progress.tick(Math.min(done(), total - 1), doing()) : Effect.void))
  const patient = withHubRetry(progress.note, true)
  const fetchOne = Effect.fnUntraced(function*(file: RepoFile) {
    const blob = cache.blob(file.blob)
    current.add(file)
    if (!fs.existsSync(blob)) {
      yield* download({
        file,
        blob,
        read: (from) => hub.read(model, commit, file, from),
        again: patient,
        moved: (size) => void there.set(file.name, size)
      })
    }
    yield* writing(() => cache.link(commit, file.name, file.blob))
    current.delete(file)
  })
  yield* Effect.forEach(missing, (group) => Effect.forEach(group, fetchOne, { concurrency: together }), { discard: true }).pipe(
    Effect.raceFirst(Effect.repeat(tick, Schedule.spaced("200 millis"))),
    Effect.onInterrupt(() => progress.note(`Stopped at ${byteSize(done())} of ${byteSize(total)}: the same command continues from there.`)),
    Effect.catchTags({
      HubBusy: ({ message }: HubBusy) =>
        Effect.fail(unavailable(`${message}, and ${left()} bytes of ${model.id} are still missing: the same command continues from there.`)),
      CacheUnwritable: ({ cause }: CacheUnwritable) => Effect.fail(unavailable(unwritable(model.id, root, left(), cause)))
    }),
    Effect.tapError(() => progress.end)
  )
  if (shown) yield* progress.tick(total, "")
  yield* progress.end
})

const elsewhere = "set HF_HOME to a folder on another disk"

/** Checked now rather than after minutes of downloading. A system that does not say how much is free is trusted. */
const enoughRoom = (id: string, root: string, needed: number) =>
  Effect.suspend(() => {
    let at = root
    while (!fs.existsSync(at) && path.dirname(at) !== at) at = path.dirname(at)
    const { bavail, blocks, bsize } = fs.statfsSync(at)
    const free = bavail * bsize
    return blocks === 0 || free >= needed ? Effect.void : Effect.fail(unavailable(
      `${id} takes ${needed} bytes more and ${root} has room for ${free}: make room for ${needed - free} bytes more, or ${elsewhere}.`
    ))
  })

const unwritable = (id: string, root: string, missing: number, cause: unknown): string =>
  ["ENOSPC", "EDQUOT"].includes((cause as NodeJS.ErrnoException).code ?? "")
    ? `The disk of ${root} is full, and ${missing} bytes of ${id} are still missing: make room or ${elsewhere}, and run the same command again.`
    : `${root} cannot be written to (${explain(cause)}): set HF_HOME to a folder that can.`
