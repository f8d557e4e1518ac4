/** `golden setup --remove` as an administrator meets it: what it refuses, what it says, what it leaves on this computer. */
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Failure } from '../../core/failure.ts'
import { silent } from '../../core/progress.ts'
import { emptyBase, labSite, writeLabSite } from '../../demo/lab-site.ts'
import { renderRecord } from '../../images/record.ts'
import { startLab, type Lab } from '../../lab/index.ts'
import { connect, type Proxmox } from '../../proxmox/client.ts'
import { newRelease, seedName, type GroupPins } from '../../releases/deployment.ts'
import { slotNotes } from '../../releases/slot-notes.ts'
import { givenKey, seedTag } from '../../releases/given.ts'
import { updatePins } from '../../releases/pins.ts'
import { withClaim } from '../../rollout/group-claim.ts'
import { verb } from '../../scripts/setup.ts'
import { loadSite } from '../../settings/load.ts'
import type { Site } from '../../settings/site.ts'
import { aBase, anImage } from '../images/any-image.ts'

let work: string
let lab: Lab
let root: Proxmox
let folder: string
let site: Site
beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'gl-'))
  lab = await startLab({ stateDir: join(work, 'lab'), driver: 'fake', authDelayMs: 10 })
  const [id = '', secret = ''] = lab.connection.rootToken.split(/=(.*)/s)
  root = connect({ url: lab.connection.apiUrl, caPem: await readFile(lab.connection.caFile, 'utf8'), auth: { id, secret } })
  folder = join(work, 'site')
  const base = await emptyBase(join(work, 'base.qcow2'))
  await writeLabSite(folder, labSite(lab.connection, { name: 'home', layout: 'two-vms', base, isoPath: join(work, 'iso') }), lab.connection)
  site = await loadSite(folder)
  expect(await setup()).toMatchObject({ code: 0 })
})
afterEach(async () => {
  root.close()
  await lab.close()
  await rm(work, { recursive: true, force: true })
})

interface Answer {
  readonly code: number
  readonly text: string
  readonly document: any
  readonly next: readonly string[]
}

async function setup(flags: Record<string, boolean | string> = {}): Promise<Answer> {
  let answer: Omit<Answer, 'code'> = { text: '', document: undefined, next: [] }
  const code = await verb.run({
    flags: { admin: 'admin@pve', ...flags },
    arguments: [],
    env: { GOLDEN_SITE: folder, PROXMOX_ADMIN_PASSWORD: lab.connection.admin.password },
    progress: silent,
    json: false,
    signal: new AbortController().signal,
    result: (text, document, next = []) => void (answer = { text, document, next: next.map(({ command }) => command) }),
  })
  return { code, ...answer }
}
const remove = (flags: Record<string, boolean | string> = {}): Promise<Answer> => setup({ remove: true, ...flags })
const refused = (flags: Record<string, boolean | string>): Promise<Failure> =>
  remove(flags).then(
    ({ text }) => Promise.reject(new Error(`it did not refuse: ${text}`)),
    (failure: unknown) => (failure instanceof Failure ? failure : Promise.reject(failure)),
  )

const tokenFile = (): string => join(folder, 'secrets/proxmox-token')
const pools = async (): Promise<string[]> => (await root.get<{ poolid: string }[]>('/pools')).map(({ poolid }) => poolid).sort()

it('shows what goes and what stays, asks, and takes the secret of the token along', async () => {
  const shown = await remove({ plan: true })
  expect(shown).toMatchObject({ code: 0, next: ['npx golden setup --remove'] })
  expect(shown.text).toMatch(/^remove depot home-serena-depot \(9010\)$[\s\S]*^remove user golden-home@pve$[\s\S]*^stays: the folder /m)
  expect(shown.document.plan.steps).toContainEqual({ title: 'remove pool home', command: 'pveum pool delete home' })
  // Nobody is here to say yes.
  expect(await refused({})).toMatchObject({ code: 'not-confirmed', hint: expect.stringContaining('--yes') })
  expect(await pools()).toEqual(['home', 'home-depots'])
  const done = await remove({ yes: true })
  expect(done).toMatchObject({ code: 0, next: ['npx golden setup'] })
  expect(done.text).toContain(`removed ${tokenFile()}`)
  expect(await pools()).toEqual([])
  expect({ token: existsSync(tokenFile()), ca: existsSync(join(folder, 'secrets/proxmox-ca.pem')) }).toEqual({ token: false, ca: true })
  expect(await remove({ yes: true })).toMatchObject({ code: 0, text: expect.stringMatching(/^Nothing to do/), document: { steps: [] } })
  // And all of it again.
  expect(await setup()).toMatchObject({ code: 0 })
  expect(existsSync(tokenFile())).toBe(true)
})

it.each(['print', 'new-token', 'enable-datacenter-firewall'])('does not go with --%s', async (flag) => {
  expect(await refused({ [flag]: true })).toMatchObject({ code: 'usage', message: expect.stringContaining(`--${flag}`) })
})

it('ends a secret that a run which was killed has left', async () => {
  const secret = await readFile(tokenFile(), 'utf8')
  await remove({ yes: true })
  await writeFile(tokenFile(), secret)
  expect((await remove({ yes: true })).document).toMatchObject({ steps: [], tokenFile: tokenFile() })
  expect(existsSync(tokenFile())).toBe(false)
})

it('refuses while anything of the site is there, and names all of it with what ends each, in that order', async () => {
  const image = anImage(9001, { record: { site: 'home' } })
  const base = aBase(9000, { record: { site: 'home' } })
  const release = newRelease(site, 'serena', 'blue', {
    id: '0123456789ab',
    created: new Date(),
    image: { vmid: 9001, name: image.name, fingerprint: image.record.fingerprint },
  })
  const make = async (vmid: number, form: Record<string, string | number>): Promise<void> =>
    root.task(await root.post('/nodes/pve/qemu', { vmid, pool: 'home', memory: 64, ...form }))
  await make(9011, { name: 'home-serena-blue', description: slotNotes('home', 'serena', 'blue', release) })
  for (const { vmid, name, record, tags } of [
    { ...image, tags: 'golden;golden-candidate' },
    { ...base, tags: 'golden-base' },
  ]) {
    await make(vmid, { name, description: renderRecord(record), tags })
    await root.post(`/nodes/pve/qemu/${vmid}/template`)
  }
  await make(9002, { name: 'golden-build-home-0123456789ab', description: 'Packer ephemeral build VM' })
  await root.put('/nodes/pve/qemu/9020/config', { scsi1: 'local-lvm:1' })
  const claim = {
    id: 'x',
    by: 'ann@desk',
    verb: 'rollout',
    since: root.now().toISOString(),
    until: new Date(root.now().getTime() + 300_000).toISOString(),
    process: { pid: 1, host: 'desk', started: 's' },
  }
  await root.put('/nodes/pve/qemu/9020/config', { description: withClaim('', claim) })
  const key = await givenKey(folder)
  const stray = seedName(9021, 'a'.repeat(12), seedTag(key, 'home', 9021, 'a'.repeat(12)))
  for (const filename of [stray, 'golden-build-home-0123456789ab.iso', 'somebodys.iso'])
    await root.upload({ node: 'pve', storage: 'home-iso', content: 'iso', filename, data: Buffer.alloc(2048) })
  const pins: GroupPins = { active: 'blue', dataDisk: 'made', slots: { blue: release } }
  await updatePins(folder, 'serena', () => pins)
  await updatePins(folder, 'wiki', () => ({ dataDisk: 'made', slots: {} }))

  const failure = await refused({ yes: true })
  expect(failure.code).toBe('setup-in-use')
  expect(failure.toErrors().map(({ code, message, hint }) => [code, message, hint])).toEqual([
    ['setup-in-use', 'group serena: VM 9011 (home-serena-blue)', 'Run "npx golden destroy serena".'],
    ['setup-in-use', 'group serena: its data', expect.stringContaining('"npx golden delete-data serena" after that')],
    ['group-claimed', expect.stringMatching(/^group logging: ann@desk \("golden rollout"/), expect.stringContaining('Wait')],
    [
      'setup-in-use',
      expect.stringMatching(/^group logging: its data \(local-lvm:vm-9020-disk-0\)$/),
      expect.stringContaining('delete-data logging"'),
    ],
    [
      'setup-in-use',
      'group wiki: its data',
      expect.stringMatching(/^Put group wiki back into site\.ts, then run "npx golden delete-data wiki"/),
    ],
    ['setup-in-use', `images and bases ${base.name} (9000), ${image.name} (9001)`, 'Run "npx golden prune --all".'],
    ['setup-in-use', `seeds home-iso:iso/${stray}`, 'Run "npx golden prune".'],
    ['setup-in-use', 'golden-build-home-0123456789ab (9002) of a bake or a verification', expect.stringContaining('qm destroy 9002')],
    [
      'setup-in-use',
      expect.stringContaining('golden-build-home-0123456789ab.iso'),
      expect.stringContaining('pvesm free home-iso:iso/golden-build'),
    ],
  ])
  for (const { message } of failure.toErrors()) expect(failure.message).toContain(message)
  const shown = await remove({ plan: true })
  expect(shown).toMatchObject({ code: 1, next: [], document: { plan: { problems: failure.toErrors() } } })
  expect(await pools()).toEqual(['home', 'home-depots'])
  expect(existsSync(tokenFile())).toBe(true)
  expect(await root.get('/nodes/pve/qemu/9020/config')).toMatchObject({ protection: 1, scsi1: expect.anything() })
}, 60_000)
