import { expect, it } from 'vitest'
import { renderManifest } from '../../images/manifest.ts'
import { rootfsOf } from '../../images/stage.ts'
import { collectInputs } from '../../packer/inputs.ts'
import { manifestOf } from '../../packer/manifest.ts'
import { Listener } from '../../packer/run.ts'
import { exampleSite, hash } from '../images/example.ts'

it('has what the build VM has told, every container of the lock, and every file that was put in', async () => {
  const shown: string[] = []
  const heard = new Listener({ note: (text) => shown.push(text), token: { secret: 'not-a-secret' } })
  for (const line of [
    'golden-package git 1:2.47.3-0+deb13u1',
    'golden-size packages 14336000',
    'golden-size serena 52428800',
    'golden: done',
  ])
    heard.line(line)
  // Hundreds of them, that nobody wants to read.
  expect(shown).toEqual(['done'])
  const image = { image: 'registry.lan/x', digest: `sha256:${hash('1')}` }
  const inputs = await collectInputs(exampleSite(), { schema: 2, services: { serena: image, nginx: image } }, 'f00')
  const rootfs = rootfsOf([{ path: 'etc/a', mode: 0o644, content: Buffer.from('1') }], { sha256: hash('2'), find: async () => [] })
  const manifest = manifestOf(inputs, rootfs, '2026-11-24T01:00:00.000Z', heard.outcome(0))
  expect(manifest).toMatchObject({
    fingerprint: inputs.fingerprint,
    packages: { git: '1:2.47.3-0+deb13u1' },
    packagesBytes: 14_336_000,
    containers: { serena: { bytes: 52_428_800 }, nginx: { bytes: 0 } },
    files: { 'etc/a': expect.stringMatching(/^644 [0-9a-f]{64}$/) },
    languageServers: hash('2'),
  })
  expect(() => renderManifest(manifest)).not.toThrow()
})
