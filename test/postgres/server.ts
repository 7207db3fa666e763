/**
 * A Postgres server of the test's own: Debian's package, on loopback, in a temporary folder, as an unprivileged user. No
 * other cluster is touched.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { setTimeout as pause } from "node:timers/promises"

/** Where Debian and Ubuntu put the newest version, or where pg_config says. */
const programs = ((): string | undefined => {
  const debian = "/usr/lib/postgresql"
  const versions = fs.existsSync(debian) ? fs.readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const folders = versions.map((version) => path.join(debian, version, "bin"))
  try {
    folders.push(execFileSync("pg_config", ["--bindir"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim())
  } catch {
    // none on PATH
  }
  return folders.find((folder) => ["initdb", "postgres"].every((name) => fs.existsSync(path.join(folder, name))))
})()

export const hasPostgres = programs !== undefined
if (!hasPostgres) console.error("Postgres is not installed, so nothing is tested with it: apt-get install postgresql")

/** Postgres does not run as root. */
const user = process.getuid?.() === 0
  ? { uid: Number(execFileSync("id", ["-u", "nobody"])), gid: Number(execFileSync("id", ["-g", "nobody"])) }
  : {}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as net.AddressInfo
      server.close(() => resolve(port))
    })
  })

export interface PostgresServer {
  /** Of the database, with its password. */
  readonly url: string
  readonly port: number
  readonly password: string
  readonly start: () => Promise<void>
  /** SIGKILL to the server; `one`: to one of the processes that serve, after which it starts again by itself. */
  readonly strike: (what: "all" | "one") => Promise<void>
  readonly sql: (statement: string, database?: string) => string
  /** Ends it and removes its folder. */
  readonly remove: () => Promise<void>
}

export const startPostgres = async (): Promise<PostgresServer> => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-postgres-"))
  fs.chmodSync(folder, 0o755)
  const [data, password, port] = [path.join(folder, "data"), "a-secret-of-the-tests", await freePort()]
  const secret = path.join(folder, "secret")
  fs.mkdirSync(data)
  fs.writeFileSync(secret, password)
  if (user.uid !== undefined) for (const made of [folder, data, secret]) fs.chownSync(made, user.uid, user.gid)
  execFileSync(path.join(programs!, "initdb"), ["-D", data, "-U", "tester", "-A", "scram-sha-256", "--pwfile", secret, "-E", "UTF8", "--locale", "C"], { ...user, cwd: folder, stdio: "ignore" })
  const url = `postgres://tester:${password}@127.0.0.1:${port}/postgres`
  let server: ChildProcess | undefined
  const sql = (statement: string, database = "postgres"): string =>
    execFileSync(path.join(programs!, "psql"), [`${url.slice(0, -"postgres".length)}${database}`, "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", statement], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim()

  const answers = async (): Promise<boolean> => {
    for (let n = 0; n < 300 && server?.exitCode === null && server.signalCode === null; n++) {
      try {
        sql("SELECT 1")
        return true
      } catch {
        await pause(100)
      }
    }
    return false
  }
  const start = async () => {
    // Processes of one that was killed may hold its memory for another moment.
    for (let n = 0; n < 50; n++) {
      // On a busy machine it may only be slow: a second one would be refused, and the first forgotten.
      if (server === undefined || server.exitCode !== null || server.signalCode !== null) server = spawn(path.join(programs!, "postgres"), ["-D", data, "-p", String(port), "-h", "127.0.0.1", "-k", folder], { ...user, cwd: folder, stdio: "ignore" })
      if (await answers()) return
      await pause(200)
    }
    throw new Error("Postgres does not start")
  }
  const ended = () => server === undefined || server.exitCode !== null || server.signalCode !== null
    ? Promise.resolve()
    : new Promise<void>((resolve) => server!.once("exit", () => resolve()))
  return {
    url, port, password, start, sql,
    strike: async (what) => {
      if (what === "all") {
        server!.kill("SIGKILL")
        return ended()
      }
      const pid = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1")
      if (pid !== "") process.kill(Number(pid), "SIGKILL")
    },
    remove: async () => {
      server?.kill("SIGINT") // the fast shutdown
      await ended()
      fs.rmSync(folder, { recursive: true, force: true })
    }
  }
}
