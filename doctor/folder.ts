/** What the site folder has besides `site.ts`: secrets, the lock, pins, Terraform's state, and how long certificates last. */
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { counted } from '../core/quantity.ts'
import { findLock } from '../images/lock.ts'
import { groundOf } from '../images/lock-ground.ts'
import { requireCurrent } from '../images/lock-outdated.ts'
import { certificatesIn } from '../proxmox/pin.ts'
import { activeReleases } from '../releases/deployment.ts'
import { certificatesOf, certificateWarnings, warnBeforeDays, type CertificateStatus } from '../releases/given.ts'
import { stackName } from '../releases/order.ts'
import { seedProblems } from '../releases/seed.ts'
import { checkEdits } from '../rollout/edits.ts'
import { rolloutWarnings } from '../rollout/status.ts'
import { refuseHandedIn } from '../settings/handed-in.ts'
import { secretFiles } from '../settings/secrets/places.ts'
import { ownCertificateOf, type Site } from '../settings/site.ts'
import type { Check } from './check.ts'
import { bad, fine, unknown, warn, type Outcome } from './line.ts'

const readingMs = 10_000

export const folderChecks: readonly Check[] = [
  {
    id: 'secrets',
    section: 'site',
    looks: 'passwords, keys and certificates that a slot gets are there, and of use; programs that a password comes from are not asked',
    mends: '`npx golden init`, or the setting that the line names',
    needs: ['site'],
    limit: readingMs,
    async run({ site: read, env }) {
      const { site, folder } = await read()
      refuseHandedIn(await seedProblems(site, folder, Object.keys(site.groups), env, false))
      const own = ownCertificateOf(site.public)
      const asked = [...site.serena.users.map(({ password }) => password), ...(own === undefined ? [] : [own.key])]
      const programs = asked.filter(({ kind }) => kind === 'command').length
      return fine(`all there${programs === 0 ? '' : `; ${programs} more come from programs, which "npx golden deploy" asks`}`)
    },
  },
  {
    id: 'lock',
    section: 'site',
    looks: '`images.lock.json` is there, and of this site and this version of the project',
    mends: '`npx golden lock`',
    needs: ['site'],
    limit: readingMs,
    async run(facts) {
      const { site, folder } = await facts.site()
      const lock = await findLock(folder)
      if (lock === undefined) return warn('there is no images.lock.json yet', 'Run "npx golden lock".')
      requireCurrent(lock, await groundOf(site, folder))
      return fine(
        `base ${site.image.base.os} ${site.image.base.sha256.slice(0, 12)}, ${counted(Object.keys(lock.services).length, 'container')}${lock.packages === undefined ? '' : `, ${counted(Object.keys(lock.packages.versions).length, 'package')}`}`,
      )
    },
  },
  {
    id: 'pins',
    section: 'site',
    looks: '`deployment.json` can be read, `site.ts` does not contradict it, and no rollout was interrupted',
    mends: 'git; the setting that the line names; `npx golden rollout` or `rollback`',
    needs: ['site'],
    limit: readingMs,
    async run(facts) {
      const { site } = await facts.site()
      const deployment = await facts.deployment()
      checkEdits(site, deployment)
      const interrupted = Object.entries(deployment.groups).flatMap(([group, pins]) =>
        rolloutWarnings(group, pins).map((text) => ({ group, text })),
      )
      if (interrupted.length > 0)
        return interrupted.map(({ group, text }) =>
          warn(text, `"npx golden rollout ${group}" goes on; see "npx golden status" first.`, group),
        )
      const active = activeReleases(deployment)
      return fine(
        active.length === 0
          ? 'nothing is deployed'
          : active.map(({ group, slot, release }) => `${group}: slot ${slot}, release ${release.id}`).join('; '),
      )
    },
  },
  {
    id: 'state',
    section: 'site',
    looks: "Terraform's state of what is deployed is there and can be read; one in a remote backend only the engine reads",
    mends: 'the file from your backup; `npx golden deploy` takes running VMs into a new one',
    needs: ['pins'],
    limit: readingMs,
    async run(facts) {
      const { site, folder } = await facts.site()
      const active = activeReleases(await facts.deployment())
      if (active.length === 0) return fine('nothing is deployed, so that there is none')
      if (site.backend.type !== 'local')
        return unknown(
          `it is in the ${site.backend.type} backend, which only ${site.engine} reads`,
          '"npx golden deploy" reads it before it changes anything.',
        )
      return Promise.all(active.map(({ group }) => stateOf(folder, stackName(site, group), group)))
    },
  },
  {
    id: 'certificates',
    section: 'site',
    looks: `days that certificates have left, those in the site folder and those that VMs have: ${warnBeforeDays} at least`,
    mends: '`npx golden init`, or a new file at `public.certificate`; then `npx golden rollout`',
    needs: ['pins'],
    limit: readingMs,
    async run(facts) {
      const { site, folder } = await facts.site()
      const now = facts.now()
      const own = await inFolder(site, folder, now)
      const given = activeReleases(await facts.deployment()).flatMap(({ group, release }) =>
        certificatesOf(release.given, now).map((one) => ({ ...one, group })),
      )
      const ending = [...own, ...given].filter(({ daysLeft }) => daysLeft <= warnBeforeDays)
      if (ending.length === 0) {
        const first = [...own, ...given].sort((a, b) => a.daysLeft - b.daysLeft)[0]
        return fine(
          first === undefined ? 'none yet' : `the first that ends is ${first.name}, in ${first.daysLeft} days (${first.ends.slice(0, 10)})`,
        )
      }
      const file = ownCertificateOf(site.public)?.chainFile
      const mend = [
        ...given.flatMap((one) => certificateWarnings(one.group, file, [one])),
        ...own
          .filter((one) => ending.includes(one))
          .map(({ name, ends }) =>
            name === 'the public certificate' && file !== undefined
              ? `put a new one at ${file}`
              : `"npx golden init" renews ${name} in the site folder (${ends.slice(0, 10)})`,
          ),
      ].join('; ')
      const note = ending.map(({ name, daysLeft }) => `${name} ${daysLeft < 0 ? 'has ended' : `ends in ${daysLeft} days`}`).join(', ')
      return ending.some(({ daysLeft }) => daysLeft < 0) ? bad(note, mend) : warn(note, mend)
    },
  },
]

async function stateOf(folder: string, stack: string, group: string): Promise<Outcome> {
  const file = join(folder, 'state', `${stack}.tfstate`)
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return warn(
      `${file} is not there, though the group is deployed`,
      'Put it back from your backup. Without it "npx golden deploy" takes the VMs that run into a new one, if they are as their release was made.',
      group,
    )
  }
  const resources = resourcesIn(text)
  if (resources === undefined)
    return {
      ...bad(`${file} is no state that an engine has written`, 'Put it back from your backup, or move it away.', group),
      code: 'state-unreadable',
    }
  return fine(counted(resources, 'resource'), group)
}

function resourcesIn(text: string): number | undefined {
  try {
    const { resources } = JSON.parse(text) as { resources?: unknown }
    return Array.isArray(resources) ? resources.length : undefined
  } catch {
    return undefined
  }
}

const day = 86_400_000

/** Of a chain the one that ends first. What is not there, or is none, other lines tell of. */
async function inFolder(site: Site, folder: string, now: Date): Promise<CertificateStatus[]> {
  const files = [
    ["the site's CA", join(folder, secretFiles.ca)],
    ['the public certificate', resolve(folder, ownCertificateOf(site.public)?.chainFile ?? secretFiles.publicCertificate)],
    ['the logging certificate', join(folder, secretFiles.loggingCertificate)],
  ] as const
  const found = await Promise.all(
    files.map(async ([name, file]) => ({ name, chain: certificatesIn(await readFile(file, 'utf8').catch(() => '')) })),
  )
  return found.flatMap(({ name, chain }) => {
    const ends = Math.min(...chain.map((one) => one.validToDate.getTime()))
    return chain.length === 0 ? [] : [{ name, ends: new Date(ends).toISOString(), daysLeft: Math.floor((ends - now.getTime()) / day) }]
  })
}
