import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it, vi } from 'vitest'
import { ensureTool, PINS } from '../../tools/index.ts'
import { currentPlatform } from '../../tools/platform.ts'
import { newestOf, wantedPins } from '../../tools/wanted.ts'
import { executable, temporaryFolder } from './folder.ts'

it('a site that names no version gets the pins', () => {
  expect(wantedPins({})).toEqual(PINS)
  expect(wantedPins({ provider: PINS['terraform-provider-proxmox'].version })).toEqual(PINS)
})

it('another version of the plugin comes by its signature alone; of the pinned release the digests count', () => {
  const { releases, version, canBuild } = wantedPins({ packerPlugin: '1.9.3' })['packer-plugin-proxmox']
  expect({ version, canBuild }).toEqual({ version: '1.9.3', canBuild: false })
  const { sha256, signed, ...release } = releases.linux_amd64!
  expect(sha256).toBeUndefined()
  expect(signed).toMatchObject({ by: 'hashicorp', sums: expect.stringContaining('/v1.9.3/packer-plugin-proxmox_v1.9.3_SHA256SUMS') })
  expect(release).toMatchObject({
    version: '1.9.3',
    url: expect.stringContaining('/v1.9.3/packer-plugin-proxmox_v1.9.3_x5.0_linux_amd64.zip'),
    entry: 'packer-plugin-proxmox_v1.9.3_x5.0_linux_amd64',
  })
  const newest = newestOf(PINS['packer-plugin-proxmox'])
  const pinned = wantedPins({ packerPlugin: newest })['packer-plugin-proxmox']
  expect(pinned).toMatchObject({ version: newest, releases: PINS['packer-plugin-proxmox'].releases, canBuild: false })
  expect(wantedPins({ packerPlugin: '1.1.1' })['packer-plugin-proxmox'].canBuild).toBe(true)
})

it('another version of the provider is not taken from a build of the pinned one, nor built; what to do is said', async () => {
  const folder = await temporaryFolder()
  const bin = join(folder, 'bin')
  await mkdir(bin)
  vi.stubEnv('PATH', bin)
  vi.stubEnv('HTTPS_PROXY', 'http://127.0.0.1:1')
  await executable(
    bin,
    'go',
    `if [ "$1" = env ]; then printf 'go1.26.8\\ngcc\\n'; exit; fi
while [ "$1" != -o ]; do shift; done
echo provider >"$2"; /bin/chmod 755 "$2"`,
  )
  const engineAt = { name: 'tofu', path: await executable(bin, 'tofu', 'echo "Error: no way" >&2; exit 1') } as const
  const options = { cacheDir: join(folder, 'cache'), sources: {}, engineAt }
  expect(await ensureTool('terraform-provider-proxmox', options)).toMatchObject({ origin: 'built' })
  const pins = wantedPins({ provider: '0.116.0' })
  await expect(ensureTool('terraform-provider-proxmox', { ...options, pins })).rejects.toMatchObject({
    code: 'program-unavailable',
    message: expect.stringMatching(
      /^terraform-provider-proxmox 0\.116\.0 can't be had.*\n.*\n {2}not from its registry: Error: no way\n {2}not built: what/,
    ),
    hint: expect.stringMatching(
      new RegExp(`terraform-provider-proxmox_0\\.116\\.0_${currentPlatform()}\\.zip.*leave the version in \`programs\` of site\\.ts out`),
    ),
  })
  await executable(bin, 'terraform-provider-proxmox_v0.116.0', 'exit 1')
  expect(await ensureTool('terraform-provider-proxmox', { ...options, pins })).toMatchObject({ version: '0.116.0', origin: 'path' })
  vi.unstubAllEnvs()
})
