/** `--storage-path` and `--resume` of an address: what is refused before anything is made, in one line without a key. */
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { bareRun, commandLine, refusedInOneLine } from "../support/command-line.ts"
import { during } from "../support/loopback.ts"
import { type S3Fault, s3Server } from "../support/s3-server.ts"
import { secret, variables } from "../support/storage.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)

const train = (env: Readonly<Record<string, string>>, address: string) =>
  vequinox(env, "train", ...bareRun, "--steps", "1", "--out", "run", "--storage-path", address)

describe("before anything is made", () => {
  const refused: ReadonlyArray<readonly [string, string, S3Fault | undefined, RegExp]> = [
    ["another bucket", "s3://elsewhere/a", undefined, /has no bucket elsewhere: make it/],
    ["keys that may not", "s3://runs/a", "AccessDenied", /These credentials may not read s3:\/\/runs\/a\/manifest\.json .*they need s3:GetObject/],
    ["a prefix that is not empty", "s3://runs/a", undefined, /s3:\/\/runs\/a holds objects that vequinox did not make/],
    ["what is no address", "/mnt/runs", undefined, /--storage-path is not an address of the form s3:\/\/bucket\/prefix/]
  ]
  for (const [what, address, fault, expected] of refused) {
    it(what, () =>
      during(s3Server("runs", () => fault), async ({ objects, requests, url }) => {
        objects.set("a/theirs", { bytes: Buffer.from("theirs"), etag: "x", metadata: {} })
        await refusedInOneLine(train(variables(url), address), expected, secret)
        assert.isFalse(fs.existsSync(path.join(work, "run")))
        assert.isFalse(requests.some(({ method }) => method !== "GET"))
      }))
  }

  it("an address without a run", () =>
    during(s3Server("runs"), async ({ url }) => {
      await refusedInOneLine(vequinox(variables(url), "train", "--resume", "s3://runs/a"), /s3:\/\/runs\/a holds no copy of a run: check the address/, secret)
      assert.isFalse(fs.existsSync(path.join(work, "runs")))
    }))
})
