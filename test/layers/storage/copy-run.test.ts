/** A run's copy: what is sent, in which order, and what a half of it is taken for. */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schedule } from "effect"
import * as background from "../../../layers/storage/background.ts"
import { claim, copyRun, needOwnPrefix } from "../../../layers/storage/copy-run.ts"
import { downloadRun } from "../../../layers/storage/download-run.ts"
import { type RunFolder, runFolder } from "../../../src/run/folder.ts"
import { ObjectStore, type StorageFailed } from "../../../src/stages/ObjectStore.ts"
import { Storage } from "../../../src/stages/Storage.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"
import { during } from "../../support/loopback.ts"
import { type S3Fault, type S3Request, s3Server } from "../../support/s3-server.ts"
import { begunRun, checkpointed, sha256Of, storeAt } from "../../support/storage.ts"
import { drive, steps } from "../../survival/drive.ts"

const work = scratchFolder("copy")
let made = 0
const fresh = () => path.join(work, String(made++))
type Server = Awaited<ReturnType<typeof s3Server>>

const inStore = <A, E>(server: Server, work: Effect.Effect<A, E, ObjectStore>, prefix = "a") =>
  Effect.runPromise(work.pipe(Effect.provide(storeAt(server.url, prefix))))
const failsIn = (server: Server, work: Effect.Effect<unknown, { readonly message: string }, ObjectStore>, prefix = "a") =>
  inStore(server, Effect.map(Effect.flip(work), ({ message }) => message), prefix)
const copied = (run: RunFolder, finished = false, id = "one") => Effect.flatMap(claim(run, id), (place) => copyRun(place, finished))
const manifestOf = (server: Server, prefix = "a") => JSON.parse(server.objects.get(`${prefix}/manifest.json`)!.bytes.toString())
const filesOf = (folder: string) =>
  fs.readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => fs.statSync(path.join(folder, name)).isFile() && !/^run\.(lock|db)/.test(name)).sort()
const begun = (bytes?: number) => Effect.runPromise(begunRun(fresh(), bytes))
const withFault = (faultOf: (request: S3Request) => S3Fault | undefined, use: (server: Server, heal: () => void) => Promise<void>) => {
  let well = false
  return during(s3Server("runs", (request) => well ? undefined : faultOf(request)), (server) => use(server, () => (well = true)))
}

describe("a copy", () => {
  it("is claimed first and named last, and comes back as it was, run.db consistent", () =>
    during(s3Server("runs"), async (server) => {
      const run = await begun()
      await inStore(server, copied(run))
      const puts = server.since().filter((asked) => asked.startsWith("PUT"))
      assert.strictEqual(puts[0], "PUT a/manifest.json")
      assert.strictEqual(puts.at(-1), "PUT a/manifest.json")
      assert.strictEqual(puts.length, 2 + 5)
      const out = fresh()
      assert.strictEqual(await inStore(server, downloadRun(out, "none")), "one")
      assert.deepStrictEqual(filesOf(out), filesOf(run.path))
      for (const name of filesOf(out)) assert.strictEqual(sha256Of(path.join(out, name)), sha256Of(run.file(name)))
      const db = new DatabaseSync(path.join(out, "run.db"))
      assert.deepStrictEqual(db.prepare("SELECT step FROM checkpoints").all().map(({ step }) => step), [1])
      assert.deepStrictEqual(db.prepare("PRAGMA integrity_check").all().map((row) => row["integrity_check"]), ["ok"])
      db.close()
      assert.isFalse(fs.existsSync(run.file(".storage")))
    }))

  it("sends nothing again that did not change, and removes what is no longer the run's", () =>
    during(s3Server("runs"), async (server) => {
      const run = await begun()
      await inStore(server, copied(run))
      server.since()
      await inStore(server, copied(run))
      assert.deepStrictEqual(server.since().filter((asked) => /^(PUT|DELETE)/.test(asked)), [])
      await Effect.runPromise(checkpointed(run.path, 2, 100, [1]))
      await inStore(server, copied(run))
      const puts = server.since().filter((asked) => asked.startsWith("PUT")).map((asked) => asked.replace(/\.[0-9a-f]{16}$/, ".HASH"))
      assert.sameMembers(puts, [
        "PUT a/checkpoints/step-2/adapter_model.safetensors", "PUT a/checkpoints/step-2/state.json", "PUT a/metrics.jsonl.HASH", "PUT a/run.db.HASH", "PUT a/manifest.json"
      ])
      assert.strictEqual(puts.at(-1), "PUT a/manifest.json")
      assert.sameMembers([...server.objects.keys()], ["a/manifest.json", ...manifestOf(server).files.map(({ key }: { key: string }) => `a/${key}`)])
      assert.isFalse(manifestOf(server).files.some(({ path }: { path: string }) => path.startsWith("checkpoints/step-1/")))
    }))

  it("of a finished run has each file under its own name", () =>
    during(s3Server("runs"), async (server) => {
      const run = await begun()
      await inStore(server, copied(run))
      fs.mkdirSync(run.file("adapter"))
      fs.writeFileSync(run.file("adapter/adapter_model.safetensors"), "weights")
      await inStore(server, copied(run, true))
      assert.sameMembers([...server.objects.keys()], [...filesOf(run.path), "run.db", "manifest.json"].map((name) => `a/${name}`))
      assert.isTrue(manifestOf(server).finished)
    }))

  it("that broke off is not taken for one: the one before it still comes back whole", () =>
    withFault(({ key, method }) => method === "PUT" && key.endsWith("step-2/state.json") ? "AccessDenied" : undefined, async (server, heal) => {
      const run = await begun()
      await inStore(server, copied(run))
      await Effect.runPromise(checkpointed(run.path, 2, 100, [1]))
      assert.match(await failsIn(server, copied(run)), /may not write s3:\/\/runs\/a\/checkpoints\/step-2\/state\.json.*s3:PutObject/)
      const out = fresh()
      await inStore(server, downloadRun(out, "none"))
      assert.deepStrictEqual(fs.readdirSync(path.join(out, "checkpoints")), ["step-1"])
      heal()
      server.since()
      await inStore(server, copied(run))
      assert.notInclude(server.since(), "PUT a/checkpoints/step-2/adapter_model.safetensors")
      assert.strictEqual(manifestOf(server).step, 2)
    }))

  it("leaves no parts of uploads that nobody completes", () =>
    during(s3Server("runs"), async (server) => {
      const run = await begun()
      server.uploads.set("orphan", { key: "a/checkpoints/step-0/gone", metadata: {}, parts: new Map() })
      server.uploads.set("other", { key: "another/run", metadata: {}, parts: new Map() })
      await inStore(server, copied(run))
      assert.deepStrictEqual([...server.uploads.keys()], ["other"])
    }))
})

describe("what this run did not make", () => {
  it("a prefix with another run is refused", () =>
    during(s3Server("runs"), async (server) => {
      await inStore(server, copied(await begun()))
      const before = new Map(server.objects)
      assert.strictEqual(
        await failsIn(server, copied(await begun(), false, "two")),
        "s3://runs/a holds another run: choose another --storage-path, or continue that run with --resume s3://runs/a"
      )
      assert.match(await failsIn(server, needOwnPrefix(undefined)), /holds another run/)
      assert.deepStrictEqual(server.objects, before)
    }))

  it("a prefix with anything else is refused, its neighbours are not looked at", () =>
    during(s3Server("runs"), async (server) => {
      server.objects.set("a/thesis.pdf", { bytes: Buffer.from("mine"), etag: "x", metadata: {} })
      assert.match(await failsIn(server, copied(await begun())), /s3:\/\/runs\/a holds objects that vequinox did not make, so it writes nothing there/)
      assert.deepStrictEqual([...server.objects.keys()], ["a/thesis.pdf"])
      await inStore(server, copied(await begun()), "a/thesis")
    }))

  it("an object that somebody puts there later stays, and is not overwritten", () =>
    during(s3Server("runs"), async (server) => {
      const run = await begun()
      await inStore(server, copied(run))
      for (const key of ["a/notes.txt", "a/checkpoints/step-2/state.json"]) server.objects.set(key, { bytes: Buffer.from("mine"), etag: "x", metadata: {} })
      await Effect.runPromise(checkpointed(run.path, 2))
      assert.match(await failsIn(server, copied(run)), /step-2\/state\.json was not made by this run, so it is not overwritten/)
      assert.strictEqual(server.objects.get("a/checkpoints/step-2/state.json")!.bytes.toString(), "mine")
      server.objects.delete("a/checkpoints/step-2/state.json")
      await inStore(server, copied(run))
      assert.strictEqual(server.objects.get("a/notes.txt")!.bytes.toString(), "mine")
    }))

  it("of two processes that copy the same run the first one stops", () =>
    during(s3Server("runs"), async (server) => {
      const run = await begun()
      await inStore(server, Effect.gen(function*() {
        const first = yield* claim(run, "one")
        yield* copyRun(first, false)
        const second = yield* claim(run, "one")
        yield* checkpointed(run.path, 2)
        yield* copyRun(second, false)
        assert.match((yield* Effect.flip(copyRun(first, false))).message, /^Another process copies this run to s3:\/\/runs\/a/)
      }))
    }))
})

describe("a download", () => {
  const leavesNothing = (out: string) => assert.deepStrictEqual(fs.readdirSync(work).filter((name) => name.startsWith(path.basename(out))), [])

  it("of damaged bytes is refused, and leaves nothing", () =>
    during(s3Server("runs"), async (server) => {
      const run = await begun()
      await inStore(server, copied(run, true))
      const key = "a/checkpoints/step-1/adapter_model.safetensors"
      const { bytes, ...rest } = server.objects.get(key)!
      server.objects.set(key, { ...rest, bytes: Buffer.from(bytes.map((byte, n) => n === 50 ? byte ^ 1 : byte)) })
      const out = path.join(work, "damaged")
      assert.match(await failsIn(server, downloadRun(out, "none")), /adapter_model\.safetensors is damaged: its SHA-256 is not that of/)
      leavesNothing(out)
      server.objects.delete(key)
      assert.match(await failsIn(server, downloadRun(out, "none")), /adapter_model\.safetensors is not there: the copy of the run is not whole any more/)
    }), 60_000)

  it("gets over connections that break", () => {
    let left = 2
    return during(s3Server("runs", ({ key, method }) => method === "GET" && key.endsWith("config.json") && left-- > 0 ? "reset" : undefined), async (server) => {
      await inStore(server, copied(await begun(), true))
      await inStore(server, downloadRun(fresh(), "none"))
    })
  })

  for (const bad of ["../evil", "/etc/evil", "a/../../evil", "C:\\evil", "a\\..\\b", "a//b", ""]) {
    it(`writes nothing outside of its folder: ${JSON.stringify(bad)}`, () =>
      during(s3Server("runs"), async (server) => {
        await inStore(server, copied(await begun(), true))
        const manifest = manifestOf(server)
        for (const name of ["path", "key"]) {
          const files = manifest.files.map((file: object, n: number) => n === 0 ? { ...file, [name]: bad } : file)
          server.objects.set("a/manifest.json", { bytes: Buffer.from(JSON.stringify({ ...manifest, files })), etag: "x", metadata: {} })
          const out = fresh()
          assert.match(await failsIn(server, downloadRun(out, "none")), /manifest\.json is not of a run's copy, or is damaged/)
          assert.isFalse(fs.existsSync(out))
        }
      }))
  }

  it("of nothing says so", () =>
    during(s3Server("runs"), async (server) => {
      assert.match(await failsIn(server, downloadRun(fresh(), "none")), /^s3:\/\/runs\/a holds no copy of a run: check the address/)
      await inStore(server, claim(await begun(), "one"))
      assert.match(await failsIn(server, downloadRun(fresh(), "none")), /holds no checkpoint yet/)
    }))
})

describe("in the background", () => {
  const patience = { longestPause: 1, atEnd: 1, atStop: 2 }
  const storing = <A, E>(server: Server, run: RunFolder, use: Effect.Effect<A, E>, notes: Array<string> = []) =>
    Effect.runPromise(use.pipe(
      Effect.provide(background.layer({ run, id: "one", style: "none", patience, note: (line) => Effect.sync(() => void notes.push(line)) }).pipe(Layer.provide(storeAt(server.url, "a")))),
      Effect.scoped
    ) as Effect.Effect<A, E | StorageFailed>)

  const until = (is: () => boolean) => Effect.suspend(() => is() ? Effect.void : Effect.fail("not yet")).pipe(Effect.retry(Schedule.spaced("20 millis")))

  it("a store that is away for a while costs nothing but a line, and gets the newest checkpoint", () =>
    withFault(({ method, key }) => method === "PUT" && !key.endsWith("manifest.json") ? "AccessDenied" : undefined, async (server, heal) => {
      const [run, notes] = [await begun(), [] as Array<string>]
      const metrics = await storing(server, run, Effect.gen(function*() {
        const { committed, finished, metrics } = yield* Storage
        yield* committed
        yield* until(() => notes.length >= 1)
        yield* checkpointed(run.path, 2, 100, [1])
        yield* committed
        const during = yield* metrics
        heal()
        yield* until(() => notes.length >= 2)
        yield* finished
        return [during, yield* metrics]
      }), notes)
      assert.isAtLeast(metrics[0]!["storage/failed"]!, 1)
      assert.strictEqual(metrics[0]!["storage/behind"], 2)
      assert.notProperty(metrics[1]!, "storage/behind")
      assert.strictEqual(notes.length, 2)
      assert.match(notes[0]!, /may not write .*: the run goes on, and is copied later\.$/)
      assert.match(notes[1]!, /holds the run again, up to step 2/)
      assert.deepStrictEqual([manifestOf(server).step, manifestOf(server).finished], [2, true])
    }))

  it("a finished run whose store stays away fails in one sentence that says how to send the rest", () =>
    withFault(({ method, key }) => method === "PUT" && !key.endsWith("manifest.json") ? "AccessDenied" : undefined, async (server) => {
      const run = await begun()
      const failed = await storing(server, run, Effect.flip(Effect.flatMap(Storage, ({ finished }) => finished)))
      assert.match(failed.message, /^The run is finished in .*, but its copy is not whole \(.*403.*\): vequinox train --resume .* sends the rest\.$/)
    }))

  for (const fault of ["AccessDenied", "hang"] as const) it(`a run that is stopped says which checkpoint is not there (${fault})`, () =>
    withFault(({ method, key }) => method === "PUT" && !key.endsWith("manifest.json") ? fault : undefined, async (server) => {
      const [run, notes] = [await begun(), [] as Array<string>]
      const began = performance.now()
      await storing(server, run, Effect.flatMap(Storage, ({ committed }) => committed), notes)
      assert.isBelow(performance.now() - began, 1000 * (patience.atStop + 3))
      assert.match(notes.at(-1)!, /s3:\/\/runs\/a does not have the newest checkpoint: vequinox train --resume .* sends it\./)
    }))

  it("a run that is lost in its middle goes on from its copy to the same result, bit for bit", () =>
    during(s3Server("runs"), async (server) => {
      const [unbroken, run] = [fresh(), runFolder(fresh())]
      for (const folder of [unbroken, run.path]) fs.mkdirSync(folder)
      fs.writeFileSync(run.file("config.json"), "{}")
      await Effect.runPromise(drive(unbroken))
      let calls = 0
      await storing(server, run, Effect.gen(function*() {
        const lost = yield* Effect.forkChild(drive(run.path, 2, { onSample: () => { if (++calls === steps) throw new Error("lost") } }))
        yield* Fiber.await(lost)
        yield* until(() => manifestOf(server).step > 0)
      }))
      assert.isAbove(manifestOf(server).step, 0)
      assert.isBelow(manifestOf(server).step, steps)
      const out = fresh()
      await inStore(server, downloadRun(out, "none"))
      const again = await Effect.runPromise(drive(out))
      assert.isAbove(again.from, 0)
      assert.deepStrictEqual(again.refused, [])
      const told = (folder: string) => fs.readFileSync(path.join(folder, "metrics.jsonl"), "utf8").replace(/,?"(seconds|storage)\/\w+":[\d.e-]+/g, "")
      assert.strictEqual(told(out), told(unbroken))
      for (const name of ["adapter/model.safetensors", "preferences.jsonl"]) assert.strictEqual(sha256Of(path.join(out, name)), sha256Of(path.join(unbroken, name)))
    }))
})
