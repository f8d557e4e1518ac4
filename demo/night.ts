/**
 * One whole night with real guests: a package has a new version in an archive of the lab's, and `golden nightly` makes an
 * image of it, verifies it, promotes it and lets it take over under the clients' hands. Then a night with nothing new.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { renderIso } from '../core/formats/iso.ts'
import { makeArchiveKey, writeSuite, type ArchiveKey } from '../lab/debian/archive.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { listGuests } from '../proxmox/cluster.ts'
import { seedName } from '../releases/deployment.ts'
import { givenKey, seedTag } from '../releases/given.ts'
import { duration } from '../scripts/render.ts'
import { expectEqual, expectThat } from './checks.ts'
import { editSite } from './edit-site.ts'
import { endLoad, startLoad } from './load.ts'
import { guestAt, type Scene } from './scene.ts'
import { slotctl } from './survive.ts'
import { expectNoFailure, expectOneSession, longestLine } from './traffic/summary.ts'

export interface NightPlace {
  readonly scene: Scene
  /** The lab's root. */
  readonly administrator: Proxmox
  /** Of the lab: where an archive is made, and how it is reached (demo/lab.ts). */
  readonly packages: { readonly folder: string; readonly url: string; readonly proxy: string }
  /** `golden nightly` with these variables besides its own. @returns its exit code and its document */
  nightly(env: NodeJS.ProcessEnv, onLine: (line: string) => void): Promise<{ readonly code: number; readonly document: any }>
  /** Hosts of the archives that the site has already. */
  readonly direct: readonly string[]
}

/** In every image, and nothing that runs asks for it: two scripts by which a person's editor is found. */
const renewed = { name: 'sensible-utils', version: '99:1.0+lab1' }
const suite = 'night'
/** Clients leave the processors to the guests while an image is made: most of a night. */
const breathMs = 15_000
/** What a night with nothing new may take. */
const quietMs = 5000

export async function checkNight(place: NightPlace): Promise<void> {
  const { scene, packages } = place
  const { checks, access, golden, serena } = scene
  const keyFile = join(access.folder, 'night-archive.asc')
  const key = await makeArchiveKey()
  try {
    await checks.must(`a new version of ${renewed.name} is in an archive of its own, and a seed is left over`, async () => {
      await offer(packages.folder, key)
      await writeFile(keyFile, key.publicKey)
      await editSite(access.folder, (site) => ({
        ...site,
        image: { ...site.image, archives: [...(site.image.archives ?? []), { url: packages.url, suites: [suite], keyFile }] },
        nightly: { promote: 'at-once', rollout: 'at-once' },
      }))
      await leaveSeed(place)
    })
    const env = {
      HTTP_PROXY: packages.proxy,
      NO_PROXY: [scene.env.NO_PROXY ?? scene.env.no_proxy ?? '', ...place.direct].filter((part) => part !== '').join(','),
    }
    if (!(await startLoad(scene))) return
    const made = await wholeNight(place, env)
    await endLoad(scene)
    if (!made) return
    await checks.check('after the night: slot green of the one VM has the data and the address; golden status is healthy', async () => {
      const status = (await golden('status')).groups[serena]
      expectEqual('health, slot', [status.health, status.activeSlot], ['healthy', 'green'])
      const { active, serviceAddress } = await slotctl(guestAt(scene, serena, 'green'), 'status')
      expectEqual('the guest: active, with the address', [active, serviceAddress.held], [true, true])
    })
    await quietNight(place, env)
  } finally {
    await endLoad(scene)
    await key.close()
  }
}

const offer = (folder: string, key: ArchiveKey): Promise<void> =>
  writeSuite(folder, key, {
    suite,
    date: new Date(),
    packages: [{ ...renewed, files: { [`usr/share/doc/${renewed.name}/made-by-the-lab`]: 'a new version\n' } }],
  })

/** As a release that was never finished leaves one: with the site's mark, and in no VM. */
async function leaveSeed({ scene: { site, access, serena }, administrator }: NightPlace): Promise<void> {
  const vmid = site.groups[serena]?.slots.green.vmid ?? 0
  const release = '0'.repeat(12)
  const filename = seedName(vmid, release, seedTag(await givenKey(access.folder), site.name, vmid, release))
  await administrator.upload({
    node: site.proxmox.node,
    storage: site.proxmox.storage.iso,
    content: 'iso',
    filename,
    data: renderIso('cidata', new Map([['meta-data', '']])),
  })
}

function wholeNight({ scene, nightly }: NightPlace, env: NodeJS.ProcessEnv): Promise<boolean> {
  const { checks, serena, load } = scene
  return checks.check('golden nightly: lock, bake, verify, promote, rollout, prune, report; not one call fails', async () => {
    if (load === undefined) throw new Error('there are no clients')
    const { traffic } = load
    traffic.breathe(breathMs)
    const { code, document } = await nightly(env, (line) => {
      if (line.includes(`hand group ${serena} over to slot green`)) traffic.breathe(0)
    })
    traffic.breathe(0)
    await traffic.round()
    const { steps = [], failure } = document ?? {}
    for (const { step, ms } of steps as { step: string; ms: number }[]) {
      checks.found(`${step}: ${duration(ms)}`)
      checks.figure(step, ms)
    }
    expectThat(code === 10, `exit code ${code}: ${failure?.message ?? 'no failure is named'} → ${failure?.hint ?? ''}`)
    expectEqual(
      'steps',
      steps.map(({ step, ok }: { step: string; ok: boolean }) => [step, ok]),
      ['lock', 'bake', 'verify', 'promote', 'rollout', 'prune'].map((step) => [step, true]),
    )
    const { news, verified, promoted, rolledOut, removed, survey } = document
    expectThat(hasRenewed(news), `the lock's news are ${JSON.stringify(news)}`)
    expectThat(hasRenewed(survey.differences?.news), `the images differ in ${JSON.stringify(survey.differences)}`)
    checks.found(`${verified.checks.length} checks of the verification held`)
    expectEqual('verified, promoted, rolled out', [verified.passed, promoted.length, rolledOut.length], [true, 1, 1])
    expectThat(
      removed.some(({ what }: { what: string }) => what === 'seed'),
      `what was removed: ${JSON.stringify(removed)}`,
    )
    checks.found(longestLine(traffic.record.calls))
    expectNoFailure(traffic.record.calls)
    expectOneSession(traffic.record.calls)
  })
}

const hasRenewed = (news: readonly { what: string; name: string; to: string | null }[] | undefined): boolean =>
  (news ?? []).some(({ what, name, to }) => what === 'package' && name === renewed.name && to === renewed.version)

async function quietNight({ scene, nightly, administrator }: NightPlace, env: NodeJS.ProcessEnv): Promise<void> {
  const { checks } = scene
  const names = async (): Promise<string> => JSON.stringify((await listGuests(administrator)).map(({ vmid, name }) => [vmid, name]).sort())
  await checks.check(`a night with nothing new: over in ${quietMs / 1000} s, without a VM`, async () => {
    const before = await names()
    const { code, document } = await nightly(env, () => {})
    expectEqual('exit code and outcome', [code, document?.outcome], [0, 'nothing'])
    const took = Date.parse(document.ended) - Date.parse(document.began)
    checks.found(`it took ${duration(took)}`)
    checks.figure('quiet night', took)
    expectEqual('VMs', await names(), before)
    expectThat(took < quietMs, `it took ${duration(took)}`)
  })
}
