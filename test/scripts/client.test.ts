/** What `golden client` says besides the settings themselves. */
import { expect, it } from 'vitest'
import { accessOf, lanNotes } from '../../clients/deployed.ts'
import { noDeployment } from '../../releases/deployment.ts'
import { exampleSite } from '../images/example.ts'

it('tells people in the LAN how to get in where the public name leads nowhere', () => {
  const site = exampleSite(() => {})
  const { service } = site.groups.serena!
  const notes = (other: typeof site): string[] => lanNotes(accessOf(other, noDeployment))
  expect(notes(site)).toEqual([expect.stringContaining(`put ${service} in the place of ${site.public.host}.`)])
  const own = { ...site, public: { ...site.public, certificate: { chainFile: 'x.pem', key: { kind: 'file' as const, path: 'x.key' } } } }
  expect(notes(own)).toEqual([expect.stringContaining(`lead ${site.public.host} to ${service}`)])
  expect(notes({ ...site, public: { ...site.public, host: service } })).toEqual([])
})
