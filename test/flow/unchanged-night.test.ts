/** `golden nightly` as a user runs it, against sources on this computer: with nothing new it asks each once, and does nothing. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { NightRecord } from '../../nightly/night.ts'
import { missingPrograms } from '../images/programs.ts'
import { openPlace, type Place, type SiteFolder } from './place.ts'
import { openSources, type Sources } from './sources.ts'

const missing = missingPrograms(['gpg', 'gpgv', 'dpkg-deb'])
const minute = 60_000

let place: Place
let sources: Sources
let site: SiteFolder
beforeAll(async () => {
  if (missing.length > 0) return
  place = await openPlace()
  sources = await openSources()
  site = await place.site({ layout: 'one-vm' })
  await sources.give(site)
  await site.prepare()
}, 15 * minute)
afterAll(async () => {
  await sources?.close()
  await place?.close()
})

it.skipIf(missing.length > 0)(
  `looks at each source once, only whether it has changed, and makes no VM ${missing.length > 0 ? `(not here: ${missing.join(', ')})` : ''}`,
  async () => {
    const first = await site.golden('nightly')
    expect(first.code, first.stderr).toBe(10)
    const before = await place.inventory()
    sources.forget()
    const second = await site.golden('nightly')
    expect(second.code, second.stderr).toBe(0)
    expect(second.json<NightRecord>()).toMatchObject({ outcome: 'nothing', news: [], steps: [{ step: 'lock' }], complaints: [] })
    expect([...sources.asked()].sort()).toEqual([
      'GET http://files/builds/ 304',
      'GET http://files/debian/dists/stable/InRelease 304',
      // A tag's digest is in the head of the answer.
      ...['grafana/loki', 'library/nginx', 'oraios/serena', 'otel/contrib'].map(
        (repository) => `HEAD https://registry/v2/${repository}/manifests/1 200`,
      ),
    ])
    expect(await place.inventory()).toEqual(before)
  },
  10 * minute,
)
