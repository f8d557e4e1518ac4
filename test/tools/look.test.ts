import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { lookForPrograms } from '../../tools/look.ts'
import { PINS } from '../../tools/index.ts'

it('on a computer with nothing each program is to be downloaded or built, or says what is missing; nothing is made', async () => {
  const cacheDir = await mkdtemp(join(tmpdir(), 'golden-look-'))
  const seen = await lookForPrograms('terraform', { cacheDir, searchPath: '' })
  expect(seen.map(({ name }) => name)).toEqual(['packer', 'packer-plugin-proxmox', 'terraform-provider-proxmox', 'terraform'])
  expect(seen[0]).toEqual({ name: 'packer', is: 'to-come', how: `${PINS.packer.version} is downloaded` })
  // No release of it has a pinned sum: it takes Go, or says so.
  expect(seen[1]).toMatchObject(
    seen[1]?.is === 'missing' ? { failure: { code: expect.stringMatching(/^go-/) } } : { how: expect.stringMatching(/is built with go\d/) },
  )
  expect(seen[3]).toMatchObject({ is: 'missing', failure: { code: 'terraform-missing' } })
  await rm(cacheDir, { recursive: true })
})
