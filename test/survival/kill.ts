/**
 * SIGKILL at random instants of a real training run: `node test/survival/kill.ts [kills] [seed]`, half of them at staleness 0,
 * half at 1. Each run is killed, resumed, killed again, and compared with one that was left alone.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { random } from "../../src/numerics/random.ts"
import { survive, type SurvivalOptions } from "./survive.ts"

const [kills = 10, seed = 0] = process.argv.slice(2).map(Number)
const killsOfARun = 4
const work = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-kill-"))

for (const maxStaleness of [0, 1]) {
  const of = (name: string, killAfter: SurvivalOptions["killAfter"]) => {
    const folder = path.join(work, name)
    fs.mkdirSync(folder)
    return survive({ folder, steps: 6, maxStaleness, saveSteps: 1 + maxStaleness, killAfter })
      .finally(() => fs.rmSync(folder, { recursive: true, force: true }))
  }
  const whole = await of(`whole-${maxStaleness}`, () => undefined)
  console.log(`staleness ${maxStaleness}: ${whole.seconds.toFixed(1)} s, ${whole.questions} questions, adapter ${whole.adapter.slice(0, 12)}`)
  const draw = random(seed, maxStaleness)
  let done = 0
  for (let n = 0; done < Math.ceil(kills / 2); n++) {
    const at = Array.from({ length: killsOfARun }, () => draw() * whole.seconds)
    const run = await of(`${maxStaleness}-${n}`, (process) => at[process])
    done += run.kills
    const wrong = [
      run.adapter === whole.adapter ? [] : ["another adapter"],
      run.lines === whole.lines ? [] : ["other metrics, verdicts or pairs"],
      run.questions === whole.questions ? [] : [`${run.questions} questions`],
      run.charges === run.questions ? [] : [`${run.charges - run.questions} paid twice`]
    ].flat()
    console.log(`${done} kills; run ${n}: ${run.killedAt.join(", ")}; ${run.replayed} answers in doubt: ${wrong.length === 0 ? "the same" : wrong.join(", ")}`)
    if (wrong.length > 0) process.exitCode = 1
  }
}
fs.rmSync(work, { recursive: true, force: true })
