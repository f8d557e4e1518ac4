/** `golden setup`: the administrator's one-time part on the Proxmox host, done or printed. */
import { X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { connect as tlsConnect } from 'node:tls'
import { connect, type Login, type Proxmox, type Token } from '../proxmox/client.ts'
import { Failure } from '../proxmox/failure.ts'
import { applySetup, observeSetup, planSetup, type SetupStep, type SetupWanted } from '../proxmox/setup.ts'
import { depotVmName, type Site } from '../stacks/site.ts'
import { openSite, pinnedCa } from './open.ts'
import { writeSecret } from './secrets/files.ts'
import type { Verb, VerbContext } from './verb.ts'

export const verb: Verb = {
  summary: 'prepare the Proxmox host once: role, token, pools, ISO storage, depots (or --print the commands)',
  options: {
    print: { type: 'boolean' },
    admin: { type: 'string' },
    fingerprint: { type: 'string' },
    'new-token': { type: 'boolean' },
    'enable-datacenter-firewall': { type: 'boolean' }
  },
  optionHelp: {
    print: 'print the commands for the node\'s own shell instead; needs no login',
    admin: 'administrator for this one run: user@realm (password from a prompt or PROXMOX_ADMIN_PASSWORD), or a token\'s id user@realm!name (secret from PROXMOX_ADMIN_TOKEN); default root@pam',
    fingerprint: 'SHA-256 fingerprint that the host\'s certificate must have, for runs without a terminal',
    'new-token': 'replace the token, whose secret then changes',
    'enable-datacenter-firewall': 'turn Proxmox\'s datacenter firewall on, management access first; VM rules do nothing without it'
  },
  async run(context) {
    const { site, folder } = await openSite(context.env)
    const hasSecret = site.proxmox.token.kind !== 'file' || existsSync(resolve(folder, site.proxmox.token.path))
    const wanted = wantedSetup(site, { enableFirewall: context.flags['enable-datacenter-firewall'] === true, replaceToken: false })
    if (context.flags['print'] === true) {
      const plan = planSetup(wanted, nothing(site))
      context.result(printable(plan.steps), { commands: plan.steps.map((step) => step.command) })
      return 0
    }
    await trust(site, folder, context)
    const caFile = pinnedCa(site, folder)
    const admin = connect({ url: site.proxmox.url, auth: await administrator(context), ...(caFile ? { caPem: await readFile(caFile, 'utf8') } : {}) })
    try {
      return await setup(admin, { ...wanted, replaceToken: context.flags['new-token'] === true || !hasSecret }, site, folder, context)
    } finally {
      admin.close()
    }
  }
}

export function wantedSetup(site: Site, choices: { enableFirewall: boolean; replaceToken: boolean }): SetupWanted {
  const { proxmox } = site
  return {
    node: proxmox.node,
    pool: proxmox.pool,
    depotPool: proxmox.depotPool,
    disks: proxmox.storage.disks,
    iso: proxmox.storage.iso,
    isoPath: proxmox.storage.isoPath,
    bridge: proxmox.bridge,
    tokenId: proxmox.tokenId,
    depots: Object.entries(site.groups).map(([name, group]) => ({ vmid: group.depot, name: depotVmName(site, name) })),
    management: site.network.admin,
    ...choices
  }
}

async function setup(admin: Proxmox, wanted: SetupWanted, site: Site, folder: string, { progress, result }: VerbContext): Promise<number> {
  const observed = await progress.step('read what is there', () => observeSetup(admin, wanted))
  const plan = planSetup(wanted, observed)
  const [problem] = plan.problems
  if (problem !== undefined) {
    // Nothing is done while anything is wrong: a half-prepared host helps nobody.
    for (const other of plan.problems.slice(1)) progress.warn(`${other.message}. ${other.hint}`)
    throw new Failure(problem.code, problem.message, problem.hint)
  }
  let tokenFile: string | undefined
  if (plan.steps.length > 0) {
    await progress.step('prepare the host', async (note) => {
      await applySetup(admin, plan, (step) => { note(step.title); progress.info(step.title) }, async (secret) => { tokenFile = await keepToken(site, folder, secret) })
    })
  }
  const firewall = wanted.enableFirewall || observed.firewall.enabled
  if (!firewall) progress.warn('the datacenter firewall of this Proxmox is off, so the VMs\' rules in Proxmox are not in force; the guests\' own firewalls are. "golden setup --enable-datacenter-firewall" turns it on, management access first.')
  const text = plan.steps.length === 0 ? 'Nothing to do: the host is prepared.' : `Done: ${plan.steps.length} steps.${tokenFile === undefined ? '' : ` The token's secret is in ${tokenFile}.`}\nNext: "npx golden lock", then "npx golden bake".`
  result(text, { steps: plan.steps.map((step) => step.title), tokenFile, datacenterFirewall: firewall })
  return 0
}

/** Keeps the secret where the site expects it, or in a file beside it when the site reads it from elsewhere. */
async function keepToken(site: Site, folder: string, secret: string): Promise<string> {
  const file = resolve(folder, site.proxmox.token.kind === 'file' ? site.proxmox.token.path : 'secrets/proxmox-token.new')
  await writeSecret(file, `${secret}\n`)
  return file
}

async function administrator({ flags, env, progress }: VerbContext): Promise<Login | Token> {
  const username = typeof flags['admin'] === 'string' ? flags['admin'] : 'root@pam'
  if (username.includes('!')) {
    const secret = env['PROXMOX_ADMIN_TOKEN']
    if (!secret) throw new Failure('admin-secret-missing', `the secret of ${username} is not given`, 'Set PROXMOX_ADMIN_TOKEN for this one command.')
    return { id: username, secret }
  }
  const fromEnv = env['PROXMOX_ADMIN_PASSWORD']
  if (fromEnv) return { username, password: fromEnv }
  if (!process.stdin.isTTY) throw new Failure('admin-secret-missing', `there is no terminal to ask for the password of ${username}`, 'Set PROXMOX_ADMIN_PASSWORD for this one command, or use "golden setup --print".')
  progress.info(`Password of ${username} (used for this run only, never stored):`)
  return { username, password: await askHidden() }
}

async function askHidden(): Promise<string> {
  const { stdin } = process
  stdin.setRawMode(true)
  try {
    let typed = ''
    for await (const chunk of stdin) {
      for (const char of String(chunk)) {
        if (char === '\r' || char === '\n') return typed
        if (char === '\u0003') throw new Failure('cancelled', 'stopped by you', 'Run the same command again.')
        typed = char === '\u007f' ? typed.slice(0, -1) : typed + char
      }
    }
    return typed
  } finally {
    stdin.setRawMode(false)
    stdin.pause()
  }
}

/** First contact: shows the certificate's fingerprint, and pins it once somebody has agreed to it. */
async function trust(site: Site, folder: string, { flags, progress }: VerbContext): Promise<void> {
  if (pinnedCa(site, folder) !== undefined) return
  const { certificate, trusted } = await presented(site.proxmox.url)
  if (trusted) return
  const fingerprint = new X509Certificate(certificate).fingerprint256
  const given = typeof flags['fingerprint'] === 'string' ? flags['fingerprint'].toUpperCase() : undefined
  if (given !== undefined && given.replace(/:/g, '') !== fingerprint.replace(/:/g, '')) {
    throw new Failure('fingerprint-differs', `the certificate of ${site.proxmox.url} has SHA-256 fingerprint ${fingerprint}, not the one given`, 'Compare with the node: Proxmox, node, System, Certificates.')
  }
  if (given === undefined) {
    progress.info(`The certificate of ${site.proxmox.url} has this SHA-256 fingerprint:\n  ${fingerprint}\nCompare it with the node: Proxmox, node, System, Certificates.`)
    if (!process.stdin.isTTY) throw new Failure('fingerprint-not-confirmed', 'nobody is here to confirm it', `Run "golden setup --fingerprint ${fingerprint}" once you have compared it.`)
    const lines = createInterface({ input: process.stdin, output: process.stderr })
    const answer = await lines.question('Is it the same? Type yes: ')
    lines.close()
    if (answer.trim().toLowerCase() !== 'yes') throw new Failure('fingerprint-not-confirmed', 'the certificate was not confirmed', 'Nothing was changed.')
  }
  await writeSecret(resolve(folder, site.proxmox.caFile), certificate)
}

async function presented(url: string): Promise<{ certificate: string; trusted: boolean }> {
  const { hostname, port } = new URL(url)
  const { promise, resolve: done, reject } = Promise.withResolvers<{ certificate: string; trusted: boolean }>()
  // Only looks at the certificate; nothing is sent over this connection.
  const socket = tlsConnect({ host: hostname, port: Number(port || 443), servername: /^[0-9.]+$/.test(hostname) ? '' : hostname, rejectUnauthorized: false, timeout: 15_000 }, () => {
    const chain: Buffer[] = []
    for (let peer = socket.getPeerCertificate(true); peer.raw && !chain.some((raw) => raw.equals(peer.raw)); peer = peer.issuerCertificate ?? peer) chain.push(peer.raw)
    const pem = chain.map((raw) => new X509Certificate(raw).toString()).join('')
    done({ certificate: pem, trusted: socket.authorized })
    socket.end()
  })
  const fail = (cause: Error): void => reject(new Failure('proxmox-unreachable', `Proxmox does not answer at ${url}: ${cause.message}`, 'Check proxmox.url in site.ts, the network, and that the host is up.', { cause }))
  socket.on('error', fail)
  socket.on('timeout', () => socket.destroy(new Error('no answer in time')))
  return promise
}

/** What --print plans against: a host on which only the disk storage is there. */
function nothing(site: Site): Parameters<typeof planSetup>[1] {
  return { roles: [], users: [], tokens: [], acl: [], pools: [], storages: [{ storage: site.proxmox.storage.disks, type: 'any', content: 'images' }], vms: [], protectedVms: new Set(), firewall: { enabled: false, rules: [] } }
}

function printable(steps: readonly SetupStep[]): string {
  return ['# Run these as root on the Proxmox node. The token\'s secret is shown once: put it where proxmox.token of your site.ts points.', ...steps.map((step) => step.command)].join('\n')
}

