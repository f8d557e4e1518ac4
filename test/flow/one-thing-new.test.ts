/** Nights as a user runs them, each with one thing new: another image each time, and the report names that thing and no other. */
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { NightRecord } from '../../nightly/night.ts'
import type { ImageList } from '../../rollout/list-images.ts'
import { missingPrograms } from '../images/programs.ts'
import { openPlace, type Place, type SiteFolder } from './place.ts'
import { openSources, type Sources } from './sources.ts'

const missing = missingPrograms(['gpg', 'gpgv', 'dpkg-deb'])
const minute = 60_000

let place: Place
let sources: Sources
let site: SiteFolder
const fingerprints: string[] = []
beforeAll(async () => {
  if (missing.length > 0) return
  place = await openPlace()
  sources = await openSources()
  site = await place.site({ layout: 'one-vm' })
  await sources.give(site)
  await site.prepare()
  expect((await newsOf()).news).toBe(undefined)
}, 30 * minute)
afterAll(async () => {
  await sources?.close()
  await place?.close()
})

/** One night, which makes an image of a fingerprint that none had before. @returns what it has other than the one before */
async function newsOf(): Promise<{ news: readonly unknown[] | undefined; unknown: readonly string[] | undefined }> {
  const { code, stderr, json } = await site.golden('nightly')
  expect(code, stderr).toBe(10)
  const { baked, survey } = json<NightRecord>()
  const { images } = await site.done<ImageList>('images')
  const { fingerprint = '' } = images.find(({ name }) => name === baked?.name) ?? {}
  expect(['', ...fingerprints]).not.toContain(fingerprint)
  fingerprints.push(fingerprint)
  return { news: survey?.differences?.news, unknown: survey?.differences?.unknown }
}

const here = missing.length > 0 ? ` (not here: ${missing.join(', ')})` : ''
const file = 'etc/nftables.conf'

it.skipIf(missing.length > 0)(
  `a file that goes into the image${here}`,
  async () => {
    await appendFile(join(place.computer.clone, 'images/rootfs', file), '# changed\n')
    expect(await newsOf()).toMatchObject({ news: [{ what: 'file', name: file }], unknown: [] })
  },
  15 * minute,
)

it.skipIf(missing.length > 0)(
  `a package${here}`,
  async () => {
    await sources.renewPackage('apt', '3.0.4')
    expect(await newsOf()).toEqual({ news: [{ what: 'package', name: 'apt', from: '3.0.3', to: '3.0.4' }], unknown: [] })
  },
  15 * minute,
)

it.skipIf(missing.length > 0)(
  `a container${here}`,
  async () => {
    sources.renew()
    expect(await newsOf()).toMatchObject({ news: [{ what: 'container', name: 'serena' }], unknown: [] })
  },
  15 * minute,
)

it.skipIf(missing.length > 0)(
  `a base${here}`,
  async () => {
    await sources.renewBase()
    expect(await newsOf()).toMatchObject({ news: [{ what: 'base' }], unknown: [] })
  },
  15 * minute,
)
