/**
 * Runs that are kept at a real S3 server, killed, and gone on with elsewhere. S3_PYTHON names a Python that has moto's
 * server; S3_TEST_ENDPOINT another server instead, with a bucket `runs` and AWS's variables for it.
 */
import { spawn, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import type { ListPartsCommandInput, S3Client } from "@aws-sdk/client-s3"
import { Effect } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { downloadRun } from "../../layers/storage/download-run.ts"
import * as s3 from "../../layers/storage/s3.ts"
import { bareRun, commandLine } from "../support/command-line.ts"
import { begunRun, secret, sha256Of, variables } from "../support/storage.ts"

const python = process.env["S3_PYTHON"] ?? "python3"
const given = process.env["S3_TEST_ENDPOINT"]
const hasMoto = given !== undefined || spawnSync(python, ["-c", "import moto.server"], { stdio: "ignore" }).status === 0
console.error(given !== undefined ? `S3 at ${given}` : hasMoto
  ? `moto ${spawnSync(python, ["-c", "import moto; print(moto.__version__)"], { encoding: "utf8" }).stdout.trim()}`
  : `${python} has no moto: no run is kept at an S3 server. Install it with: pip install "moto[server]==5.2.1"`)

const freePort = () =>
  new Promise<number>((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as net.AddressInfo
      server.close(() => resolve(port))
    })
  })

describe.skipIf(!hasMoto)("a run that is kept at an S3 server", () => {
  const { remove, work } = commandLine()
  const main = path.resolve(import.meta.dirname, "../../src/main.ts")
  /** Of this test's own in a server that others may use. */
  const below = `test-${randomBytes(4).toString("hex")}`
  let server: ReturnType<typeof spawn> | undefined
  let log = ""
  let env: Readonly<Record<string, string>>
  let client: S3Client
  let sdk: typeof import("@aws-sdk/client-s3")

  beforeAll(async () => {
    sdk = await import("@aws-sdk/client-s3")
    const own = () => Object.fromEntries(Object.entries(process.env).filter((entry): entry is [string, string] => entry[0].startsWith("AWS_") && entry[1] !== undefined))
    if (given !== undefined) env = { ...own(), AWS_ENDPOINT_URL_S3: given }
    else {
      const port = await freePort()
      server = spawn(python, ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)], { stdio: ["ignore", "ignore", "pipe"] })
      server.stderr!.on("data", (text) => (log += text))
      env = variables(`http://127.0.0.1:${port}`)
      for (let n = 0; !log.includes("Running on") && n < 600; n++) await new Promise((resolve) => setTimeout(resolve, 50))
    }
    Object.assign(process.env, env)
    client = new sdk.S3Client({ region: env["AWS_REGION"] ?? "us-east-1", forcePathStyle: true })
    if (given === undefined) await client.send(new sdk.CreateBucketCommand({ Bucket: "runs" }))
  })
  afterAll(() => {
    server?.kill()
    remove()
  })

  const node = (args: ReadonlyArray<string>, until?: (all: string) => boolean | Promise<boolean>) =>
    new Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null; readonly all: string }>((resolve) => {
      const child = spawn(process.execPath, args, { cwd: work, env: { PATH: process.env["PATH"], ...env } })
      let all = ""
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (all += text))
      let over = false
      const look = async (): Promise<void> => {
        if (over) return
        if (await until!(all)) child.kill("SIGKILL")
        else setTimeout(look, 20)
      }
      if (until !== undefined) void look()
      child.on("close", (code, signal) => {
        over = true
        resolve({ code, signal, all })
      })
    })
  const uploads = async (prefix: string) => (await client.send(new sdk.ListMultipartUploadsCommand({ Bucket: "runs", Prefix: prefix }))).Uploads ?? []
  const partsOf = async (upload: ListPartsCommandInput) =>
    ((await client.send(new sdk.ListPartsCommand(upload)).catch(() => undefined))?.Parts ?? []).map(({ PartNumber }) => PartNumber!)
  const download = (prefix: string, out: string) => Effect.runPromise(downloadRun(out, "none").pipe(Effect.provide(s3.layer({ bucket: "runs", prefix }))))

  it("that is killed in the middle of an upload in parts goes on with it, and comes back with every hash equal", async () => {
    const [folder, prefix] = [path.join(work, "large"), `${below}/large`]
    const run = await Effect.runPromise(begunRun(folder))
    const large = run.file("checkpoints/step-1/adapter_model.safetensors")
    fs.writeFileSync(large, randomBytes(160 * 2 ** 20))
    const script = path.resolve(import.meta.dirname, "copy-run.ts")
    let before: ReadonlyArray<number> = []
    const { signal } = await node([script, folder, prefix], async () => {
      const [upload] = await uploads(prefix)
      before = upload === undefined ? [] : await partsOf({ Bucket: "runs", Key: upload.Key, UploadId: upload.UploadId })
      return before.length >= 3
    })
    assert.strictEqual(signal, "SIGKILL")
    assert.isBelow(before.length, 20)
    assert.strictEqual((await uploads(prefix)).length, 1)
    const seen = log.length
    const { all, code } = await node([script, folder, prefix])
    assert.strictEqual(code, 0, all)
    assert.deepStrictEqual(await uploads(prefix), [])
    if (given === undefined) {
      const again = [...log.slice(seen).matchAll(/"PUT \S*[?&]partNumber=(\d+)/g)].map(([, number]) => Number(number))
      assert.isAbove(again.length, 0)
      assert.deepStrictEqual(again.filter((number) => before.includes(number)), [])
    }
    const out = path.join(work, "large-again")
    await download(prefix, out)
    assert.strictEqual(sha256Of(path.join(out, "checkpoints/step-1/adapter_model.safetensors")), sha256Of(large))
  })

  it("on a machine that is lost goes on on another, and its adapter is that of an unbroken run, bit for bit", async () => {
    const brief = [...bareRun, "--steps", "6", "--save-steps", "2", "--prompts-per-step", "1", "--k", "2", "--json"]
    const adapter = (run: string) => sha256Of(path.join(work, run, "adapter/adapter_model.safetensors"))
    const address = `s3://runs/${below}/icons`
    const unbroken = await node([main, "train", ...brief, "--out", "unbroken"])
    assert.strictEqual(unbroken.code, 0, unbroken.all)

    const copied = () => client.send(new sdk.GetObjectCommand({ Bucket: "runs", Key: `${below}/icons/manifest.json` }))
      .then(async ({ Body }) => JSON.parse(await Body!.transformToString()).step as number, () => 0)
    const lost = await node([main, "train", ...brief, "--out", "a/icons", "--storage-path", address], async () => (await copied()) >= 2)
    assert.strictEqual(lost.signal, "SIGKILL", lost.all)
    const step = await copied()
    assert.isBelow(step, 6)
    fs.rmSync(path.join(work, "a"), { recursive: true })

    const again = await node([main, "train", "--resume", address, "--out", "b/icons"])
    assert.strictEqual(again.code, 0, again.all)
    assert.include(again.all, `from step ${step} to 6 steps`)
    assert.strictEqual(adapter("b/icons"), adapter("unbroken"))

    const refused = await node([main, "train", ...brief, "--out", "c", "--storage-path", address])
    assert.strictEqual(refused.code, 1)
    assert.include(refused.all, `${address} holds another run`)
    assert.isFalse(fs.existsSync(path.join(work, "c")))

    const whole = await node([main, "train", "--resume", address]) // into runs/icons
    assert.strictEqual(whole.code, 0, whole.all)
    assert.include(whole.all, "is finished: 6 steps")
    assert.strictEqual(adapter("runs/icons"), adapter("unbroken"))
    const relative = (folder: string) => fs.readdirSync(path.join(work, folder), { recursive: true, encoding: "utf8" }).filter((name) => !name.startsWith("run.")).sort()
    assert.deepStrictEqual(relative("runs/icons"), relative("b/icons"))

    for (const { all } of [lost, again, refused, whole]) assert.notInclude(all, env["AWS_SECRET_ACCESS_KEY"] ?? secret)
    for (const name of fs.readdirSync(work, { recursive: true, encoding: "utf8" })) {
      const file = path.join(work, name)
      if (!/^(b|runs)\//.test(name) || !fs.statSync(file).isFile()) continue
      for (const text of [env["AWS_SECRET_ACCESS_KEY"] ?? secret, env["AWS_ACCESS_KEY_ID"]!]) assert.isFalse(fs.readFileSync(file).includes(text), name)
    }
  })
})
