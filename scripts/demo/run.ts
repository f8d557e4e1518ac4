/** The demo's story, in order: what a user would type, and what must hold after it. */
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type Proxmox } from '../../proxmox/client.ts'
import type { Progress } from '../../proxmox/progress.ts'
import { loadSite } from '../../stacks/load.ts'
import { groupWithRole, type Site } from '../../stacks/site.ts'
import { checkAccess, findMark, leaveMark, type OutsideAccess } from './access.ts'
import { eventually, expectEqual, expectThat, type Checks } from './checks.ts'
import { control } from './control.ts'
import { checkFirewalls } from './firewall.ts'
import { checkLogs } from './logs.ts'
import { verb } from './program.ts'
import { checkSecrets, checkTemplate } from './secrets.ts'
import { checkSurvival, slotctl, type Guest } from './survive.ts'

export interface DemoWorld {
  /** The lab's connection.json. */
  readonly connection: any
  /** The demo's own folder. */
  readonly folder: string
  readonly checks: Checks
  readonly progress: Progress
  readonly signal: AbortSignal
  readonly env: NodeJS.ProcessEnv
}

/** @returns the site folder that is left running */
export async function runDemo(world: DemoWorld): Promise<string> {
  const { connection, checks, progress, signal } = world
  const folder: string = connection.site
  const env = { ...world.env, GOLDEN_SITE: folder }
  const golden = (...words: string[]): Promise<any> => verb(words, { env, signal, onLine: (line) => progress.info(line) })
  const site = await loadSite(folder)
  const access: OutsideAccess = { site, folder }
  const proxmox = await opened(connection.apiUrl, connection.caFile, connection.token)
  const administrator = await opened(connection.apiUrl, connection.caFile, connection.rootToken)
  const guests = guestsOf(site, proxmox, signal)
  const serena = guests[groupWithRole(site, 'serena')?.name ?? ''] as Guest
  const lab = control(connection.controlSocket)
  const mark = randomBytes(4).toString('hex')

  try {
    await checks.must('golden setup: the host was prepared by it, a second run has nothing to do', async () => {
      const again = await verb(['setup', '--admin', connection.rootToken.split('=')[0]], { env: { ...env, PROXMOX_ADMIN_TOKEN: connection.rootToken.split(/=(.*)/s)[1] }, signal })
      expectEqual('steps of the second run', again.steps, [])
    })
    await checks.must('golden bake: an image, checked while baking', async () => {
      expectEqual('outcome', (await golden('bake')).outcome, 'baked')
    })
    await checks.check('golden bake again: nothing to do', async () => {
      expectEqual('outcome', (await golden('bake')).outcome, 'unchanged')
    })
    await checkTemplate(checks, { site, folder, proxmox, stateDir: join(world.folder, 'lab'), scratch: world.folder })
    // From here on the VMs have no way to the internet, and the image registry is of no use to them.
    await lab.internet(false)
    await checks.must('golden deploy: both VMs, logging first', async () => {
      await golden('deploy')
      for (const guest of Object.values(guests)) expectEqual(`health of VM ${guest.vmid}`, (await slotctl(guest, 'status')).healthy, true)
    })
    await checks.check('golden deploy again: nothing to do', async () => {
      expectEqual('changes', (await golden('deploy')).changed, false)
    })
    await checkAccess(checks, access, 'two VMs')
    await leaveMark(access, mark)
    await checkLogs(checks, { site, guests, signal, access })
    await checkFirewalls(checks, { site, control: lab, administrator, guests }, 'two VMs')
    await checkSecrets(checks, { folder, labFolder: join(world.folder, 'lab') })
    await checkSurvival(checks, serena, access, mark)
    await checks.must('golden destroy, golden deploy: the projects of before are there', async () => {
      await golden('destroy', '--yes')
      await golden('deploy')
      await eventually(() => findMark(access, mark), { timeoutMs: 300_000, signal })
    })
    return folder
  } finally {
    proxmox.close()
    administrator.close()
  }
}

async function opened(url: string, caFile: string, token: string): Promise<Proxmox> {
  const [id, secret] = token.split(/=(.*)/s) as [string, string]
  return connect({ url, caPem: await readFile(caFile, 'utf8'), auth: { id, secret } })
}

/** The blue slots: what a first deployment runs. */
function guestsOf(site: Site, proxmox: Proxmox, signal: AbortSignal): Record<string, Guest> {
  return Object.fromEntries(Object.entries(site.groups).map(([name, group]) => [name, { proxmox, node: site.proxmox.node, vmid: group.slots.blue.vmid, signal }]))
}
