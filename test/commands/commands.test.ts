/** The command line as people meet it: real processes, bad input, one clear sentence each. */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { scratchFolder } from "../support/scratch-folder.ts"

const root = path.resolve(import.meta.dirname, "../..")
const policy = path.join(root, "models/policy")
const work = scratchFolder("cli")

const vequinox = (...args: ReadonlyArray<string>) =>
  new Promise<{ code: number; stdout: string; stderr: string }>((resolve) =>
    execFile(
      process.execPath,
      [path.join(root, "src/main.ts"), ...args],
      { cwd: work, env: { PATH: process.env["PATH"] }, maxBuffer: 1e8 },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr })
    )
  )

/** A copy of the embedded policy with some files changed. */
const broken = (name: string, change: (folder: string) => void): string => {
  const folder = path.join(work, name)
  fs.cpSync(policy, folder, { recursive: true })
  change(folder)
  return folder
}
const file = (name: string, content: string | Uint8Array): string => {
  fs.writeFileSync(path.join(work, name), content)
  return path.join(work, name)
}

describe("bad input: one sentence, non-zero exit, no stack trace", () => {
  const cases: ReadonlyArray<readonly [string, () => ReadonlyArray<string>, RegExp]> = [
    ["a missing model folder", () => ["train", "--model", "/nowhere"], /no model folder \/nowhere/],
    ["weights cut short", () => [
      "train",
      "--model",
      broken("cut", (at) => fs.truncateSync(path.join(at, "model.safetensors"), 100_000))
    ], /model\.safetensors cannot be read: tensor .* ends after the file does/],
    ["weights that are noise", () => [
      "train",
      "--model",
      broken("noise", (at) => fs.writeFileSync(path.join(at, "model.safetensors"), Buffer.alloc(500, 7)))
    ], /model\.safetensors cannot be read: its header claims/],
    ["a config that disagrees with the weights", () => [
      "train",
      "--model",
      broken("sizes", (at) => {
        const json = JSON.parse(fs.readFileSync(path.join(at, "config.json"), "utf8"))
        fs.writeFileSync(path.join(at, "config.json"), JSON.stringify({ ...json, hidden_size: 256 }))
      })
    ], /is \[1024,192\] in the weights, but config\.json asks for \[1024,256\]/],
    ["an unknown family", () => [
      "train",
      "--model",
      broken("family", (at) => fs.writeFileSync(path.join(at, "config.json"), "{\"model_type\":\"mamba\"}"))
    ], /family "mamba": known are qwen3, qwen2, llama and gemma3_text/],
    ["a tokenizer without a chat template", () => [
      "train",
      "--model",
      broken("template", (at) => fs.writeFileSync(path.join(at, "tokenizer_config.json"), "{\"eos_token\":\"<|im_end|>\"}"))
    ], /has no chat template/],
    ["an empty prompt file", () => ["train", "--prompts", file("empty.txt", "\n\n")], /empty\.txt has no prompts/],
    ["a binary prompt file", () => ["train", "--prompts", file("binary.txt", Buffer.from([0x61, 0, 0x62]))], /binary\.txt is a binary file/],
    ["an unreadable prompt line", () => ["train", "--prompts", file("bad.jsonl", "{\"prompt\":\"a cat\"}\n{oops\n")], /bad\.jsonl, line 2: it is not JSON/],
    ["an unknown judge", () => ["train", "--judge", "oracle"], /no judge "oracle": --judge is one of clip, siglip, pickscore, hps, imagereward, dino, pixels, edges, claude, openai, list, checklist, defects, cascade, human, coin, blend/],
    ["a judge without its checkpoint", () => ["train", "--judge", "pickscore"], /download yuvalkirstain\/PickScore_v1.* as --judge-model/],
    ["a judge's checkpoint of another family", () => [
      "judge",
      "--judge",
      "siglip",
      "--judge-model",
      path.join(import.meta.dirname, "../golden/clip"),
      "--prompt",
      "a dot",
      file("s.svg", "<svg/>"),
      file("t.svg", "<svg/>")
    ], /config\.json is of the family "clip", not "siglip"/],
    ["likeness to nothing", () => ["train", "--judge", "dino", "--judge-model", "/nowhere"], /give it as --judge-references/],
    ["an impossible setting", () => ["train", "--beta", "-1"], /--beta is -1/],
    ["a setting that the objective does not read", () => ["train", "--loss-type", "reinforce", "--ties", "train"], /--ties means nothing with loss_type reinforce: leave it out, or choose a loss_type that reads it \(sigmoid, hinge, ipo, [a-z_, ]*sft\)/],
    ["a setting that is no number", () => ["train", "--steps", "many"], /--steps is "many"/],
    ["an unknown setting in a file", () => ["train", "--config", file("c.yaml", "betta: 0.1\n")], /no setting "betta"/],
    ["an output folder that cannot be made", () => ["train", "--out", path.join(file("plain", ""), "run")], /output folder .* cannot be written/],
    ["CUDA where there is none", () => ["train", "--device", "cuda", "--out", path.join(work, "cuda")], /--device cuda does not run/],
    ["nothing to render", () => ["render", "/nowhere.svg"], /\/nowhere\.svg is neither a file nor a folder/],
    ["nothing to draw", () => ["sample"], /nothing to draw/],
    ["a row that is too long to be scored", () => [
      "logprobs",
      "--max-length",
      "9",
      "--input",
      file("long.jsonl", "{\"prompt\":\"a cat\",\"completion\":\"x\"}\n{\"prompt\":\"a cat and a dog and a bird\",\"completion\":\"<svg/>\"}\n")
    ], /long\.jsonl, row 2: it has \d+ tokens, more than --max-length 9/],
    ["rows without a completion", () => ["logprobs", "--input", file("rows.jsonl", "{\"prompt\":\"a\"}\n")], /rows\.jsonl, line 1/]
  ]
  it.concurrent.each(cases)("%s", async (_name, args, expected) => {
    const { code, stderr, stdout } = await vequinox(...args())
    const said = `${stdout}\n${stderr}`
    assert.notStrictEqual(code, 0, said)
    assert.match(said, expected)
    assert.notMatch(said, /\n\s+at /, "no stack trace")
    assert.isAtMost(stderr.trim().split("\n").filter((line) => !line.startsWith("vequinox: ")).length, 1, said)
  })
})

describe("commands", () => {
  const red = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\"><circle cx=\"32\" cy=\"32\" r=\"14\" fill=\"red\"/></svg>"
  const blue = red.replace("red", "blue")

  it("render prints one JSON line a file", async () => {
    const good = file("good.svg", red)
    const bad = file("bad.svg", red.slice(0, 80))
    const script = file("script.svg", red.replace("<circle", "<script>1</script><circle"))
    const { code, stdout } = await vequinox("render", good, bad, script)
    assert.strictEqual(code, 0)
    const rows = stdout.trim().split("\n").map((line) => JSON.parse(line)).sort((a, b) => a.file.localeCompare(b.file))
    assert.deepStrictEqual(rows.map(({ outcome, reason }) => [outcome, reason]), [
      ["rejected", "no-svg"],
      ["rendered", null],
      ["rejected", "forbidden"]
    ])
    rows.forEach(({ ms }) => assert.isAtLeast(ms, 0))
  })

  it("judge prefers the drawing of the right colour", async () => {
    const { code, stderr, stdout } = await vequinox("judge", "--prompt", "one red circle", file("a.svg", blue), file("b.svg", red), "--json")
    assert.strictEqual(code, 0, stderr)
    const { confidence, scores, verdict } = JSON.parse(stdout)
    assert.strictEqual(verdict, "B")
    assert.isAbove(scores[1], scores[0])
    assert.isAbove(confidence, 0)
  })

  it("judge dino prefers what is like the reference, in the checkpoint's own size", async () => {
    const references = file("references.jsonl", JSON.stringify({ prompt: "a dot", image: file("reference.svg", blue) }))
    const { code, stderr, stdout } = await vequinox(
      "judge",
      "--judge",
      "dino",
      "--judge-model",
      path.join(import.meta.dirname, "../golden/dinov2"),
      "--judge-references",
      references,
      "--prompt",
      "a dot",
      file("c.svg", red),
      file("d.svg", blue),
      "--json"
    )
    assert.strictEqual(code, 0, stderr)
    const { scores, verdict } = JSON.parse(stdout)
    assert.notStrictEqual(verdict, "A")
    assert.isAbove(scores[1], scores[0])
    assert.approximately(scores[1], 20, 0.2)
  })

  it("sample draws, and logprobs gives the log-probabilities that sampling had", async () => {
    const sampled = await vequinox("sample", "a pelican", "--k", "2", "--seed", "4", "--json")
    assert.strictEqual(sampled.code, 0, sampled.stderr)
    const rows = sampled.stdout.trim().split("\n").map((line) => JSON.parse(line))
    assert.strictEqual(rows.length, 2)
    const again = await vequinox("sample", "a pelican", "--k", "2", "--seed", "4", "--json")
    assert.strictEqual(again.stdout, sampled.stdout)
    const chat = "<|im_start|>user\na pelican<|im_end|>\n<|im_start|>assistant\n<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\">"
    const input = file(
      "sampled.jsonl",
      rows.map(({ svg }) => JSON.stringify({ prompt: chat, completion: svg.slice(svg.indexOf(">") + 1) })).join("\n")
    )
    const { code, stderr, stdout } = await vequinox("logprobs", "--model", policy, "--input", input)
    assert.strictEqual(code, 0, stderr)
    stdout.trim().split("\n").map((line) => JSON.parse(line)).forEach(({ logps, token_logps }, n) => {
      assert.approximately(logps, rows[n].logps, 1e-3)
      assert.approximately(token_logps.reduce((a: number, b: number) => a + b, 0), logps, 1e-9)
    })
  })

  it("train leaves a run folder as promised", async () => {
    const run = path.join(work, "run")
    const { code, stderr, stdout } = await vequinox(
      ..."train --steps 2 --rpo-alpha 0 --prompts-per-step 6 --eval-prompts 8 --eval-temperatures 0.5,1 --eval-best-of 2 --threads 1 --json --seed 9 --out".split(" "),
      run
    )
    assert.strictEqual(code, 0, stderr)
    const summary = JSON.parse(stdout.trim().split("\n").at(-1)!)
    assert.deepStrictEqual(JSON.parse(fs.readFileSync(path.join(run, "summary.json"), "utf8")), summary)
    assert.strictEqual(summary.steps, 2)
    assert.strictEqual(summary.winRate.n, 8)
    const metrics = fs.readFileSync(path.join(run, "metrics.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line))
    assert.deepStrictEqual(metrics.map(({ policyVersion, step }) => [step, policyVersion]), [[0, 0], [1, 0]])
    for (const name of ["loss", "rewards/margins", "rewards/accuracies", "logps/chosen", "objective/kl", "svg/valid", "pairs/trained", "seconds/train"]) {
      assert.isNumber(metrics[0][name], name)
    }
    assert.approximately(metrics[0].loss, Math.LN2, 1e-4)
    for (const name of ["config.json", "run.db", "report.html", "preferences.jsonl", "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "adapter/README.md", "checkpoints/step-2/state.json", "checkpoints/step-2/optimizer.safetensors"]) {
      assert.isTrue(fs.existsSync(path.join(run, name)), name)
    }
    const row = JSON.parse(fs.readFileSync(path.join(run, "preferences.jsonl"), "utf8").split("\n")[0]!)
    assert.strictEqual(row.prompt[0].role, "user")
    assert.notStrictEqual(row.chosen[0].content, row.rejected[0].content)
    const { learning } = summary
    assert.deepStrictEqual([learning.measure, learning.heldOut, learning.before.curve.length], ["right", 8, 3])
    const { temperature } = learning.bestOf
    const { right } = learning.before.curve.find((at: { temperature: number }) => at.temperature === temperature)
    assert.deepStrictEqual(learning.bestOf.of.map(({ k }: { k: number }) => k), [1, 2])
    assert.deepStrictEqual(learning.bestOf.of[0].right, right)
    assert.deepStrictEqual(learning.kinds.reduce((n: number, { before }: { before: { n: number } }) => n + before.n, 0), 8)
    const whole = (share: number) => `${Math.round(100 * share)}\u202f%`
    const page = fs.readFileSync(path.join(run, "report.html"), "utf8")
    assert.include(page, learning.sentence)
    assert.include(page, `Drawn right, of 8 held-out prompts: <strong>${whole(learning.right.before.value)}</strong> before, <strong>${whole(learning.right.after.value)}</strong> after`)
    const cells = (policy: "before" | "after") => learning[policy].curve.map(({ right }: { right: { value: number } }) => whole(right.value))
    const rows = [.../By temperature.*?<tbody>(.*?)<\/tbody>/s.exec(page)![1]!.matchAll(/<tr>.*?<\/tr>/gs)]
      .map(([row]) => [...row.matchAll(/<td>(.*?)<\/td>/g)].map(([, cell]) => cell!.replace(/<span.*?<\/span>|<[^>]*>/g, "")))
    assert.deepStrictEqual([rows.map(([before]) => before), rows.map(([, after]) => after)], [cells("before"), cells("after")])
    assert.strictEqual(page.match(/<figure class="card"/g)?.length, 8)
    assert.include(fs.readFileSync(path.join(run, "adapter/README.md"), "utf8"), learning.sentence)
    assert.deepStrictEqual(JSON.parse((await vequinox("inspect", run, "--json")).stdout).summary, summary)
    assert.include((await vequinox("inspect", run)).stdout, learning.sentence)
    fs.copyFileSync(path.join(run, "summary.json"), path.join(work, "whole.json"))
    fs.writeFileSync(path.join(run, "summary.json"), JSON.stringify({ ...summary, learning: undefined }))
    const old = await vequinox("inspect", run)
    assert.strictEqual(old.code, 0, old.stderr)
    assert.match(old.stdout, /summary\.json holds no summary as this version writes it/)
    fs.copyFileSync(path.join(work, "whole.json"), path.join(run, "summary.json"))
    const second = await vequinox("train", "--out", run)
    assert.notStrictEqual(second.code, 0)
    assert.match(second.stderr, /holds a run already/)
  }, 240_000)
})
