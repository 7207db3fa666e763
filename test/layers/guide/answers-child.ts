/** A process that opens the answers at a given moment and keeps one: node answers-child.ts ANSWERS.db TIME KEY */
import { Effect } from "effect"
import { Answers } from "../../../layers/guide/answers.ts"

const [file, moment, key] = process.argv.slice(2)
while (Date.now() < Number(moment));
Effect.runPromise(
  Effect.gen(function*() {
    const answers = yield* Answers
    yield* answers.put(key!, "A", 1)
  }).pipe(Effect.provide(Answers.layer(file!)))
)
