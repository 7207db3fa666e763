/** `vequinox refine` as people meet it: real processes, the embedded policy, critic, judge and scorers. */
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, it } from "vitest"
import { startClaudeServer } from "../support/claude-server.ts"
import { commandLine } from "../support/command-line.ts"
import { during } from "../support/loopback.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)
const file = (name: string, text: string) => {
  fs.writeFileSync(path.join(work, name), text)
  return name
}
const refine = (...args: ReadonlyArray<string>) => vequinox({}, "refine", ...args, "--threads", "1")
const filesIn = (out: string): ReadonlyArray<string> =>
  fs.readdirSync(path.join(work, out), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    .map((entry) => path.relative(path.join(work, out), path.join(entry.parentPath, entry.name))).sort()
const read = (out: string, name: string): string => fs.readFileSync(path.join(work, out, name), "utf8")
const rows = (text: string) => text.split("\n").slice(0, -1).map((line) => JSON.parse(line))

it("draws, criticises and corrects the prompts of a CSV into a folder of its own, and goes on with what is finished at once", async () => {
  const prompts = file("prompts.csv", "id,desc\nstars-1,three green stars\ncircle.2,\"a red circle above a blue square\"\n")
  const args = ["--prompts", prompts, "--rounds", "1", "--threshold", "11", "--preferences", "--out", "out"]
  const first = await refine(...args)
  assert.strictEqual(first.code, 0, first.stderr)
  assert.match(first.stdout, /^ +right +minus draft, 95 % .*\ndraft .*\nrefined .*\nlast drawn .*\nbest of N .*\n\n2 prompts, 2 corrections, \d kept, 0 failed\. Look: out\/final_pngs\n$/)
  const ids = ["circle.2", "stars-1"]
  const drawn = (...of: ReadonlyArray<string>) => ids.flatMap((id) => of.map((ending) => `${id}.${ending}`))
  assert.deepStrictEqual(filesIn("out/final_svgs"), drawn("json", "svg"))
  assert.deepStrictEqual(filesIn("out/final_pngs"), drawn("png"))
  assert.deepStrictEqual(filesIn("out/intermediate_files"), [
    ...drawn("svg").map((name) => `00_initial_drafts/${name}`),
    ...drawn("png").map((name) => `01_iteration/critique_pngs/${name}`),
    ...drawn("svg").map((name) => `01_iteration/refined_svgs/${name}`)
  ])
  assert.deepStrictEqual(fs.readdirSync(path.join(work, "out")).sort(), ["final_pngs", "final_svgs", "intermediate_files", "preferences.jsonl", "records.jsonl", "refinement.json"])

  const records = rows(read("out", "records.jsonl"))
  assert.deepStrictEqual(records.map(({ id, prompt }) => [id, prompt.text]), [["stars-1", "three green stars"], ["circle.2", "a red circle above a blue square"]])
  for (const { best, critique, draft, id, rounds } of records) {
    assert.strictEqual(read("out", `final_svgs/${id}.svg`), `${best === 0 ? draft.svg : rounds[0].drawing.svg}\n`)
    assert.deepStrictEqual(JSON.parse(read("out", `final_svgs/${id}.json`)), critique)
    assert.strictEqual(fs.readFileSync(path.join(work, "out/final_pngs", `${id}.png`)).readUInt32BE(16), 200)
  }
  const decided = records.filter(({ draft, rounds: [{ drawing, verdicts }] }) => ["A", "B"].includes(verdicts[0].outcome) && drawing.svg !== draft.svg)
  const pairs = rows(read("out", "preferences.jsonl"))
  assert.deepStrictEqual(pairs.map(({ prompt }) => prompt), decided.map(({ prompt }) => prompt.text))
  for (const pair of pairs) assert.deepStrictEqual(Object.keys(pair), ["prompt", "chosen", "rejected"])
  const { finished, prompts: count, results } = JSON.parse(read("out", "refinement.json"))
  assert.deepStrictEqual([finished, count, results.map(({ name }: { readonly name: string }) => name)], [true, 2, ["draft", "refined", "last drawn", "best of N"]])

  const before = filesIn("out").map((name) => [name, fs.readFileSync(path.join(work, "out", name), "base64")])
  const { mtimeMs } = fs.statSync(path.join(work, "out/records.jsonl"))
  const second = await refine(...args)
  assert.strictEqual(second.code, 0, second.stderr)
  assert.strictEqual(second.stdout, first.stdout)
  assert.match(second.stderr, /2 of 2 prompts are already refined\./)
  assert.deepStrictEqual(filesIn("out").map((name) => [name, fs.readFileSync(path.join(work, "out", name), "base64")]), before)
  assert.strictEqual(fs.statSync(path.join(work, "out/records.jsonl")).mtimeMs, mtimeMs)

  const other = await refine(...args, "--seed", "9")
  assert.strictEqual(other.code, 1)
  assert.strictEqual(other.stderr.trim(), "vequinox: out has a refinement with other prompts, models or settings: choose another --out, or ask as before to go on.")
}, 240_000)

it("no id leads out of the folder: names are then made of the texts", async () => {
  const prompts = file("ids.csv", "id,desc\n../x,a red star\n/tmp/y,a blue heart\n")
  const before = fs.readdirSync(path.dirname(work)).filter((name) => name.startsWith("x"))
  const { code, stderr } = await refine("--prompts", prompts, "--rounds", "0", "--no-best-of-n", "--out", "ids")
  assert.strictEqual(code, 0, stderr)
  assert.deepStrictEqual(filesIn("ids/final_svgs"), ["a-blue-heart.json", "a-blue-heart.svg", "a-red-star.json", "a-red-star.svg"])
  assert.deepStrictEqual(fs.readdirSync(path.dirname(work)).filter((name) => name.startsWith("x")), before)
  assert.deepStrictEqual(fs.readdirSync(work).filter((name) => name.startsWith("x") || name.startsWith("y")), [])
}, 120_000)

it("a paid critic is billed, and its answers are read again for another folder", () =>
  during(startClaudeServer(), async (server) => {
    const env = { ANTHROPIC_API_KEY: "sk-ant-secret-of-the-test", ANTHROPIC_BASE_URL: server.url }
    const ask = (out: string, ...more: ReadonlyArray<string>) =>
      vequinox(env, "refine", "a red star", "--critic", "claude", "--critic-model", "claude-haiku-4-5", "--no-best-of-n", "--threads", "1", "--out", out, ...more)
    const { code, stderr, stdout } = await ask("paid", "--rounds", "0", "--json")
    assert.strictEqual(code, 0, stderr)
    assert.strictEqual(server.billed().answers, 1)
    assert.closeTo(JSON.parse(stdout).costUsd, server.billed().usd, 1e-9)
    assert.strictEqual(JSON.parse(stdout).critic, "claude-haiku-4-5")
    const again = await ask("again", "--rounds", "0", "--json")
    assert.strictEqual(again.code, 0, again.stderr)
    assert.deepStrictEqual([JSON.parse(again.stdout).costUsd, server.billed().answers], [0, 1])
    assert.strictEqual(read("again", "final_svgs/a-red-star.json"), read("paid", "final_svgs/a-red-star.json"))
    // A person is told first what it may cost: the critic of the draft and of each correction, and a judge that is free.
    const told = await ask("told", "--rounds", "2")
    assert.match(told.stderr, /^claude-haiku-4-5 may be asked 3 times what is wrong with up to 3 drawings: about \$0\.01, of which at most \$5 will be spent \(--budget-usd\)\.\n/)
    for (const name of filesIn("paid")) assert.notInclude(read("paid", name), env.ANTHROPIC_API_KEY, name)
  }), 120_000)

it("says in one sentence what cannot be used, before anything is drawn", async () => {
  fs.mkdirSync(path.join(work, "taken"))
  file("taken/mine.txt", "mine")
  const bad: ReadonlyArray<readonly [ReadonlyArray<string>, RegExp]> = [
    [["--out", "new"], /^vequinox: There is nothing to draw: give a prompt, or a file with --prompts\.$/],
    [["--prompts", file("no.csv", "id,name\n1,a pelican\n"), "--out", "new"], /^vequinox: no\.csv needs a column named "prompt" or "desc"\.$/],
    [["--prompts", file("empty.csv", "id,desc\n"), "--out", "new"], /^vequinox: empty\.csv has no prompts: write one a line\.$/],
    [["a cat", "--critic", "claude", "--out", "new"], /^vequinox: Claude needs a key: set ANTHROPIC_API_KEY in the environment\.$/],
    [["a cat", "--critic", "openai", "--out", "new"], /^vequinox: The openai critic has no default model: name the server's with --critic-model\.$/],
    [["a cat", "--critic", "nobody", "--out", "new"], /^vequinox: --critic is nobody: Expected "clip" \| "policy" \| "claude" \| "openai"\.$/],
    [["a cat", "--critic-model", "nowhere", "--out", "new"], /^vequinox: .*nowhere/],
    [["a cat", "--rounds", "101", "--out", "new"], /^vequinox: --rounds/],
    [["a cat", "--out", "taken"], /^vequinox: taken exists and is not an empty folder: choose another with --out\.$/]
  ]
  for (const [args, sentence] of bad) {
    const { code, stderr, stdout } = await refine(...args)
    assert.strictEqual(code, 1, stdout)
    assert.match(stderr.trim(), sentence)
    assert.lengthOf(stderr.trim().split("\n"), 1, stderr)
  }
  assert.isFalse(fs.existsSync(path.join(work, "new")))
  assert.deepStrictEqual(fs.readdirSync(path.join(work, "taken")), ["mine.txt"])
}, 240_000)
