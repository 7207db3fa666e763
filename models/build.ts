/**
 * Rebuilds the embedded models from nothing: `pnpm run models`. About an hour on two cores; the folders are replaced only
 * when a model is finished. Seeds are fixed, so the data are the same; weights differ in their last bits with the machine.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "..")
const work = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-models-"))
/** Runs a script of the project; WORK stands for the folder things are made in. */
const node = (line: string) => {
  console.log(`node ${line}`)
  execFileSync(process.execPath, line.split(" ").map((part) => part.replace("WORK", work)), { cwd: root, stdio: "inherit" })
}
const install = (name: string) => {
  const to = path.join(root, "models", name)
  fs.rmSync(to, { recursive: true, force: true })
  fs.cpSync(path.join(work, name), to, { recursive: true })
}

// The policy: 60,000 rows, half of the drawings flawed, 1400 steps of 32 rows.
node("models/make-policy-base.ts WORK/base 60000 0")
node(
  "src/main.ts sft --model WORK/base --data WORK/base/rows.jsonl --out WORK/policy --steps 1400 --batch-size 32 " +
    "--learning-rate 2e-3 --warmup-steps 50 --seed 0"
)
install("policy")

// The judge, and the evaluator that never trains: another seed, another shape.
node(
  "models/train-clip.ts --out WORK/clip --seed 1 --steps 900 --patch 8 --hidden 160 --layers 4 " +
    "--text-hidden 128 --text-layers 2"
)
install("clip")
node(
  "models/train-clip.ts --out WORK/clip-heldout --seed 2 --steps 700 --patch 16 --hidden 192 --layers 3 " +
    "--text-hidden 96 --text-layers 3"
)
install("clip-heldout")
fs.rmSync(work, { recursive: true, force: true })
