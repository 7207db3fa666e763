/**
 * Rebuilds the embedded models from nothing: `pnpm run models`. The models as they are took 87, 122 and 52
 * minutes on one busy core each, not quite in this way (models/README.md says what differed). What is finished
 * stays in models/.work, so a build that was stopped goes on where it was; a model is replaced only when its successor is
 * finished. Seeds are fixed, so the data are the same; weights differ in their last bits with the machine.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "..")
const work = path.join(root, "models", ".work")

/** Runs a script of the project that makes `result`, unless that was made before; WORK stands for the folder of results. */
const make = (result: string, line: string) => {
  if (fs.existsSync(path.join(work, result))) return console.log(`${result}: made before`)
  console.log(`${result}: node ${line}`)
  execFileSync(process.execPath, line.split(" ").map((part) => part.replace("WORK", work)), { cwd: root, stdio: "inherit" })
}
const install = (name: string, result: string) => {
  const to = path.join(root, "models", name)
  fs.rmSync(to, { recursive: true, force: true })
  fs.cpSync(path.join(work, result), to, { recursive: true })
}

fs.mkdirSync(work, { recursive: true })

// The policy learns to draw (able), then its habits. Between the stages AdamW starts anew.
make("base", "models/make-policy-base.ts WORK/base 120000 40000 0")
const sft = (from: string, rows: string, result: string, rest: string) =>
  make(result, `src/main.ts sft --model WORK/${from} --data WORK/base/${rows}.jsonl --out WORK/${result} --batch-size 32 ${rest}`)
sft("base", "good", "learning", "--steps 1400 --learning-rate 2e-3 --lr-scheduler-type constant_with_warmup --save-dtype F32 --seed 0")
sft("learning", "good", "fair", "--steps 1000 --learning-rate 2e-3 --warmup-steps 20 --save-dtype F32 --seed 1")
sft("fair", "good", "good", "--steps 500 --learning-rate 1.5e-3 --warmup-steps 20 --save-dtype F32 --seed 3")
sft("good", "good", "better", "--steps 400 --learning-rate 1e-3 --warmup-steps 20 --save-dtype F32 --seed 4")
sft("better", "good", "able", "--steps 500 --learning-rate 1e-3 --warmup-steps 20 --save-dtype F32 --seed 5")
sft("able", "habits", "policy", "--steps 500 --learning-rate 1e-3 --warmup-steps 20 --seed 2")
install("policy", "policy")

// The judge, and the evaluator that never trains: other seeds, another shape. Each goes on from an earlier training of its own.
const clip = (result: string, rest: string) => make(result, `models/train-clip.ts --out WORK/${result} --patch 16 --hidden 192 ${rest}`)
const judge = "--image 112 --layers 4 --text-hidden 128 --text-layers 2"
clip("clip-1", `--seed 1 --steps 2600 ${judge}`)
clip("clip-2", `--from WORK/clip-1 --seed 11 --text-steps 0 --steps 3000 --lr 4e-4 ${judge}`)
clip("clip", `--from WORK/clip-2 --seed 21 --text-steps 0 --steps 1300 --lr 4e-4 ${judge}`)
install("clip", "clip")
const evaluator = "--fact-weight 0.5 --image 96 --layers 3 --text-hidden 96 --text-layers 3"
clip("clip-heldout-1", `--seed 2 --steps 2500 ${evaluator}`)
clip("clip-heldout", `--from WORK/clip-heldout-1 --seed 12 --text-steps 0 --steps 2000 --lr 4e-4 ${evaluator}`)
install("clip-heldout", "clip-heldout")
