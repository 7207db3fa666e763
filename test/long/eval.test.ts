/** `vequinox eval` as a person calls it: real processes, the embedded policy, judge and scorers. */
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, it } from "vitest"
import { commandLine } from "../support/command-line.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)
const file = (name: string, text: string) => {
  fs.writeFileSync(path.join(work, name), text)
  return name
}
const evaluate = (...args: ReadonlyArray<string>) => vequinox({}, "eval", ...args, "--threads", "1")
const cells = () => Object.fromEntries(fs.readdirSync(path.join(work, "out/drawings")).map((name) => {
  const { mtimeMs } = fs.statSync(path.join(work, "out/drawings", name))
  return [name, { mtimeMs, text: fs.readFileSync(path.join(work, "out/drawings", name), "utf8") }]
}))

it("compares policies on prompts of a file, draws nothing twice, and makes again what is missing", async () => {
  const rows = ["desc,category", "a pelican,birds", "two red stars,numbers", "a blue circle above a green square,places", "a yellow cat,animals", "a boat in a bottle,free"]
  const prompts = file("prompts.csv", rows.join("\n"))
  const choose = file("choose.txt", "a red circle\na green tree\n")
  const same = path.resolve(import.meta.dirname, "../../models/policy")
  const args = [`again=${same}`, "--prompts", prompts, "--choose-on", choose, "--temperatures", "0,1", "--k", "2", "--out", "out"]
  const first = await evaluate(...args)
  assert.strictEqual(first.code, 0, first.stderr)
  assert.match(first.stdout, /^policy +T +right +minus base, 95 % +at 1 +renders +best of 2 +tokens\nbase .*\nagain .*\+0\.0 \[\+0\.0, \+0\.0\]/)
  const { chosenOn, finished, judge, policies, prompts: count, yardstick } = JSON.parse(fs.readFileSync(path.join(work, "out/evaluation.json"), "utf8"))
  assert.deepStrictEqual([finished, count, chosenOn, judge, yardstick.measure], [true, 5, 2, "clip", "right"])
  const [base, again] = policies
  assert.deepStrictEqual(base.best.categories.map(({ category }: { readonly category: string }) => category), ["birds", "numbers", "places", "animals", "free"])
  assert.deepStrictEqual({ ...again, name: "base", against: null, seconds: base.seconds }, base) // the same weights draw the same
  assert.strictEqual(base.several.k, 2)
  assert.include(fs.readFileSync(path.join(work, "out/report.html"), "utf8"), "a boat in a bottle")

  const before = cells()
  const second = await evaluate(...args)
  assert.strictEqual(second.stdout, first.stdout)
  assert.deepStrictEqual(cells(), before)

  const lost = Object.keys(before).find((name) => name.startsWith("base-asked-1"))!
  fs.rmSync(path.join(work, "out/drawings", lost))
  assert.strictEqual((await evaluate(...args)).stdout, first.stdout)
  const after = cells()
  const withoutTime = (text: string) => ({ ...JSON.parse(text), seconds: 0 })
  assert.deepStrictEqual(withoutTime(after[lost]!.text), withoutTime(before[lost]!.text))
  assert.deepStrictEqual({ ...after, [lost]: 0 }, { ...before, [lost]: 0 })
}, 240_000)

it("says in one sentence what cannot be used, before anything is drawn", async () => {
  fs.mkdirSync(path.join(work, "taken"))
  file("taken/mine.txt", "mine")
  const bad: ReadonlyArray<readonly [ReadonlyArray<string>, RegExp]> = [
    [["--out", "taken"], /^vequinox: taken exists and is not an empty folder: choose another with --out\.$/],
    [["trained", "--out", "new"], /^vequinox: "trained" names no policy: write NAME=FOLDER/],
    [["base=models", "--out", "new"], /^vequinox: Two policies are called base, which is the model's own name here: give each its own\.$/],
    [["x=nowhere", "--out", "new"], /^vequinox: nowhere of x is no adapter \(adapter_config\.json\), no run with one/],
    [["--prompts", file("no.csv", "name\na pelican\n"), "--out", "new"], /^vequinox: no\.csv needs a column named "prompt" or "desc"\.$/],
    [["--prompts", file("no.jsonl", "{\"prompt\": \"a pelican\"}\n{\"text\": \"a cat\"}\n"), "--out", "new"], /^vequinox: no\.jsonl, line 2: there is no "prompt" in it\.$/],
    [["--prompts", file("few.txt", "a pelican\n"), "--out", "new"], /^vequinox: few\.txt has too few prompts to choose a temperature on some and measure on others/],
    [["--temperatures", "0,hot", "--out", "new"], /^vequinox: --temperatures is 0,hot: give numbers from 0 to 100/]
  ]
  for (const [args, sentence] of bad) {
    const { code, stderr } = await evaluate(...args)
    assert.strictEqual(code, 1, args.join(" "))
    assert.match(stderr.trim(), sentence)
  }
  assert.isFalse(fs.existsSync(path.join(work, "new")))
  assert.deepStrictEqual(fs.readdirSync(path.join(work, "taken")), ["mine.txt"])
}, 120_000)
