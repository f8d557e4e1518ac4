/** The lab's control socket: what no Proxmox has. */
import { Client } from 'undici'

export interface Control {
  /** Whether something in the lab accepts a TCP connection there, asked from one of three places. */
  reaches(from: 'admin' | 'stranger' | 'internet', host: string, port: number): Promise<boolean>
  /** Which address in the LAN gets the router's ports, or its ports for a second site; null: none. */
  forward(forwards: { readonly target?: string | null; readonly second?: string | null }): Promise<void>
  internet(on: boolean): Promise<void>
  stop(): Promise<void>
  /** Whether the lab answers at all; false when its process is gone and only the socket's file is left. */
  ping(): Promise<boolean>
}

export function control(socket: string): Control {
  const call = async (method: 'GET' | 'POST' | 'PUT', path: string, body?: unknown): Promise<any> => {
    // One for each call, so that nobody has to close anything. What the lab looks at may take its time.
    const client = new Client('http://lab', { socketPath: socket, headersTimeout: 0, bodyTimeout: 0 })
    try {
      const answer = await client.request({ method, path, body: body === undefined ? null : JSON.stringify(body) })
      const text = await answer.body.text()
      if (answer.statusCode !== 200) throw new Error(`the lab says to ${method} ${path}: ${text.trim() || answer.statusCode}`)
      return JSON.parse(text)
    } finally {
      await client.destroy()
    }
  }
  return {
    reaches: async (from, host, port) => (await call('POST', '/probe', { from, host, port })).reached as boolean,
    forward: async (forwards) => {
      await call('PUT', '/router/forwards', forwards)
    },
    internet: async (on) => {
      await call('PUT', '/internet', { on })
    },
    stop: async () => {
      await call('POST', '/stop', {})
    },
    ping: () =>
      call('GET', '/faults').then(
        () => true,
        () => false,
      ),
  }
}
