/** What setup plans, carried out on a host of another version, and what its token may then do there. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { startLab, type Lab } from '../../lab/index.ts'
import { connect, type Proxmox } from '../../proxmox/client.ts'
import { applySetup, observeSetup, planSetup, type SetupWanted } from '../../proxmox/setup.ts'

let lab: Lab | undefined
let folder = ''
const connections: Proxmox[] = []
afterEach(async () => {
  for (const connection of connections.splice(0)) connection.close()
  await lab?.close()
  await rm(folder, { recursive: true, force: true })
})

async function open(version: string, listingLagMs = 0): Promise<(id: string, secret: string) => Proxmox> {
  folder = await mkdtemp(join(tmpdir(), 'gsl-'))
  lab = await startLab({ stateDir: join(folder, 'lab'), driver: 'fake', version, listingLagMs })
  const { apiUrl, caFile } = lab.connection
  const caPem = await readFile(caFile, 'utf8')
  return (id, secret) => {
    const made = connect({ url: apiUrl, caPem, auth: { id, secret } })
    connections.push(made)
    return made
  }
}
const wanted = (isoPath: string): SetupWanted => ({
  node: 'pve',
  pool: 'golden',
  depotPool: 'golden-depots',
  disks: lab?.connection.storages.disks ?? '',
  iso: 'golden-iso',
  isoPath,
  bridge: 'vmbr0',
  tokenId: 'golden@pve!golden',
  depots: [{ vmid: 9200, name: 'home-serena-depot' }],
  management: ['0.0.0.0/0', '192.168.1.0/24'],
  enableFirewall: true,
  replaceToken: false,
})
const rootOf = (): [string, string] => lab?.connection.rootToken.split(/=(.*)/s).slice(0, 2) as [string, string]

it('Proxmox VE 8.4 is prepared so that the token reaches agents, and there is nothing to do at once afterwards', async () => {
  const as = await open('8.4.1', 3_600_000)
  const root = as(...rootOf())
  const site = wanted(join(folder, 'iso'))
  let secret = ''
  const plan = planSetup(site, await observeSetup(root, site))
  expect(plan.problems).toEqual([])
  await applySetup(
    root,
    plan,
    () => {},
    async (made) => {
      secret = made
    },
  )
  // The lists of this lab never catch up.
  expect(planSetup(site, await observeSetup(root, site))).toEqual({ steps: [], problems: [] })
  const token = as(site.tokenId, secret)
  await token.task(await token.post<string>('/nodes/pve/qemu', { vmid: 9301, pool: 'golden', memory: 64, agent: 1 }))
  await expect(token.get('/nodes/pve/qemu/9301/agent/network-get-interfaces')).rejects.toMatchObject({ status: 500 })
  await expect(token.get('/nodes/pve/qemu/9200/agent/network-get-interfaces')).rejects.toMatchObject({ status: 403 })
}, 60_000)

it('an older one is refused before anything else is asked', async () => {
  const as = await open('8.2.4')
  await expect(observeSetup(as(...rootOf()), wanted(join(folder, 'iso')))).rejects.toMatchObject({
    code: 'version-too-old',
    message: expect.stringContaining('8.2'),
  })
}, 60_000)
