/**
 * A disk that fills: a small tmpfs in a mount namespace of our own, and a balloon in it. Where a process may mount none,
 * strace refuses the run's writes instead.
 */
import { spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { hasStrace } from "../survival/sweep.ts"

export type DiskKind = "tmpfs" | "strace" | "none"

/** Namespaces for mounts and for processes: whatever happens to the first process in them, nothing in them stays. */
const namespaces = ["--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
const mounting = `mount -t tmpfs -o size=$0 soak "$1" && shift && "$@"`

const inNamespaces = (size: string, folder: string, command: ReadonlyArray<string>): ReadonlyArray<string> =>
  [...namespaces, "sh", "-c", mounting, size, folder, ...command]

export const diskKind = (folder: string): DiskKind => {
  if (process.platform !== "linux") return "none"
  if (spawnSync("unshare", inNamespaces("1m", folder, ["true"])).status === 0) return "tmpfs"
  return hasStrace() ? "strace" : "none"
}

/** Runs a command to which `folder` is a small disk, until it ends. @returns its exit code */
export const onSmallDisk = (folder: string, command: ReadonlyArray<string>, env: NodeJS.ProcessEnv): Promise<number> =>
  new Promise((resolve) => {
    const child = spawn("unshare", inNamespaces("256m", folder, command), { env, stdio: "inherit" })
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill("SIGKILL")) // all inside end with it
    child.on("exit", (code) => resolve(code ?? 1))
  })

/** Fills the disk of `folder`, whatever is removed from it meanwhile, until it is told to give the space back. */
export const fill = (folder: string): () => void => {
  const balloon = path.join(folder, "balloon")
  const fd = fs.openSync(balloon, "w")
  const blow = () => {
    for (const size of [1 << 20, 4096]) {
      try {
        for (;;) fs.writeSync(fd, Buffer.alloc(size, 1))
      } catch { /* full */ }
    }
  }
  blow()
  const again = setInterval(blow, 50)
  return () => {
    clearInterval(again)
    fs.closeSync(fd)
    fs.rmSync(balloon)
  }
}

/** A command that is refused space for what SQLite writes, from the n-th such call on. */
export const refused = (n: number, command: ReadonlyArray<string>): ReadonlyArray<string> =>
  ["strace", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", `inject=pwrite64:error=ENOSPC:when=${n}+`, ...command]
