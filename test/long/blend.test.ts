/** `--judge blend`: its file of terms, and a run that learns from it. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { embedded } from "../../src/system/installed.ts"
import { bareRun, killableIn } from "../support/command-line.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("blend")
const vequinox = killableIn(work)

const file = (name: string, text: string) => {
  const at = path.join(work, name)
  fs.writeFileSync(at, text)
  return at
}
const tiny = ["--steps", "1", "--prompts-per-step", "2", "--k", "3", "--max-new-tokens", "100", ...bareRun]

describe("judge blend", () => {
  it("adds up two CLIPs as a reward, and tells each term by itself", async () => {
    fs.cpSync(embedded("clip"), path.join(work, "own-clip"), { recursive: true })
    const terms = file("terms.yaml", "tie_margin: 0.01\nterms:\n  - judge: clip\n    weight: 2\n    range: [0, 30]\n  - name: other\n    judge: clip\n    judge_model: own-clip\n    range: [30, 0]\n    least: -100\n")
    const run = path.join(work, "run")
    const { code, stderr } = await vequinox(["train", "--judge", "blend", "--judge-terms", terms, "--loss-type", "dapo", "--reward", "score", ...tiny, "--out", run])
    assert.strictEqual(code, 0, stderr)
    const [metrics] = fs.readFileSync(path.join(run, "metrics.jsonl"), "utf8").trim().split("\n").map((line): Record<string, number> => JSON.parse(line))
    // The two are one model: what the second says for a drawing it says against.
    assert.strictEqual(metrics!["judge/terms/clip"], metrics!["judge/terms/other"])
    assert.isAbove(metrics!["reward"]!, 0)
    assert.isBelow(metrics!["reward"]!, 1)
    const config = JSON.parse(fs.readFileSync(path.join(run, "config.json"), "utf8"))
    assert.match(config.judge_identity, /^blend-2 tieMargin=0\.01 \[0\.66\d* x clip-.* range=0,30; 0\.33\d* x clip-.* range=30,0 least=-100\]$/)
  }, 120_000)

  it.live("refuses a file that cannot be used, in one sentence", () =>
    Effect.promise(async () => {
      const cases: ReadonlyArray<readonly [text: string | undefined, sentence: RegExp]> = [
        [undefined, /^vequinox: --judge blend adds up the scores of several judges: .* give it as --judge-terms\.$/],
        ["terms: [", /is not YAML: /],
        ["terms: []\n", /terms/],
        ["terms:\n  - judge: clip\n    wieght: 2\n", /wieght/],
        ["terms:\n  - judge: coin\n", /, term 1: coin cannot be a term: take one of clip, siglip, pickscore, hps, imagereward, dino, pixels, edges\.$/],
        ["terms:\n  - judge: checklist\n", /, term 1: checklist cannot be a term: take one of /],
        ["terms:\n  - judge: clip\n    range: [1, 1]\n", /, term 1: its range begins where it ends\.$/],
        ["terms:\n  - judge: clip\n  - judge: clip\n", /, term 2: another one is called clip too: give it a name of its own\.$/],
        ["terms:\n  - judge: siglip\n", /--judge siglip needs its checkpoint/],
        ["terms:\n  - judge: clip\n    judge_model: nowhere/at/all\n", /nowhere\/at\/all/]
      ]
      for (const [n, [text, sentence]] of cases.entries()) {
        const given = text === undefined ? [] : ["--judge-terms", file(`bad-${n}.yaml`, text)]
        const { code, stderr } = await vequinox(["train", "--judge", "blend", ...given, ...tiny, "--out", path.join(work, "refused")])
        const said = stderr.trim()
        assert.strictEqual(code, 1, said)
        assert.match(said, sentence)
        assert.lengthOf(said.split("\n"), 1, said)
      }
      assert.isFalse(fs.existsSync(path.join(work, "refused")))
    }), 120_000)
})
