/** A process of vequinox that serves a studio. */
import { type ChildProcess, spawn } from "node:child_process"
import * as path from "node:path"

const root = path.join(import.meta.dirname, "../..")

export interface Studio {
  /** Address of the page. */
  readonly url: string
  /** All that it wrote so far. */
  readonly said: () => string
  /** Its exit code, once it has ended by itself. */
  readonly ended: Promise<number | null>
  readonly stop: () => Promise<void>
}

const addressIn = (said: string): string | undefined => /http:\/\/127\.0\.0\.1:\d+\/\w+\//.exec(said)?.[0]

/** Resolves when the process has said where its page is. */
export const startStudio = (...args: ReadonlyArray<string>): Promise<Studio> =>
  new Promise((resolve, reject) => {
    const child: ChildProcess = spawn(process.execPath, [path.join(root, "src/main.ts"), ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"] })
    let said = ""
    const ended = new Promise<number | null>((end) => child.on("close", end))
    const stop = async () => {
      child.kill("SIGINT")
      await ended
    }
    const heard = (bytes: Buffer) => {
      said += bytes.toString()
      const url = addressIn(said)
      if (url !== undefined) resolve({ url, said: () => said, ended, stop })
    }
    child.stdout!.on("data", heard)
    child.stderr!.on("data", heard)
    void ended.then((code) => reject(new Error(`It ended with ${code} before it served: ${said}`)))
  })
