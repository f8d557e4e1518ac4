/**
 * Certificates that clients trust: of an ACME server in the lab's LAN, through two rollouts and a renewal, under the hands of
 * clients that trust that server alone.
 */
import { copyFile, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { checkClient, getsIn } from '../clients/check.ts'
import { accessOf } from '../clients/deployed.ts'
import type { SocksProxy } from '../core/socks.ts'
import { owner } from '../images/guest/places.ts'
import { readPins } from '../releases/pins.ts'
import { trustOf } from '../clients/look-at-certificate.ts'
import { renderSteps } from '../scripts/check-client.ts'
import { acme } from '../settings/acme.ts'
import { askAcmeServer, type AcmeEndpoint } from './acme-server.ts'
import { eventually, expectEqual, expectThat, type Checks } from './checks.ts'
import { editSite } from './edit-site.ts'
import { endLoad, startLoad } from './load.ts'
import { move } from './move.ts'
import { expected, inTurn } from './parts.ts'
import { guestAt, sceneOf, type RolloutsPlace, type Scene } from './scene.ts'
import { inGuest, slotctl } from './survive.ts'
import { requestTimeoutMs } from './traffic/client.ts'
import { expectNoFailure } from './traffic/summary.ts'

export interface CertificatesPlace extends RolloutsPlace {
  readonly acme: AcmeEndpoint
  /** Into the LAN. */
  readonly proxy: SocksProxy
}

/** In the site folder. */
const [serverCa, root, both] = ['acme-ca.pem', 'acme-root.pem', 'acme-and-own.pem']

/** @returns whether the site's certificate is the ACME server's now */
export async function checkCertificates(checks: Checks, place: CertificatesPlace): Promise<boolean> {
  const { deployMs, leftMs } = place
  let isSo = false
  const run = async (): Promise<boolean> => (isSo = await throughTwoRollouts(checks, place))
  await inTurn(
    checks,
    [
      {
        name: 'two VMs: a certificate of an ACME server (Pebble), through two rollouts, a renewal and an outage, under load',
        expectedMs: 2 * expected.rollout(deployMs),
        run,
      },
    ],
    leftMs,
    expected.destroy(deployMs),
  )
  return isSo
}

async function throughTwoRollouts(checks: Checks, place: CertificatesPlace): Promise<boolean> {
  const { access, proxy } = place
  const { folder } = access
  const own = await sceneOf(checks, place, 'two VMs')
  const rootPem = await askAcmeServer(place.acme, proxy, '/roots/0')
  await writeFile(join(folder, root), rootPem)
  await writeFile(join(folder, both), own.target.caPem + rootPem)
  await copyFile(place.acme.caFile, join(folder, serverCa))
  // Until the first certificate is there clients see the one by the site's own CA.
  const before = trusting(own, both, own.target.caPem + rootPem)
  const after = trusting(own, root, rootPem)
  return (await issued(before, after, place)) && (await kept(after, place))
}

/** The same place for clients that trust somebody else. */
const trusting = (scene: Scene, caFile: string, caPem: string): Scene => ({
  ...scene,
  access: { ...scene.access, caPem },
  target: { ...scene.target, caPem, caFile: join(scene.access.folder, caFile) },
})

/** With slot blue at work: green is the first to ask the ACME server. */
async function issued(before: Scene, after: Scene, place: CertificatesPlace): Promise<boolean> {
  const { checks, serena, signal } = before
  const { access, golden } = place
  try {
    const named = await checks.check('two VMs: public.certificate: acme({…}): golden status names it', async () => {
      await editSite(access.folder, (site) => ({
        ...site,
        public: { ...site.public, certificate: acme({ server: place.acme.directory, caFile: serverCa, rootFile: root }) },
        rollout: { ...site.rollout, soakMinutes: 0, old: 'running' },
      }))
      const told = ((await golden('status')).groups[serena].differences as string[]).join('; ')
      expectThat(told.includes('public.certificate: nothing → acme of'), `status says: ${told || 'nothing'}`)
    })
    if (!named || !(await startLoad(before)) || !(await move(before, 'rollout', serena, 'green'))) return false
    return await checks.check('two VMs: the slot has a certificate of the ACME server, and golden status says until when', async () => {
      await eventually(async () => expectThat((await shown(after)).issuer.includes('Pebble'), await why(after, 'green')), {
        timeoutMs: 1_800_000,
        everyMs: 5000,
        signal,
      })
      const { certificates } = (await golden('status')).groups[serena]
      expectThat(
        (certificates as { name: string }[]).some(({ name }) => name.includes('Pebble')),
        `status has ${JSON.stringify(certificates)}`,
      )
    })
  } finally {
    await endLoad(before)
  }
}

/** Through a renewal, the next rollout and an outage, with slot green at work. */
async function kept(scene: Scene, place: CertificatesPlace): Promise<boolean> {
  const { checks, serena, access } = scene
  try {
    if (!(await enters(scene, place)) || !(await startLoad(scene)) || !(await renewed(scene, place))) return false
    await editSite(access.folder, (site) => ({ ...site, serena: { ...site.serena, parking: { ...site.serena.parking, calls: 199 } } }))
    if (!(await move(scene, 'rollout', serena, 'blue'))) return false
    const known = await checks.check('two VMs: the new slot had the certificate before it got the data', async () => {
      const log = await inGuest(guestAt(scene, serena, 'blue'), 'journalctl --boot --unit golden-watch.service --output=cat')
      expectThat(log.includes('the certificate of the peer slot is shown here'), 'golden-watch does not say so')
    })
    return (await away(scene)) && known
  } finally {
    await endLoad(scene)
  }
}

/** What a new client sees, whoever it trusts. */
async function shown({ target: { url } }: Scene): Promise<{ issuer: string; serial: string; pem: string }> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: hostname,
      port: Number(port),
      rejectUnauthorized: false,
      ...(isIP(hostname) === 0 ? { servername: hostname } : {}),
    })
    socket.once('error', reject)
    socket.once('secureConnect', () => {
      const certificate = socket.getPeerX509Certificate()
      socket.destroy()
      resolve({ issuer: certificate?.issuer ?? '', serial: certificate?.serialNumber ?? '', pem: certificate?.toString() ?? '' })
    })
  })
}

const why = async (scene: Scene, slot: 'blue' | 'green'): Promise<string> =>
  `the slot says ${JSON.stringify((await slotctl(guestAt(scene, scene.serena, slot), 'status')).certificate)}`

const enters = ({ checks, target }: Scene, { site, access }: CertificatesPlace): Promise<boolean> =>
  checks.check('two VMs: golden client --check goes all the way in, by the CA that public.certificate names', async (note) => {
    const found = accessOf(site, await readPins(access.folder))
    const trust = await trustOf(access.folder, found)
    expectEqual('trusts', trust.by, 'root')
    const { user, password } = target
    const steps = await checkClient(
      { access: found, trust, user, password },
      { timeoutMs: requestTimeoutMs, onStep: ({ name }) => note(name) },
    )
    expectThat(getsIn(steps), renderSteps(steps))
  })

function renewed(scene: Scene, { acme: endpoint, proxy }: CertificatesPlace): Promise<boolean> {
  const { checks, load, serena } = scene
  return checks.check('two VMs: the certificate is renewed when the server says so: not one call fails', async () => {
    const before = await shown(scene)
    const ARIResponse = JSON.stringify({ suggestedWindow: { start: '2020-01-01T00:00:00Z', end: '2020-01-02T00:00:00Z' } })
    await askAcmeServer(endpoint, proxy, '/set-renewal-info/', { Certificate: before.pem, ARIResponse })
    const { certificate } = await slotctl(guestAt(scene, serena, 'green'), 'certificate')
    expectEqual('what went wrong', certificate.lastError, undefined)
    const now = await shown(scene)
    expectThat(now.serial !== before.serial && now.issuer.includes('Pebble'), 'clients see the same certificate as before')
    await load?.traffic.round()
    expectNoFailure(load?.traffic.record.calls ?? [])
  })
}

function away(scene: Scene): Promise<boolean> {
  const { checks, serena } = scene
  const guest = guestAt(scene, serena, 'blue')
  return checks.check(
    'two VMs: with the ACME server out of reach the certificate stays, and status and journal say why there is no other',
    async () => {
      const before = await shown(scene)
      await inGuest(guest, `nft insert rule inet golden output meta skuid ${owner.acme} drop`)
      try {
        const { certificate } = await slotctl(guest, 'certificate')
        expectThat(typeof certificate.lastError === 'string', `it says ${JSON.stringify(certificate)}`)
        const log = await inGuest(guest, 'journalctl --boot --unit golden-acme.service --output=cat')
        expectThat(log.includes('no certificate from the ACME server: '), 'the journal does not say so')
      } finally {
        await inGuest(guest, 'systemctl reload-or-restart golden-firewall.service')
      }
      expectEqual('shown', (await shown(scene)).serial, before.serial)
    },
  )
}
