/** The first steps of a client, before it says anything: the name, and a connection to the port. */
import { lookup } from 'node:dns/promises'
import { connect, isIP } from 'node:net'
import { failed, ok, wordsOf, type Outcome } from './step.ts'

/** As every program on this computer does it: the hosts file counts. */
export async function findName(host: string, advice: string): Promise<Outcome> {
  if (isIP(host) !== 0) return ok(`${host} is an address`)
  try {
    const found = await lookup(host, { all: true })
    return ok(`${host} is ${found.map(({ address }) => address).join(', ')}`)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'EAI_AGAIN'
      ? failed(`no DNS server answers this computer, which asked for ${host}`, 'Look at the network of this computer, and its DNS.')
      : failed(
          `${host} is no name that this computer's DNS knows (${code ?? wordsOf(error)})`,
          `Give the name an address at your DNS provider or dynamic DNS, or mend public.host and roll out. ${advice}`.trim(),
        )
  }
}

export async function reachPort(host: string, port: number, service: string, advice: string, timeoutMs: number): Promise<Outcome> {
  const signal = AbortSignal.timeout(timeoutMs)
  try {
    const address = await new Promise<string>((resolve, reject) => {
      const socket = connect({ host, port, signal })
      socket.once('error', reject).once('connect', () => {
        resolve(`${socket.remoteAddress}, port ${socket.remotePort}`)
        socket.destroy()
      })
    })
    return ok(`connected to ${address}`)
  } catch (error) {
    const why = signal.aborted
      ? `nothing answers at ${host}, port ${port}, within ${timeoutMs / 1000} s`
      : /ECONNREFUSED/.test(wordsOf(error))
        ? `${host} refuses connections to port ${port}: nothing listens there`
        : `there is no way to ${host}, port ${port}: ${wordsOf(error)}`
    return failed(
      why,
      `See by "npx golden status" that the VM serves, and that the router forwards TCP ${port} to ${service}. ${advice}`.trim(),
    )
  }
}
