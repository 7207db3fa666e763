/**
 * What `trl dpo` does with a round, by our own trainer: reads its arguments and rows, goes on from the checkpoint's adapter for
 * `max_steps` updates on all rows, and leaves a checkpoint as transformers' Trainer does. For clusters of tests; every number is
 * computed.
 *
 *     node test/support/trl-trainer.ts dpo --model_name_or_path ...
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Layer } from "effect"
import { OnnxRuntime } from "../../layers/onnx/runtime.ts"
import * as OptimizerOnnx from "../../layers/optimizer/onnx.ts"
import { Preference } from "../../src/domain.ts"
import { adapterFiles, openAdapter } from "../../src/model/adapter.ts"
import { openDecoder } from "../../src/model/model-folder.ts"
import { openTokenizer } from "../../src/model/tokenizer/tokenizer.ts"
import type { ObjectiveName } from "../../src/objectives/objectives.ts"
import { Optimizer } from "../../src/stages/Optimizer.ts"
import { trainerDefaults } from "../../src/wiring/trainer-defaults.ts"
import { candidate, verdict } from "../stages/make.ts"

interface Message {
  readonly content: string
}
interface Row {
  readonly prompt: ReadonlyArray<Message>
  readonly chosen: ReadonlyArray<Message>
  readonly rejected: ReadonlyArray<Message>
}

/** `--name value value` by name. */
export const argumentsOf = (argv: ReadonlyArray<string>): ReadonlyMap<string, ReadonlyArray<string>> => {
  const found = new Map<string, Array<string>>()
  let last: Array<string> = []
  for (const word of argv) {
    if (word.startsWith("--")) found.set(word.slice(2), last = [])
    else last.push(word)
  }
  return found
}

/** @param threads of onnxruntime: 1 gives the same bits every time */
export const trainRows = (argv: ReadonlyArray<string>, log: (line: string) => void): Promise<void> => Effect.runPromise(Effect.gen(function*() {
  if (argv[0] !== "dpo") throw new Error(`there is no command ${argv[0]}`)
  const given = argumentsOf(argv.slice(1))
  const one = (name: string) => given.get(name)![0]!
  const [folder, steps] = [one("model_name_or_path"), Number(one("max_steps"))]
  const checkpoint = yield* openDecoder(folder)
  const tokenizer = yield* openTokenizer(folder)
  const { lora, parameters } = yield* openAdapter(one("resume_from_checkpoint"), checkpoint)
  const start = JSON.parse(fs.readFileSync(path.join(one("resume_from_checkpoint"), "trainer_state.json"), "utf8"))
  if (start.global_step !== 0) throw new Error("it does not begin at step 0")
  const rows = fs.readFileSync(path.join(one("dataset_name"), "train.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line) as Row)
  const lessons = rows.map(({ chosen, prompt, rejected }, n) => {
    const text = prompt[0]!.content
    const ids = tokenizer.encode(text)
    const of = (index: number, [answer]: ReadonlyArray<Message>) =>
      candidate({ step: n, index, promptIds: ids, completionIds: tokenizer.encode(text + answer!.content).slice(ids.length) })
    const [good, bad] = [of(0, chosen), of(1, rejected)]
    return new Preference({ prompt: good.prompt, chosen: good, rejected: bad, label: 1, weight: 1, verdict: verdict() })
  })
  const optimizer = OptimizerOnnx.layer({
    checkpoint,
    lora,
    initial: { version: 0, updates: 0, parameters, moments: new Map() },
    ...trainerDefaults(256, 1024, { learningRate: Number(one("learning_rate")), maxGradNorm: Number(one("max_grad_norm")), weightDecay: Number(one("weight_decay")) }),
    objective: { lossType: one("loss_type") as ObjectiveName, beta: Number(one("beta")), labelSmoothing: 0 }
  }).pipe(Layer.provide(OnnxRuntime.layer("cpu", 0, { threads: 1 })))
  const history: Array<Record<string, number>> = []
  const trained = yield* Effect.provide(Effect.gen(function*() {
    const { state, step } = yield* Optimizer
    for (let n = 1; n <= steps; n++) {
      const { metrics } = yield* step(lessons)
      history.push({ ...metrics, step: n, epoch: n })
      log(`{'loss': '${metrics["loss"]}', 'epoch': '${n}'}`)
    }
    return (yield* state).parameters
  }), optimizer)
  const output = path.join(one("output_dir"), `checkpoint-${steps}`)
  fs.mkdirSync(output, { recursive: true })
  for (const [name, bytes] of adapterFiles(trained, lora, { name: folder, revision: null })) fs.writeFileSync(path.join(output, name), bytes)
  fs.writeFileSync(path.join(output, "trainer_state.json"), JSON.stringify({ ...start, global_step: steps, log_history: history }))
}))

if (import.meta.main) await trainRows(process.argv.slice(2), console.log)
