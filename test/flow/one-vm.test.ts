/** The site with both roles on one VM: the same path, shortest form. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { SiteStatus } from '../../rollout/status.ts'
import { openPlace, type Place, type SiteFolder } from './place.ts'

let place: Place
let site: SiteFolder
beforeAll(async () => {
  place = await openPlace()
  site = await place.site({ name: 'solo', layout: 'one-vm', firstVmid: 9110, firstHost: 40 })
  await site.prepare()
}, 900_000)
afterAll(() => place?.close(), 60_000)

it('bakes, deploys, destroys and deploys a site with both roles on one VM', async () => {
  expect(await site.done('bake')).toMatchObject({ outcome: 'baked' })
  expect(await site.done('deploy')).toMatchObject({ changed: true, groups: [{ group: 'all', outcome: 'deployed', slot: 'blue' }] })
  const { groups } = await site.done<SiteStatus>('status')
  expect(groups['all']).toMatchObject({
    roles: ['serena', 'logging'], health: 'healthy', serviceAddress: '10.77.0.41', dataDisk: { at: 'blue' }, missing: ['grafana'],
    services: { serena_mcp: 'running', serena_mcp_sse: 'running', nginx_proxy: 'running', promtail: 'running', loki: 'running' },
    urls: { 'streamable-http': expect.stringContaining('/mcp'), grafana: 'https://10.77.0.41:8443/' }
  })
  expect(await site.done('deploy')).toMatchObject({ changed: false })
  expect(await site.done('destroy', '--yes')).toMatchObject({ groups: [{ group: 'all', outcome: 'destroyed', data: { depot: 9110 } }] })
  expect(await site.done('deploy')).toMatchObject({ changed: true })
  expect((await site.done<SiteStatus>('status')).groups['all']).toMatchObject({ health: 'healthy' })
}, 240_000)
