/** `vequinox eval --requirements` as a person calls it: real processes against a server on a real socket. */
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, it } from "vitest"
import { startClaudeServer } from "../support/claude-server.ts"
import { commandLine } from "../support/command-line.ts"
import { during } from "../support/loopback.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)
const file = (name: string, rows: unknown) => {
  fs.writeFileSync(path.join(work, name), typeof rows === "string" ? rows : JSON.stringify(rows))
  return name
}
const brief = ["--temperatures", "0", "--k", "1", "--threads", "1", "--max-new-tokens", "60", "--requirements"]

// A rider takes more than 60 tokens, so it does not render.
const suite = [
  { prompt: "one red circle", requirements: ["yes it is red", "no it is no square"] },
  { prompt: "a pelican riding a bicycle", requirements: ["yes it has a beak"] },
  { prompt: "three green stars", requirements: ["yes they are green", "yes there are three", "no they touch"] }
]

it("gives the mean of met / n of a suite, and the same command asks nothing again", () =>
  during(
    startClaudeServer({
      reshape: (_answer, text) => ({
        requirements: [...text.matchAll(/^(\d+)\. (\w+)/gm)].map(([, number, word]) => ({ number: Number(number), evidence: `says ${word}`, met: word === "yes" }))
      })
    }),
    async (server) => {
      const env = { ANTHROPIC_API_KEY: "sk-ant-secret-of-the-test", ANTHROPIC_BASE_URL: server.url }
      const same = path.resolve(import.meta.dirname, "../../models/policy")
      const args = ["eval", `again=${same}`, "--prompts", file("questions.json", suite), ...brief, "--judge", "claude", "--out", "out"]
      const first = await vequinox(env, ...args)
      assert.strictEqual(first.code, 0, first.stderr)
      const forecasts = first.stderr.split("\n").filter((line) => line.startsWith("claude-haiku") || line.includes("are shown"))
      assert.match(forecasts[0]!, /^claude-haiku-4-5 may be asked 6 times which requirements a drawing meets: about \$0\.01, of which at most \$5 will be spent \(--budget-usd\)\.$/)
      assert.match(forecasts[1]!, /^2 drawings are shown to claude-haiku-4-5, each once: about \$0\.00/)
      const mean = (1 / 2 + 0 + 2 / 3) / 3
      const { judge, policies, requirements } = JSON.parse(fs.readFileSync(path.join(work, "out/evaluation.json"), "utf8"))
      assert.strictEqual(judge, null) // a paid judge chooses no best of K
      for (const of of policies) {
        assert.closeTo(of.requirements.all, mean, 1e-12)
        assert.closeTo(of.requirements.rendered, (1 / 2 + 2 / 3) / 2, 1e-12)
        assert.deepInclude(of.requirements, { prompts: 3, renders: 2, unanswered: 0 })
      }
      assert.deepStrictEqual(policies[1].requirements.against.all, { value: 0, lower: 0, upper: 0 })
      assert.deepStrictEqual(requirements.prompts.map(({ drawings }: { readonly drawings: ReadonlyArray<{ readonly met?: unknown }> }) => drawings[1]!.met), [[true, false], undefined, [true, true, false]])
      assert.strictEqual(requirements.prompts[1].drawings[0].outcome, "invalid")
      assert.match(first.stdout, /\npolicy +requirements met +minus base, 95 % +of what renders +minus base, 95 %\nbase +38\.9 % +58\.3 %\nagain +38\.9 % +\+0\.0 \[\+0\.0, \+0\.0\]/)
      const page = fs.readFileSync(path.join(work, "out/report.html"), "utf8")
      assert.include(page, "<li>no they touch <small>says no</small></li>")
      assert.strictEqual(server.requests(), 2) // both policies drew the same
      assert.closeTo(requirements.costUsd, server.billed().usd, 1e-9)

      const second = await vequinox(env, ...args)
      assert.strictEqual(second.code, 0, second.stderr)
      assert.strictEqual(second.stdout, first.stdout)
      assert.match(second.stderr, /^0 drawings are shown to .* 2 were answered before\.$/m)
      assert.strictEqual(server.requests(), 2)
    }
  ), 240_000)

it("says in one sentence what is missing, before anything is drawn", async () => {
  const bad: ReadonlyArray<readonly [name: string, RegExp]> = [
    [file("whole.json", suite), /^vequinox: Claude needs a key: set ANTHROPIC_API_KEY in the environment\.$/],
    [file("bare.txt", "a pelican\n"), /^vequinox: --requirements asks what a drawing must show, and bare\.txt says nothing of it for "a pelican": give each prompt a list/],
    ["embedded", /^vequinox: --requirements asks what a drawing must show, and the embedded prompts say nothing of it for "/],
    [file("row.json", [suite[0], { requirements: ["It has ears"] }]), /^vequinox: row\.json, entry 2: there is no "prompt" in it\.$/],
    [file("empty.json", [suite[0], { prompt: " ", requirements: ["It has ears"] }]), /^vequinox: empty\.json, entry 2: its prompt is empty\.$/]
  ]
  for (const [name, sentence] of bad) {
    const { code, stderr } = await vequinox({}, "eval", "--prompts", name, ...brief, "--out", "new")
    assert.strictEqual(code, 1, name)
    assert.match(stderr.trim(), sentence)
  }
  assert.isFalse(fs.existsSync(path.join(work, "new")))
}, 120_000)
