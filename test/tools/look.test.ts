import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { lookForPrograms } from '../../tools/look.ts'
import { PINS } from '../../tools/index.ts'
import { currentPlatform } from '../../tools/platform.ts'

it('on a computer with nothing each program is to be downloaded or built, or says what is missing; nothing is made', async () => {
  const cacheDir = await mkdtemp(join(tmpdir(), 'golden-look-'))
  const seen = await lookForPrograms('terraform', { cacheDir, searchPath: '' })
  expect(seen.map(({ name }) => name)).toEqual(['packer', 'packer-plugin-proxmox', 'terraform-provider-proxmox', 'terraform'])
  expect(seen[0]).toEqual({ name: 'packer', is: 'to-come', how: `${PINS.packer.version} is downloaded` })
  // The newest release of it is newer than what can be built here.
  const release = PINS['packer-plugin-proxmox'].releases[currentPlatform()]
  expect(seen[1]).toEqual({ name: 'packer-plugin-proxmox', is: 'to-come', how: `${release?.version} is downloaded` })
  expect(seen[2]).toMatchObject({ is: 'to-come', how: expect.stringContaining('registry') })
  expect(seen[3]).toMatchObject({ is: 'missing', failure: { code: 'terraform-missing' } })
  await rm(cacheDir, { recursive: true })
})
