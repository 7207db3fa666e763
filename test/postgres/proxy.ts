/** Stands between a client and Postgres, and can lose the answer to a COMMIT: the server has done it, the client never hears. */
import * as net from "node:net"

/** How the server says that a transaction is committed: the tag of CommandComplete. */
const committed = Buffer.from("COMMIT\0")

export const startProxy = (port: number) =>
  new Promise<{ readonly port: number; readonly cutNextCommit: () => void; readonly cuts: () => number; readonly close: () => void }>((resolve) => {
    let [armed, cuts] = [false, 0]
    const sockets = new Set<net.Socket>()
    const proxy = net.createServer((client) => {
      const server = net.connect(port, "127.0.0.1")
      for (const socket of [client, server]) {
        sockets.add(socket)
        socket.on("error", () => {})
        socket.on("close", () => (client.destroy(), server.destroy()))
      }
      client.on("data", (data) => server.write(data))
      server.on("data", (data) => {
        if (!armed || !data.includes(committed)) return void client.write(data)
        armed = false
        cuts++
        client.destroy()
      })
    }).listen(0, "127.0.0.1", () =>
      resolve({
        port: (proxy.address() as net.AddressInfo).port,
        cutNextCommit: () => (armed = true),
        cuts: () => cuts,
        close: () => (sockets.forEach((socket) => socket.destroy()), proxy.close())
      }))
  })
