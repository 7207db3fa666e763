/** `vequinox learn-rubric` as people meet it: from votes to a file that judges as they did. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { assert, beforeAll, describe, it } from "vitest"
import * as votesSqlite from "../../layers/store/votes.ts"
import { Votes } from "../../src/studio/votes.ts"
import { killableIn } from "../support/command-line.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { storedRun } from "../support/stored-run.ts"

const work = scratchFolder("learn-rubric")
const vequinox = killableIn(work)
const write = (name: string, text: string) => fs.writeFileSync(path.join(work, name), text)

const colours = ["red", "green", "blue", "purple", "orange"]
const circle = (colour: string, radius: number) => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><circle cx="32" cy="32" r="${radius}" fill="${colour}"/></svg>`
const prompts = colours.map((colour) => `a ${colour} circle`)

beforeAll(() => {
  fs.mkdirSync(path.join(work, "judge"))
  colours.forEach((colour) => write(`judge/${colour}.svg`, circle(colour, 20)))
  write("judge/references.jsonl", colours.map((colour, n) => JSON.stringify({ prompt: prompts[n], image: `${colour}.svg` })).join("\n"))
  write("judge/terms.yaml", "terms:\n  - judge: clip\n    weight: 3\n  - judge: pixels\n    judge_references: references.jsonl\n")
  // People here want the circle of the reference's size, whatever its colour says to a CLIP.
  const rows = colours.flatMap((colour, n) =>
    [[19, 8], [6, 21], [20, 30], [31, 18], [18, 9]].map(([a, b], k) => {
      const other = colours[(n + k + 1) % colours.length]!
      return {
        prompt: prompts[n], a_svg: circle(k % 2 === 0 ? colour : other, a!), b_svg: circle(k % 2 === 0 ? other : colour, b!),
        by: "person", verdict: Math.abs(a! - 20) < Math.abs(b! - 20) ? "A" : "B"
      }
    }))
  write("votes.jsonl", rows.map((row) => JSON.stringify(row)).join("\n") + "\n")
})

describe("vequinox learn-rubric", () => {
  it("learns from rows of votes, tells what it learned, and writes terms that a judge takes", async () => {
    const learned = await vequinox(["learn-rubric", "--pairs", "votes.jsonl", "--judge-terms", "judge/terms.yaml", "--out", "learned.yaml"])
    assert.strictEqual(learned.code, 0, learned.stderr)
    assert.match(learned.stdout, /^term +weight before +after\nclip +0\.75 +0\.\d\d ± 0\.\d\d\npixels +0\.25 +0\.\d\d ± 0\.\d\d\nAgreement with 25 votes, each held out: /)
    const file = fs.readFileSync(path.join(work, "learned.yaml"), "utf8")
    assert.match(file, /^# Learned from 25 votes by vequinox learn-rubric/)
    assert.include(file, "judge_references: judge/references.jsonl") // the file lies elsewhere
    write("a.svg", circle("red", 20))
    write("b.svg", circle("red", 6))
    const judged = await vequinox(["judge", "--prompt", "a red circle", "a.svg", "b.svg", "--judge", "blend", "--judge-terms", "learned.yaml", "--json"])
    assert.strictEqual(JSON.parse(judged.stdout).verdict, "A", judged.stderr)
    const again = await vequinox(["learn-rubric", "--pairs", "votes.jsonl", "--judge-terms", "judge/terms.yaml", "--out", "learned.yaml"])
    assert.strictEqual(again.code, 1)
    assert.match(again.stderr, /learned\.yaml/)
  }, 180_000)

  it("refuses in one sentence what teaches nothing", async () => {
    await Effect.runPromise(storedRun(path.join(work, "run"), 2))
    const { promptId, a, b, step } = (await Effect.runPromise(Votes.use(({ next }) => next(path.join(work, "run"))).pipe(Effect.provide(votesSqlite.layer))))!
    await Effect.runPromise(
      Votes.use(({ cast }) => cast(path.join(work, "run"), { step, promptId, left: a, right: b, choice: "left", blind: true })).pipe(Effect.provide(votesSqlite.layer))
    )
    write("one.yaml", "terms:\n  - judge: clip\n")
    write("unsaid.jsonl", JSON.stringify({ prompt: "a", a_svg: circle("red", 9), b_svg: circle("red", 8) }) + "\n")
    const cases: ReadonlyArray<readonly [ReadonlyArray<string>, RegExp]> = [
      [["--run", "run", "--judge-terms", "judge/terms.yaml"], /It takes at least 20 votes on two prompts or more, and here are 1:/],
      [["--pairs", "unsaid.jsonl", "--judge-terms", "judge/terms.yaml"], /row 1, says nothing of who won/],
      [["--run", "run", "--judge-terms", "one.yaml"], /has one term/]
    ]
    for (const [args, said] of cases) {
      const { code, stderr } = await vequinox(["learn-rubric", ...args, "--out", "refused.yaml"])
      assert.strictEqual(code, 1, stderr)
      assert.match(stderr, said)
      assert.lengthOf(stderr.trim().split("\n"), 1, stderr)
    }
    assert.isFalse(fs.existsSync(path.join(work, "refused.yaml")))
  }, 180_000)
})
