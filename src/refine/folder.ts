/**
 * The folder of a refinement. Its drawings lie as IntroSVG's inference_loop.py leaves them:
 *
 *     final_svgs/ID.svg, ID.json       the drawing that was kept, and the critic's last word on it
 *     final_pngs/ID.png                200 pixels
 *     intermediate_files/00_initial_drafts/ID.svg
 *     intermediate_files/NN_iteration/critique_pngs/ID.png, refined_svgs/ID.svg
 *
 * Beside them records.jsonl, from which an interrupted refinement goes on, and refinement.json.
 */
import * as path from "node:path"
import { Effect } from "effect"
import { encodePng } from "../drawing/png.ts"
import { renderFor } from "../stages/render-for.ts"
import { writeFile } from "../system/files.ts"
import { bestOf, type RecordedDrawing, type RefineRecord } from "./record.ts"

/** Pixels of a side, as IntroSVG renders. */
export const pictureSize = 200

const numbered = (round: number): string => `${String(round).padStart(2, "0")}_iteration`

/** Writes the files of one prompt. */
export const writeRefined = Effect.fn("refine.write")(function*(out: string, record: RefineRecord) {
  const { critique, draft, id, prompt, rounds } = record
  const write = (data: string | Uint8Array, ...at: ReadonlyArray<string>) => writeFile(path.join(out, ...at), data, false)
  const writePicture = Effect.fnUntraced(function*({ svg }: RecordedDrawing, ...at: ReadonlyArray<string>) {
    const rendering = yield* renderFor(prompt, svg)
    if (rendering._tag === "Rendered") yield* write(encodePng(rendering.picture.width, rendering.picture.height, rendering.picture.rgba), ...at)
  })
  const best = bestOf(record)
  yield* write(`${best.svg}\n`, "final_svgs", `${id}.svg`)
  if (critique !== null) yield* write(`${JSON.stringify(critique, null, 4)}\n`, "final_svgs", `${id}.json`)
  yield* writePicture(best, "final_pngs", `${id}.png`)
  yield* write(`${draft.svg}\n`, "intermediate_files", "00_initial_drafts", `${id}.svg`)
  let before = draft
  for (const [n, { drawing, kept }] of rounds.entries()) {
    yield* writePicture(before, "intermediate_files", numbered(n + 1), "critique_pngs", `${id}.png`)
    if (drawing !== null) yield* write(`${drawing.svg}\n`, "intermediate_files", numbered(n + 1), "refined_svgs", `${id}.svg`)
    if (kept && drawing !== null) before = drawing
  }
})
