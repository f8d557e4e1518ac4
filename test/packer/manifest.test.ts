import { expect, it } from 'vitest'
import { renderManifest } from '../../images/manifest.ts'
import { manifestOf, parseFound } from '../../packer/manifest.ts'
import { collectInputs } from '../../packer/inputs.ts'
import { rootfsOf } from '../../images/stage.ts'
import { exampleSite, hash } from '../images/example.ts'

const found = [
  'package\tii \tgit\t1:2.47.3-0+deb13u1\t1000',
  'package\tii \tlibc6:amd64\t2.41-12\t13000',
  'package\thi \tdocker.io\t26.1.5\t',
  'package\trc \tcron\t3.0pl1-197\t200',
  'container\tserena\t52428800',
  '',
].join('\n')

it('what is installed counts, held back or not; of what was removed the settings do not', () => {
  expect(parseFound(found)).toEqual({
    packages: { git: '1:2.47.3-0+deb13u1', 'libc6:amd64': '2.41-12', 'docker.io': '26.1.5' },
    packagesKiB: 14_000,
    containers: { serena: 52_428_800 },
  })
})

it.each(['what is this', 'container\tserena\tmany', 'package\tii \tgit'])('a line that nobody knows is no manifest: %j', (line) => {
  expect(() => parseFound(line)).toThrow(/no line of a manifest/)
})

it('has every container of the lock, and every file that was put in', async () => {
  const image = { image: 'registry.lan/x', digest: `sha256:${hash('1')}` }
  const inputs = await collectInputs(exampleSite(), { schema: 1, services: { serena: image, nginx: image } }, 'f00')
  const rootfs = rootfsOf([{ path: 'etc/a', mode: 0o644, content: Buffer.from('1') }], { sha256: hash('2'), find: async () => [] })
  const manifest = manifestOf(inputs, rootfs, '2026-11-24T01:00:00.000Z', parseFound(found))
  expect(manifest).toMatchObject({
    fingerprint: inputs.fingerprint,
    containers: { serena: { bytes: 52_428_800 }, nginx: { bytes: 0 } },
    files: { 'etc/a': expect.stringMatching(/^644 [0-9a-f]{64}$/) },
    languageServers: hash('2'),
  })
  expect(() => renderManifest(manifest)).not.toThrow()
})
