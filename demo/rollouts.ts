/**
 * Both slots of each group, under load: a rollout and the way back while clients call Serena's tools without pause. Not
 * one call may fail, and each line of the log that is written meanwhile is in Loki once.
 */
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { projectsFolder } from '../images/guest/places.ts'
import { writeSecret } from '../settings/secrets/files.ts'
import { secretsFolder } from '../settings/secrets/places.ts'
import type { SiteInput, SlotName } from '../settings/site.ts'
import { openMcp } from '../clients/mcp.ts'
import { ask } from '../clients/web.ts'
import { eventually, expectEqual, expectThat, type Checks } from './checks.ts'
import { editSite } from './edit-site.ts'
import { measureFloor } from './floor.ts'
import { allNumbers, endLoad, startLines, startLoad } from './load.ts'
import { longCall, move } from './move.ts'
import { expected, inTurn } from './parts.ts'
import { guestAt, sceneOf, type RolloutsPlace, type Scene } from './scene.ts'
import { inGuest, slotctl } from './survive.ts'
import { basic, requestTimeoutMs, type TrafficTarget } from './traffic/client.ts'

/** Whose password is rotated; everybody else's clients go on. */
const guestUser = 'guest'
const guestPassword = `${secretsFolder}/users/${guestUser}`
const secondProject = 'second'

/**
 * What the demo's site needs for its rollouts, before it is deployed: somebody whose password can be rotated, and patience
 * for emulated guests. The old slot stays up for the way back: that saves a boot.
 */
export const preparedForRollouts = (site: SiteInput): SiteInput => ({
  ...site,
  serena: {
    ...site.serena,
    users: [...site.serena.users, { name: guestUser, password: { kind: 'file', path: guestPassword } }],
    // Serena takes an emulated guest minutes to start, for which calls wait.
    parking: { seconds: 1800 },
  },
  rollout: { healthMinutes: 60, soakMinutes: 1, drainSeconds: 120, old: 'running' },
})

interface RolloutScene extends Scene {
  /** Of the guest, as the site was deployed with it. */
  readonly oldPassword: string
  /** What site.ts said before it was edited. */
  before?: SiteInput['serena']
}

export async function checkRollouts(checks: Checks, place: RolloutsPlace): Promise<void> {
  const { access, deployMs, leftMs } = place
  const scene: RolloutScene = {
    ...(await sceneOf(checks, place, 'two VMs')),
    oldPassword: (await readFile(join(access.folder, guestPassword), 'utf8')).trim(),
  }
  const { serena, logging } = scene
  const parts = [
    { name: `two VMs: golden rollout ${serena}, under load`, expectedMs: expected.rollout(deployMs), run: () => rolloutSerena(scene) },
    { name: `two VMs: golden rollback ${serena}, under load`, expectedMs: expected.rollback(deployMs), run: () => rollbackSerena(scene) },
    {
      name: `two VMs: golden rollout ${logging} and golden rollback ${logging}, while numbered lines are written`,
      expectedMs: expected.logging(deployMs),
      run: () => bothWaysLogging(scene),
    },
  ]
  try {
    await inTurn(checks, parts, leftMs, expected.destroy(deployMs))
  } finally {
    await endLoad(scene)
  }
}

async function rolloutSerena(scene: RolloutScene): Promise<boolean> {
  const { checks, access, golden, serena, target, oldPassword } = scene
  const { folder } = access
  if (!(await startLoad(scene))) return false
  const named = await checks.check(
    `two VMs: another project, one transport, the shell and a new password in the site folder: golden deploy --plan and golden status name "golden rollout ${serena}"`,
    async () => {
      await editSite(folder, (site) => {
        scene.before = site.serena
        return {
          ...site,
          serena: {
            ...site.serena,
            // For the call of half a minute on the way back.
            shell: true,
            // A second Serena takes an emulated guest minutes to start.
            transports: ['streamable-http'],
            projects: [...(site.serena.projects ?? []), { name: secondProject }],
          },
        }
      })
      await rm(join(folder, guestPassword))
      await golden('init')
      const planned = differencesOf((await golden('deploy', '--plan')).plan.groups, serena)
      expectThat(planned.includes(`golden rollout ${serena}`), `deploy --plan says: ${planned || 'nothing'}`)
      const told = ((await golden('status')).groups[serena].differences as string[]).join('; ')
      for (const words of [
        `golden rollout ${serena}`,
        'serena.projects',
        'serena.transports',
        'serena.shell',
        `the password of ${guestUser}`,
      ])
        expectThat(told.includes(words), `status does not say "${words}": ${told || 'nothing'}`)
    },
  )
  if (!named || !(await move(scene, 'rollout', serena, 'green'))) return false
  await settled(scene, serena, 'green')
  await checks.check('two VMs: after it the new password lets in, the old one does not, and the other project is there', async () => {
    await entersAs(target, (await readFile(join(folder, guestPassword), 'utf8')).trim())
    expectEqual('with the old password', await statusWith(target, oldPassword), 401)
    await inGuest(guestAt(scene, serena, 'green'), `test -d ${projectsFolder}/${secondProject}`)
  })
  await allNumbers(scene, 'blue')
  // For the way back: what hands over now is stopped, as a site without `old` has it.
  await editSite(folder, (site) => ({ ...site, rollout: { ...site.rollout, soakMinutes: 0, old: 'stopped' } }))
  return true
}

async function rollbackSerena(scene: RolloutScene): Promise<boolean> {
  const { checks, access, golden, serena, target, oldPassword } = scene
  const { folder } = access
  if (!(await move(scene, 'rollback', serena, 'blue', () => longCall(scene)))) return false
  await settled(scene, serena, 'blue', `golden rollout ${serena}`)
  await checks.check('two VMs: after it the password of before lets in again', () => entersAs(target, oldPassword))
  await allNumbers(scene, 'blue')
  await measureFloor(scene, 'blue')
  await endLoad(scene)
  return checks.check('two VMs: the site folder as before: golden status names no difference any more', async () => {
    await editSite(folder, (site) => ({ ...site, serena: scene.before ?? site.serena }))
    await writeSecret(join(folder, guestPassword), `${oldPassword}\n`)
    expectEqual('differences', (await golden('status')).groups[serena].differences, [])
  })
}

async function bothWaysLogging(scene: Scene): Promise<boolean> {
  const { checks, access, golden, logging } = scene
  const { folder } = access
  startLines(scene)
  let before: SiteInput['logging']
  const named = await checks.check(
    `two VMs: logs are to be kept for another time: golden status names "golden rollout ${logging}"`,
    async () => {
      await editSite(folder, (site) => {
        before = site.logging
        return { ...site, logging: { ...site.logging, retentionDays: 29 }, rollout: { ...site.rollout, old: 'running' } }
      })
      const told = ((await golden('status')).groups[logging].differences as string[]).join('; ')
      for (const words of [`golden rollout ${logging}`, 'logging.retentionDays'])
        expectThat(told.includes(words), `status does not say "${words}": ${told || 'nothing'}`)
    },
  )
  if (!named || !(await move(scene, 'rollout', logging, 'green'))) return false
  await settled(scene, logging, 'green')
  await allNumbers(scene, 'green')
  await editSite(folder, (site) => ({ ...site, rollout: { ...site.rollout, old: 'stopped' } }))
  if (!(await move(scene, 'rollback', logging, 'blue'))) return false
  await settled(scene, logging, 'blue', `golden rollout ${logging}`)
  await allNumbers(scene, 'blue')
  // Whoever keeps the demo finds a site that says what runs.
  await editSite(folder, ({ logging: _, ...site }) => (before === undefined ? site : { ...site, logging: before }))
  return true
}

/** What everybody can see after one slot has taken over. @param offers what `golden deploy` names; nothing if left out */
async function settled(scene: Scene, group: string, slot: SlotName, offers?: string): Promise<void> {
  const { checks, golden } = scene
  const label = offers === undefined ? 'golden deploy: nothing to do' : `golden deploy changes nothing, and names "${offers}"`
  await checks.check(`two VMs: slot ${slot} of ${group} has the data and the service address; ${label}`, async () => {
    // The other VM's log agent may just be waiting for its next try.
    await eventually(
      async () => {
        const status = (await golden('status')).groups[group]
        expectEqual('health and slot', [status.health, status.activeSlot], ['healthy', slot])
      },
      { timeoutMs: 600_000, everyMs: 5000, signal: scene.signal },
    )
    const { active, serviceAddress } = await slotctl(guestAt(scene, group, slot), 'status')
    expectEqual('the guest: active, with the address', [active, serviceAddress.held], [true, true])
    const { changed, groups } = await golden('deploy')
    expectEqual('changed by deploy', changed, false)
    const told = differencesOf(groups, group)
    expectThat(offers === undefined ? told === '' : told.includes(offers), `deploy says: ${told || 'nothing'}`)
  })
}

const differencesOf = (groups: readonly { group: string; differences: readonly string[] }[], group: string): string =>
  (groups.find((one) => one.group === group)?.differences ?? []).join('; ')

/** The status that nginx has for somebody who comes with this password. */
const statusWith = async ({ url, caPem }: TrafficTarget, password: string): Promise<number> =>
  (await ask(url, { caPem, method: 'POST', headers: { Authorization: basic(guestUser, password) }, timeoutMs: requestTimeoutMs })).status

async function entersAs(target: TrafficTarget, password: string): Promise<void> {
  const session = await openMcp({ ...target, transport: 'streamable-http', user: guestUser, password }, { timeoutMs: requestTimeoutMs })
  await session.close()
}
