/** A store at a server of this machine, and folders like a run's. */
import { createHash, randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Layer } from "effect"
import * as s3 from "../../layers/storage/s3.ts"
import { RunDatabase } from "../../layers/store/run-database.ts"
import * as runStateSqlite from "../../layers/store/run-state.ts"
import { runFolder } from "../../src/run/folder.ts"
import { RunState } from "../../src/stages/RunState.ts"

export const secret = "a-secret-access-key-0123456789"
export const credentials = { AWS_ACCESS_KEY_ID: "AKIAEXAMPLE0123456789", AWS_SECRET_ACCESS_KEY: secret }

/** The variables of a store at this address; nothing of the machine's own is asked. */
export const variables = (url: string): Readonly<Record<string, string>> => ({
  ...credentials, AWS_ENDPOINT_URL_S3: url, AWS_EC2_METADATA_DISABLED: "true", AWS_CONFIG_FILE: "/nonexistent", AWS_SHARED_CREDENTIALS_FILE: "/nonexistent"
})

/** `s3://runs/PREFIX` at this address. Sets the process's variables, which the SDK reads. */
export const storeAt = (url: string, prefix: string) => {
  Object.assign(process.env, variables(url))
  return s3.layer({ bucket: "runs", prefix })
}

export const sha256Of = (file: string): string => createHash("sha256").update(fs.readFileSync(file)).digest("hex")

/** Adds a checkpoint to a run, with a file of this many bytes that no other has. */
export const checkpointed = (folder: string, step: number, bytes = 100, pruned: ReadonlyArray<number> = []) =>
  Effect.gen(function*() {
    const at = path.join(folder, "checkpoints", `step-${step}`)
    fs.mkdirSync(at, { recursive: true })
    fs.writeFileSync(path.join(at, "adapter_model.safetensors"), Buffer.alloc(bytes, randomUUID()))
    fs.writeFileSync(path.join(at, "state.json"), "{}")
    yield* (yield* RunState).commit({ step, sha256: "0".repeat(64), seconds: 1 }, pruned)
    for (const old of pruned) fs.rmSync(path.join(folder, "checkpoints", `step-${old}`), { recursive: true })
    fs.appendFileSync(path.join(folder, "metrics.jsonl"), `{"step":${step}}\n`)
  }).pipe(Effect.provide(runStateSqlite.layer.pipe(Layer.provideMerge(RunDatabase.layer({ path: path.join(folder, "run.db") })))), Effect.scoped)

/** A run of one checkpoint. */
export const begunRun = Effect.fnUntraced(function*(folder: string, bytes = 100) {
  fs.mkdirSync(folder, { recursive: true })
  fs.writeFileSync(path.join(folder, "config.json"), "{\"max_steps\":9}")
  yield* checkpointed(folder, 1, bytes)
  return runFolder(folder)
})
