/** An empty cache, no Go, a mirror: the real programs, out of archives as their publishers make them, in less than a minute. */
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it, vi } from 'vitest'
import { run } from '../../core/child.ts'
import { makeArchiveKey } from '../../lab/debian/archive.ts'
import { lockProvider } from '../../rollout/engine.ts'
import { ensureTools, haveTools, PINS, toolEnvironment, type ToolEvent } from '../../tools/index.ts'
import type { Pin, Release } from '../../tools/pins.ts'
import { currentPlatform } from '../../tools/platform.ts'
import { missingPrograms } from '../images/programs.ts'
import { temporaryFolder } from './folder.ts'
import { internet } from './internet.ts'
import { providerFile, providerPackage } from './provider-package.ts'
import { publish, sha256 } from './signing.ts'
import { zip } from './zip.ts'

const released = ['packer', 'packer-plugin-proxmox', 'tofu'] as const
const names = [...released, 'terraform-provider-proxmox'] as const
const missing = [...missingPrograms(['gpg', 'gpgv']), ...((await haveTools(names)) ? [] : ['node tools/ensure.ts --for test'])]

it.skipIf(missing.length > 0)(
  `everything is ready in less than 60 s with nothing but a mirror ${missing.length > 0 ? `(needs: ${missing.join(', ')})` : ''}`,
  async () => {
    const tools = await ensureTools(names)
    const key = await makeArchiveKey()
    const net = await internet()
    const pins: Record<string, Pin> = { ...PINS }
    for (const name of released) {
      const { version, path } = tools[name]
      const made: Release = { ...PINS[name].releases[currentPlatform()]!, version }
      const archive = zip([
        { name: 'LICENSE.txt', content: 'free', deflate: true },
        { name: made.entry, content: await readFile(path), deflate: true },
      ])
      pins[name] = { ...PINS[name], releases: { [currentPlatform()]: { ...made, sha256: sha256(archive) } } }
      await publish(net, made, archive, key)
    }
    const provider = tools['terraform-provider-proxmox']
    const files = 'https://registry.opentofu.org/bpg/proxmox'
    await net.put(`${files}/index.json`, JSON.stringify({ versions: { [provider.version]: {} } }))
    await net.put(`${files}/${provider.version}.json`, JSON.stringify({ archives: { [currentPlatform()]: { url: providerFile() } } }))
    await net.put(`${files}/${providerFile()}`, providerPackage(await readFile(provider.path)))

    // As it is there: no compiler, nobody's own settings, and an address that leads nowhere but to the mirror.
    vi.stubEnv('PATH', '/usr/bin:/bin')
    vi.stubEnv('TF_CLI_CONFIG_FILE', '')
    vi.stubEnv('HOME', await temporaryFolder())
    vi.stubEnv('HTTPS_PROXY', 'http://127.0.0.1:1')
    expect(missingPrograms(['go', 'packer', 'tofu', 'terraform'])).toEqual(['go', 'packer', 'tofu', 'terraform'])
    const events: ToolEvent[] = []
    const site = await temporaryFolder()
    const began = performance.now()
    const environment = await toolEnvironment({
      cacheDir: join(await temporaryFolder(), 'cache'),
      pins: pins as typeof PINS,
      keys: async () => key.publicKey,
      sources: { mirror: net.mirror },
      site,
      report: (event) => events.push(event),
    })
    const took = performance.now() - began
    await key.close()
    expect(took).toBeLessThan(60_000)
    expect(events.filter(({ type }) => type === 'skipped')).toEqual([])
    expect(events.flatMap((event) => (event.type === 'ready' ? [`${event.tool.name} ${event.tool.origin}`] : [])).sort()).toEqual([
      'packer release',
      'packer-plugin-proxmox release',
      'terraform-provider-proxmox registry',
      'tofu release',
    ])
    expect(net.asked.every((path) => path.startsWith('mirror/'))).toBe(true)

    const stack = await temporaryFolder()
    const env = { ...environment, HOME: process.env.HOME ?? '' }
    const said = async (program: string, ...args: string[]): Promise<string> => (await run(program, args, { cwd: stack, env })).stdout
    expect(await said('packer', 'plugins', 'installed')).toContain(`packer-plugin-proxmox_v${tools['packer-plugin-proxmox'].version}`)
    const required = { proxmox: { source: 'bpg/proxmox' } }
    await writeFile(join(stack, 'main.tf.json'), JSON.stringify({ terraform: { required_providers: required } }))
    await lockProvider(stack, environment)
    expect(await said('tofu', 'init', '-no-color')).toContain(`Installed bpg/proxmox v${provider.version}`)
    expect(await said('tofu', 'providers', 'schema', '-json')).toContain('proxmox_virtual_environment_vm')
    expect(existsSync(join(site, '.terraform.lock.hcl'))).toBe(true)
  },
  180_000,
)
