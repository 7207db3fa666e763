/** Runs that are trained on a Tinker server, as processes: killed and resumed they end the same; the key is told to nobody. */
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { bareRun, commandLine, killableIn, refusedInOneLine } from "../support/command-line.ts"
import { during } from "../support/loopback.ts"
import { tinkerServer } from "../support/tinker-server.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)

const key = "tml-1234567890abcdef"
const onServer = (url: string, ...more: ReadonlyArray<string>) =>
  ["train", "--optimizer", "tinker", "--tinker-url", url, "--prompts-per-step", "2", "--k", "3", "--lora-r", "4", "--json", ...bareRun, ...more]
const adapterOf = (run: string) => fs.readFileSync(path.join(work, run, "adapter/adapter_model.safetensors"))
const metricsOf = (run: string) =>
  fs.readFileSync(path.join(work, run, "metrics.jsonl"), "utf8").trim().split("\n").map((line) => {
    const { loss, "logps/chosen": chosen, policyVersion, step } = JSON.parse(line)
    return { step, policyVersion, loss, chosen }
  })

describe("a run on a Tinker server", () => {
  it("that is killed and resumed has the adapter of an unbroken one, bit for bit, drawn there too", () =>
    during(tinkerServer({ capacity: 15 }), async ({ asked, forget, url }) => {
      const args = (out: string) => onServer(url, "--sampler", "tinker", "--steps", "6", "--save-steps", "2", "--out", out)
      const straight = await vequinox({}, ...args("straight"))
      assert.strictEqual(straight.code, 0, straight.stderr)
      const killed = await killableIn(work)(args("broken"), { said: "\"policyVersion\"", times: 5 })
      assert.strictEqual(killed.signal, "SIGKILL", killed.stderr)
      forget() // the server is started again
      const resumed = await vequinox({}, "train", "--resume", "broken")
      assert.strictEqual(resumed.code, 0, resumed.stderr)
      assert.deepStrictEqual(metricsOf("broken"), metricsOf("straight"))
      assert.isTrue(adapterOf("broken").equals(adapterOf("straight")))
      assert.isTrue(asked.some(({ body, path }) => path === "load_weights" && body.optimizer === true && /^tinker:\/\/\w+\/weights\/vequinox-broken-step-4$/.test(body.path)))
    }), 300_000)

  it("does not tell its key, and says in one line what is wrong", () =>
    during(tinkerServer({ key }), async ({ url }) => {
      const env = { TINKER_API_KEY: key, TINKER_BASE_URL: url }
      const { code, stderr, stdout } = await vequinox(env, ...onServer(url, "--steps", "2", "--out", "keyed"))
      assert.strictEqual(code, 0, stderr)
      assert.notInclude(stdout + stderr, key)
      for (const name of fs.readdirSync(path.join(work, "keyed"), { recursive: true, encoding: "utf8" })) {
        const file = path.join(work, "keyed", name)
        if (fs.statSync(file).isFile()) assert.isFalse(fs.readFileSync(file).includes(key), name)
      }
      const refused = (expected: RegExp, env: Readonly<Record<string, string>>, ...more: ReadonlyArray<string>) =>
        refusedInOneLine(vequinox(env, ...onServer(url, "--out", "refused", ...more)), expected, key)
      await refused(/does not accept the key .*check TINKER_API_KEY/, { TINKER_API_KEY: `${key}x` })
      await refused(/clips no gradients, and max_grad_norm is 1: give 0/, env, "--max-grad-norm", "1")
      await refused(/draws from the policy itself/, env, "--sampler", "tinker", "--temperature", "0.7")
      await refused(/trains a fresh adapter of its own: leave --adapter out/, env, "--adapter", "some")
      await refused(/leave that out/, env, "--use-weighting")
      assert.isFalse(fs.existsSync(path.join(work, "refused")))
    }), 300_000)
})
