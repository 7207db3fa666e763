/**
 * Shows pairs on the terminal: every cell is a half block, whose two colours are two pixels, one above the other. Keys,
 * Ctrl-C included, are read only while a pair waits or a choice can be taken back; otherwise the terminal is in its
 * normal state.
 */
import { type Cause, Effect, Option, Queue, Stream, Terminal } from "effect"
import type { Picture } from "../../src/domain.ts"
import { resize } from "../../src/drawing/resize.ts"
import type { Choice, Desk, DeskState, Shown } from "./desk.ts"

/** Pixels of the largest side that is drawn; more would not help. */
const largest = 96
const gap = "  "

/** `[rows]` of half blocks, each ending with the terminal's own colours. */
export const halfBlocks = ({ height, rgba, width }: Picture, columns: number, rows: number): ReadonlyArray<string> => {
  const scale = Math.min(columns / width, 2 * rows / height, largest / Math.max(width, height))
  const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(2, 2 * Math.round(height * scale / 2))]
  const small = resize(rgba, width, height, w, h, "box")
  const colour = (x: number, y: number) => small.subarray((y * w + x) * 4, (y * w + x) * 4 + 3).join(";")
  return Array.from({ length: h / 2 }, (_, row) =>
    Array.from({ length: w }, (_, x) => `\x1b[38;2;${colour(x, 2 * row)};48;2;${colour(x, 2 * row + 1)}m▀`).join("") + "\x1b[0m")
}

const keys: Readonly<Record<string, Choice | "undo">> = {
  "1": "left", left: "left", "2": "right", right: "right", "3": "tie", " ": "tie", space: "tie", u: "undo"
}

/** Control characters could move the cursor: a prompt is shown as plain text. */
const plain = (text: string): string => text.replace(/\p{Cc}+/gu, " ")

const drawn = ({ left, prompt, right }: Shown, { answered, waiting }: DeskState, columns: number, rows: number): string => {
  const half = Math.max(1, Math.floor((columns - gap.length - 1) / 2))
  const pictures = [left, right].map((picture) => halfBlocks(picture, half, Math.max(1, rows - 5)))
  const width = Math.max(...pictures.map(([line]) => line!.split("▀").length - 1))
  const [l, r] = pictures
  const lines = Array.from({ length: Math.max(l!.length, r!.length) }, (_, i) => {
    const first = l![i] ?? ""
    return first + " ".repeat(width - (first.split("▀").length - 1)) + gap + (r![i] ?? "")
  })
  return [
    "",
    `“${plain(prompt)}”: which drawing is better?`,
    ...lines,
    `1 left   2 right   3 neither   u undo      ${waiting.length} waiting, ${answered} answered`,
    ""
  ].join("\n")
}

/** Milliseconds in which keys typed before anything waited may still arrive. */
const stale = 50

/** Reads keys for as long as the scope lives. */
export const sitAtTerminal = Effect.fnUntraced(function*(desk: Desk) {
  const terminal = yield* Terminal.Terminal
  /** A key answers the pair on the screen: a key typed before the pair was drawn does not count. */
  let shown = 0
  const show = (input: Queue.Dequeue<Terminal.UserInput, Cause.Done>) => Effect.fnUntraced(function*(state: DeskState) {
    const pair = state.waiting[0]
    if (pair === undefined) return
    yield* Queue.clear(input)
    shown = pair.id
    const columns = (yield* terminal.columns) || 80
    const rows = (yield* terminal.rows) || 24
    yield* Effect.ignore(terminal.display(drawn(pair, state, columns, rows)))
  })

  /** One sitting: from the first pair until none waits and no choice can be taken back. */
  const sitting = Effect.gen(function*() {
    const input = yield* terminal.readInput
    yield* Effect.sleep(stale)
    const reading = Effect.gen(function*() {
      for (;;) {
        const { input: typed, key } = yield* Queue.take(input)
        if (key.ctrl || key.meta) continue
        const meant = keys[key.name] ?? keys[Option.getOrElse(typed, () => "")]
        if (meant === "undo") yield* desk.undo
        else if (meant !== undefined) yield* desk.choose(shown, meant)
      }
    })
    const showing = desk.changes.pipe(
      Stream.takeUntil(({ last, waiting }) => waiting.length === 0 && last === undefined),
      // A new pair in the queue is no reason to draw the first one again.
      Stream.changesWith((one, other) => one.waiting[0]?.id === other.waiting[0]?.id),
      Stream.runForEach(show(input))
    )
    yield* Effect.raceFirst(reading, showing)
  }).pipe(Effect.scoped)

  yield* desk.changes.pipe(
    Stream.filter(({ waiting }) => waiting.length > 0),
    Stream.take(1),
    Stream.runDrain,
    Effect.andThen(sitting),
    Effect.forever,
    Effect.catch(() => desk.leave("Nobody is at the terminal any more: resume the run to judge on.")),
    Effect.forkScoped
  )
})
