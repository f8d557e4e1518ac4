/**
 * Runs in a network namespace of its own (see acme-pebble.test.ts): real lego against a real Pebble, which comes to a real
 * nginx with a slot's configuration. Arguments: a file with the order, and one for what came back.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { Agent, get } from 'node:https'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { connect } from 'node:tls'
import type { Seed } from '../../images/contract/seed.ts'
import { acme } from '../../images/guest/acme.ts'
import { readAcmeState } from '../../images/guest/acme-state.ts'
import { certificateStatus, certificateWarnings } from '../../images/guest/certificate-status.ts'
import { peerPair, showStored, storedPair } from '../../images/guest/certificate.ts'
import { keepCertificate, newKeeping } from '../../images/guest/keep-certificate.ts'
import { thisMachine, type Ran } from '../../images/guest/machine.ts'
import { acmeSettings, acmeWebroot, legoFolder, owner, tlsFolder } from '../../images/guest/places.ts'
import { renderFiles } from '../../images/guest/render.ts'
import { acmeImage, acmeSlot, type AcmeSlot } from './acme-rig.ts'
import { startDns, type Zone } from './dns-stub.ts'

export interface Order {
  readonly folder: string
  readonly lego: string
  readonly pebble: string
  /** Starts nginx with what is in the first slot. */
  readonly nginx: readonly string[]
  /** By name, with everything but certificates as the rollout makes it. */
  readonly seeds: Readonly<Record<'http' | 'green' | 'hook' | 'update' | 'blocked', Seed>>
  readonly contents: Readonly<Record<string, string>>
  /** CA of Pebble's own certificate, and that. */
  readonly pebbleTls: { readonly ca: string; readonly certificate: string; readonly key: string }
}

const [, , orderFile = '', answersFile = ''] = process.argv
const order = JSON.parse(readFileSync(orderFile, 'utf8')) as Order
const { host } = order.seeds.http.public
const [blueAddress, greenAddress] = [order.seeds.http.address, order.seeds.green.address]

execFileSync('ip', ['link', 'set', 'lo', 'up'])
for (const address of [order.seeds.http.service, blueAddress, greenAddress, '10.77.0.99'])
  execFileSync('ip', ['address', 'add', `${address}/32`, 'dev', 'lo'])
writeFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', '53')

const children: ChildProcess[] = []
function start(program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): ChildProcess {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', program, ...args], { stdio: ['ignore', 'ignore', 'inherit'], env })
  children.push(child)
  return child
}

async function until(what: string, is: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 30_000; !(await is().catch(() => false)); await pause(50))
    if (performance.now() > end) throw new Error(`in vain: ${what}`)
}

const zone: Zone = { apex: 'example.org', addresses: { [host]: order.seeds.http.service }, texts: {}, updates: [] }
const dnsFile = join(order.folder, 'record')
await startDns(zone, '127.0.0.1')

const pebbleFiles = Object.fromEntries(
  (['certificate', 'key', 'ca'] as const).map((name) => {
    const file = join(order.folder, `pebble-${name}.pem`)
    writeFileSync(file, order.pebbleTls[name])
    return [name, file] as const
  }),
)
writeFileSync(
  join(order.folder, 'pebble.json'),
  JSON.stringify({
    pebble: {
      listenAddress: '127.0.0.1:14000',
      managementListenAddress: '127.0.0.1:15000',
      certificate: pebbleFiles.certificate,
      privateKey: pebbleFiles.key,
      httpPort: 80,
      tlsPort: 5001,
      externalAccountBindingRequired: false,
      domainBlocklist: ['blocked.example.org'],
      retryAfter: { authz: 1, order: 1 },
      keyAlgorithm: 'ecdsa',
      profiles: {
        default: { description: 'usual', validityPeriod: 7_776_000 },
        shortlived: { description: 'short', validityPeriod: 518_400 },
      },
    },
  }),
)
const pebbleEnv = { ...process.env, PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0', PEBBLE_AUTHZREUSE: '0' }
const pebble = start(order.pebble, ['-config', join(order.folder, 'pebble.json'), '-dnsserver', '127.0.0.1:53'], pebbleEnv)

interface Web {
  readonly status: number
  readonly body: string
}
function manage(path: string, method = 'GET', body?: string): Promise<Web> {
  return thisMachine.ask({
    to: { host: '127.0.0.1', port: 15_000 },
    tls: {},
    path,
    // Pebble insists on one.
    headers: { 'user-agent': 'test' },
    method,
    timeoutMs: 5000,
    ...(body === undefined ? {} : { body }),
  })
}
await until('Pebble answers', async () => (await manage('/roots/0')).status === 200)
const root = (await manage('/roots/0')).body

/** A slot, with what a boot renders in it, and real lego as golden-compose would run it. */
function slotOf(name: keyof Order['seeds'], disk?: string): AcmeSlot {
  const seed = order.seeds[name]
  const slot = acmeSlot(join(order.folder, name), disk, seed)
  slot.now = Date.now()
  for (const file of renderFiles(seed, acmeImage, order.contents)) {
    if (!/^\/run\/golden\/(nginx|acme|auth)\//.test(file.path)) continue
    const path = slot.at(file.path)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, file.content, { mode: file.mode ?? 0o644 })
    chownSync(path, file.owner ?? 0, file.owner ?? 0)
  }
  chownSync(slot.at(acmeSettings), owner.acme, owner.acme)
  const files = { ...slot.machine.files, chown: (path: string, uid: number, gid: number) => chownSync(slot.at(path), uid, gid) }
  const inside = (text: string): string =>
    text
      .replaceAll('/etc/golden/acme', slot.at(acmeSettings))
      .replaceAll('/opt/golden/acme', order.folder)
      .replaceAll('/var/lib/lego', slot.at(legoFolder))
      .replaceAll('/var/lib/webroot', slot.at(acmeWebroot))
  for (const file of ['lego.yaml', 'environment']) {
    const text = slot.read(`${acmeSettings}/${file}`)
    if (text !== undefined) writeFileSync(slot.at(`${acmeSettings}/${file}`), inside(text))
  }
  slot.lego = async (): Promise<Ran> => {
    slot.now = Date.now()
    return thisMachine.run(
      'setpriv',
      [
        ...['--reuid', '9905', '--regid', '9905', '--clear-groups', '--bounding-set=-all', '--no-new-privs'],
        ...[order.lego, `--config=${slot.at(acmeSettings)}/lego.yaml`],
      ],
      { env: { LEGO_CA_CERTIFICATES: pebbleFiles.ca!, LEGO_CA_SYSTEM_CERT_POOL: 'true', HOME: '/tmp' }, timeoutMs: 120_000 },
    )
  }
  const run: typeof slot.machine.run = (program, args, options) =>
    program === 'cat' ? thisMachine.run('cat', args.map(slot.at), options) : slot.machine.run(program, args, options)
  return { ...slot, at: slot.at, machine: { ...slot.machine, files, run, ask: thisMachine.ask } }
}

const blue = slotOf('http')
start(order.nginx[0]!, order.nginx.slice(1))
await until(
  'nginx answers',
  async () => (await thisMachine.ask({ to: { host: '127.0.0.1', port: 8099 }, path: '/health', timeoutMs: 500 })).status === 200,
)

/** What a new client sees. @param name empty: none, as with an address */
function handshake(name = host): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: 443, rejectUnauthorized: false, ...(name === '' ? {} : { servername: name }) })
    socket.once('error', reject)
    socket.once('secureConnect', () => {
      const certificate = socket.getPeerX509Certificate()
      socket.destroy()
      if (certificate === undefined) reject(new Error('no certificate'))
      else resolve(certificate)
    })
  })
}

/** By whoever trusts Pebble alone. */
const trusted = (agent: Agent | false): Promise<number> =>
  new Promise((resolve, reject) => {
    get(
      { host: '127.0.0.1', port: 443, path: '/nowhere', servername: host, headers: { host }, ca: root, agent, timeout: 5000 },
      (response) => {
        response.resume()
        response.on('end', () => resolve(response.statusCode ?? 0))
      },
    ).on('error', reject)
  })

/** Clients that come again and again, each on its own connection or on a new one, until they are stopped. */
function traffic(): { stop(): Promise<{ answers: number; failed: string[] }> } {
  let stopped = false
  const failed: string[] = []
  let answers = 0
  const client = async (agent: Agent | false): Promise<void> => {
    while (!stopped) {
      await trusted(agent).then(
        (status) => (status === 404 ? answers++ : failed.push(String(status))),
        (error: NodeJS.ErrnoException) => failed.push(error.code ?? error.message),
      )
      await pause(agent === false ? 100 : 60)
    }
    if (agent) agent.destroy()
  }
  const clients = [false as const, new Agent({ keepAlive: true, maxSockets: 1 }), new Agent({ keepAlive: true, maxSockets: 1 })].map(client)
  return {
    async stop() {
      stopped = true
      await Promise.all(clients)
      return { answers, failed }
    },
  }
}

function plain(path: string): Promise<Web> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port: 80, path, headers: { host } }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (part: string) => (body += part))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
    })
      .on('error', reject)
      .end()
  })
}

const outcomeOf = (asked: Promise<unknown>): Promise<unknown> => asked.catch((error: NodeJS.ErrnoException) => error.code ?? error.message)

const leafOf = (pem: string | undefined): X509Certificate | undefined => (pem === undefined ? undefined : new X509Certificate(pem))

try {
  const before = await handshake()
  // Issue.
  await acme(blue.machine)
  const first = await handshake()
  const issued = {
    said: [...blue.said],
    complained: [...blue.complained],
    by: first.issuer,
    signed: await outcomeOf(trusted(false)),
    withoutName: (await handshake('')).fingerprint256 === before.fingerprint256,
    state: readAcmeState(blue.machine.files),
    folders: execFileSync('find', [blue.at('/srv/golden/acme'), '-printf', '%y %m %U %P\n'], { encoding: 'utf8' })
      .trim()
      .split('\n'),
    copy: execFileSync('readlink', [join(blue.at(legoFolder), '.lego.bck.yaml')], { encoding: 'utf8' }).trim(),
  }
  // Not yet time: the server is asked, and gives none.
  await acme(blue.machine)
  const same = (await handshake()).fingerprint256 === first.fingerprint256
  // Nothing but what lego puts there is to be had from its folder.
  const folder = join(blue.at(acmeWebroot), '.well-known/acme-challenge')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'token'), 'answer')
  symlinkSync('/etc/golden/nginx/tls/public.key', join(folder, 'link'))
  symlinkSync('/etc/golden/nginx/tls', join(blue.at(acmeWebroot), '.well-known/acme-challenge/folder'))
  const challenge = {
    token: await plain('/.well-known/acme-challenge/token'),
    link: (await plain('/.well-known/acme-challenge/link')).status,
    through: (await plain('/.well-known/acme-challenge/folder/public.key')).status,
    missing: (await plain('/.well-known/acme-challenge/other')).status,
    beside: (await plain('/.well-known/other')).status,
  }
  // Renew, under the hands of clients, and by one that was idle meanwhile.
  const idle = new Agent({ keepAlive: true, maxSockets: 1 })
  await trusted(idle)
  const clients = traffic()
  const pem = storedPair(blue.machine.files)!.certificate.split(/(?<=-----END CERTIFICATE-----\n)/)[0]!
  const window = { suggestedWindow: { start: '2020-01-01T00:00:00Z', end: '2020-01-02T00:00:00Z' } }
  const ordered = await manage('/set-renewal-info/', 'POST', JSON.stringify({ Certificate: pem, ARIResponse: JSON.stringify(window) }))
  await acme(blue.machine)
  const second = await handshake()
  const renewed = {
    ordered: [ordered.status, ordered.body],
    other:
      second.serialNumber !== first.serialNumber &&
      second.publicKey.export({ type: 'spki', format: 'pem' }) !== first.publicKey.export({ type: 'spki', format: 'pem' }),
    by: second.issuer === first.issuer,
    idle: await outcomeOf(trusted(idle)),
    traffic: await clients.stop(),
  }
  idle.destroy()
  // The peer slot, and nobody else.
  const green = slotOf('green', join(order.folder, 'http', 'disk'))
  green.mounted = false
  const ask = (from: string, machine = green.machine): Promise<unknown> =>
    outcomeOf(
      peerPair({ ...machine, ask: (question) => machine.ask({ ...question, from }) }, green.seed).then((pair) =>
        pair === undefined ? 'none' : 'pair',
      ),
    )
  const noIdentity = {
    ...green.machine,
    ask: (question: Parameters<typeof green.machine.ask>[0]) => thisMachine.ask({ ...question, tls: { name: 'golden-peer' } }),
  }
  const peer = {
    strangers: await ask('10.77.0.99'),
    withoutKey: await ask(greenAddress, noIdentity),
    publicly: (
      await thisMachine.ask({
        to: { host: '127.0.0.1', port: 443 },
        tls: { name: host },
        path: '/golden/certificate',
        headers: { host },
        timeoutMs: 5000,
      })
    ).status,
  }
  await keepCertificate(green.machine, { seed: green.seed, image: acmeImage }, newKeeping())
  const shownAt = (slot: AcmeSlot): string =>
    new X509Certificate(slot.read(`${tlsFolder}/${slot.read(`${tlsFolder}/current`)?.trim()}.pem`) ?? '').serialNumber
  const standby = { shown: shownAt(green) === second.serialNumber, complained: green.complained }
  // A rollout: a VM that knows nothing gets the disk.
  const next = slotOf('green', join(order.folder, 'http', 'disk'))
  const handedOver = { new: showStored(next.machine, next.seed), shown: shownAt(next) === second.serialNumber }
  // DNS-01, by a hook and by dynamic updates.
  const hook = slotOf('hook')
  const watcher = setInterval(() => {
    try {
      for (const line of readFileSync(dnsFile, 'utf8').split('\n')) {
        const [verb, name = '', value = ''] = line.split(' ')
        const at = name.replace(/\.$/, '').toLowerCase()
        if (verb === 'present' && zone.texts[at]?.includes(value) !== true) zone.texts[at] = [...(zone.texts[at] ?? []), value]
      }
    } catch {
      // Not written yet.
    }
  }, 20)
  await acme(hook.machine)
  clearInterval(watcher)
  zone.texts[`_acme-challenge.${host}`] = []
  const update = slotOf('update')
  await acme(update.machine)
  const dns = {
    hook: { shown: hook.read(`${tlsFolder}/current`) !== undefined, complained: hook.complained, record: readFileSync(dnsFile, 'utf8') },
    update: { shown: update.read(`${tlsFolder}/current`) !== undefined, complained: update.complained, updates: zone.updates },
    profile: leafOf(storedPair(update.machine.files)?.certificate)?.validToDate.getTime(),
  }
  // What the server refuses, and a server that is away.
  const blocked = slotOf('blocked')
  await acme(blocked.machine)
  pebble.kill('SIGKILL')
  await once(pebble, 'exit')
  await acme(blue.machine)
  const state = readAcmeState(blue.machine.files)
  const status = certificateStatus(blue.machine.files, blue.seed, true)
  const refused = {
    blocked: readAcmeState(blocked.machine.files)?.lastError,
    away: { error: state?.lastError, waits: state === undefined ? 0 : state.nextTry - state.lastTry, complained: blue.complained },
    still: (await handshake()).serialNumber === second.serialNumber,
    status,
    warnings: status && [0, 75].map((days) => certificateWarnings(status, new Date(Date.now() + days * 86_400_000)).length),
  }
  writeFileSync(
    answersFile,
    JSON.stringify({ before: before.issuer, issued, same, challenge, renewed, peer, standby, handedOver, dns, refused }),
  )
} catch (error) {
  // What lego has said is mostly why.
  console.error([...blue.said, ...blue.complained].join('\n'))
  throw error
} finally {
  for (const child of children) child.kill('SIGKILL')
}
process.exit()
