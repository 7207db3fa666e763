import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll } from "vitest"

/** A folder of a test file's own under the temporary folder, removed once its tests are done. */
export const scratchFolder = (name: string): string => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `vequinox-${name}-`))
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))
  return folder
}
