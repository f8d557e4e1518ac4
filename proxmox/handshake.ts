/** What a Proxmox host shows of itself before anything is said to it: its certificate. */
import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as tlsConnect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { Failure } from '../core/failure.ts'
import { orStopped } from '../core/or-stopped.ts'
import { hostOf } from '../core/proxy.ts'
import { identityProblem } from './identity.ts'

export interface Presented {
  /** Its own certificate first. */
  readonly chain: readonly [X509Certificate, ...X509Certificate[]]
  /** By the system's CAs. */
  readonly trusted: boolean
  /** This computer's address in that connection. */
  readonly from: string
}

const secureTo = (url: string): ConnectionOptions => {
  const host = hostOf(url)
  return { host, port: Number(new URL(url).port || 443), servername: isIP(host) === 0 ? host : '', timeout: 15_000 }
}

const unreachable = (url: string, cause: Error): Failure =>
  new Failure(
    'proxmox-unreachable',
    `Proxmox does not answer at ${url}: ${cause.message}`,
    'Check the address (proxmox.url in site.ts), the network, and that the host is up.',
    { cause },
  )

/** Nothing is sent over this connection. @param seen what is to be known of it, once TLS stands @throws Failure `proxmox-unreachable` */
async function shakeHands<T>(url: string, options: ConnectionOptions, signal: AbortSignal, seen: (socket: TLSSocket) => T): Promise<T> {
  const { promise, resolve: done, reject } = Promise.withResolvers<T>()
  // Not rejected by the connection itself, so that each error of it is one of the line.
  const socket = tlsConnect({ ...secureTo(url), ...options, rejectUnauthorized: false }, () => {
    try {
      done(seen(socket))
    } catch (error) {
      reject(error)
    }
    socket.end()
  })
  socket.on('error', (cause) => reject(unreachable(url, cause)))
  socket.on('timeout', () => socket.destroy(new Error('no answer in time')))
  try {
    return await orStopped(promise, signal)
  } finally {
    if (signal.aborted) socket.destroy()
  }
}

/** @throws Failure `proxmox-unreachable` */
export const presentedBy = (url: string, signal: AbortSignal): Promise<Presented> =>
  shakeHands(url, {}, signal, (socket) => {
    const chain: Buffer[] = []
    for (
      let peer = socket.getPeerCertificate(true);
      peer.raw && !chain.some((raw) => raw.equals(peer.raw));
      peer = peer.issuerCertificate ?? peer
    )
      chain.push(peer.raw)
    const [first, ...rest] = chain.map((raw) => new X509Certificate(raw))
    if (first === undefined) throw new Failure('proxmox-unreachable', `${url} presents no certificate`, 'Check proxmox.url in site.ts.')
    return { chain: [first, ...rest], trusted: socket.authorized, from: socket.localAddress ?? '' }
  })

const verifyTries = 3
const verifyPauseMs = 500

/**
 * Whether the host's certificate is verified by these alone: for its name, now. A connection that breaks says nothing of
 * that, and a pin may hang on the answer.
 * @throws Failure `proxmox-unreachable`
 */
export async function verifiedBy(url: string, pem: string, signal: AbortSignal): Promise<boolean> {
  for (let tries = 1; ; tries++) {
    try {
      return await verifiedOnce(url, pem, signal)
    } catch (error) {
      if (!(error instanceof Failure) || tries === verifyTries) throw error
      await orStopped(delay(verifyPauseMs), signal)
    }
  }
}

const verifiedOnce = (url: string, pem: string, signal: AbortSignal): Promise<boolean> =>
  shakeHands(
    url,
    {
      ca: pem,
      allowPartialTrustChain: true,
      checkServerIdentity: (_host, certificate) => identityProblem(url, new X509Certificate(certificate.raw)),
    },
    signal,
    (socket) => socket.authorized,
  )
