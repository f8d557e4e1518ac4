/** The lab's control socket: what no Proxmox has. */
import { request } from 'node:http'

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
  const call = (method: string, path: string, body?: unknown): Promise<any> => {
    const { promise, resolve, reject } = Promise.withResolvers<any>()
    const sent = request({ socketPath: socket, method, path }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
      response.on('end', () => {
        if (response.statusCode === 200) resolve(JSON.parse(text))
        else reject(new Error(`the lab says to ${method} ${path}: ${text.trim() || response.statusCode}`))
      })
    })
    sent.on('error', reject)
    sent.end(body === undefined ? undefined : JSON.stringify(body))
    return promise
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
