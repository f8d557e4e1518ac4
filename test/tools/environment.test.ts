import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { access, constants, mkdir, readFile, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { toolCache } from '../../tools/cache.ts'
import { ensureTool, PINS, prepareEnvironment, toolEnvironment, type EnvironmentOptions } from '../../tools/index.ts'
import { lockedProvider, packageHash } from '../../tools/provider-lock.ts'
import { executable, filesBelow, temporaryFolder } from './folder.ts'

const provider = PINS['terraform-provider-proxmox'].version
const address = 'registry.opentofu.org/bpg/proxmox'

describe('the environment for Packer and the engine, from programs on PATH', () => {
  it('ties plugin, provider and engine together', async () => {
    const { options, bin } = await programs()
    const environment = await toolEnvironment(options)
    expect(Object.keys(environment).sort()).toEqual([
      'CHECKPOINT_DISABLE',
      'GOLDEN_PROVIDER_LOCK',
      'PACKER_PLUGIN_PATH',
      'PATH',
      'TERRAFORM_BINARY_NAME',
      'TF_CLI_CONFIG_FILE',
    ])
    expect(environment).toMatchObject({ CHECKPOINT_DISABLE: '1', TERRAFORM_BINARY_NAME: 'tofu' })
    const [packer = '', engine = '', rest] = environment.PATH!.split(':')
    expect(rest).toBe(bin)
    expect([...(await readdir(packer)), ...(await readdir(engine))]).toEqual(['packer', 'tofu'])
    await access(join(engine, 'tofu'), constants.X_OK)
    expect(await filesBelow(environment.PACKER_PLUGIN_PATH!)).toEqual(['installed'])
    const configuration = await readFile(environment.TF_CLI_CONFIG_FILE!, 'utf8')
    const mirror = /path {4}= "(.*)"/.exec(configuration)?.[1] ?? ''
    const mirrored = (await filesBelow(mirror)).map((file) => file.replace(/(linux|darwin)_(amd64|arm64)/, 'PLATFORM'))
    expect(mirrored).toEqual([`${address}/${provider}/PLATFORM/terraform-provider-proxmox_v${provider}`])
    expect(configuration.match(/(include|exclude) = .*/g)).toEqual(['include', 'exclude'].map((word) => `${word} = ["${address}"]`))
    expect(lockedProvider(await readFile(environment.GOLDEN_PROVIDER_LOCK!, 'utf8'), address)).toEqual({
      version: provider,
      hashes: [await packageHash(join(mirror, dirname((await filesBelow(mirror))[0]!)))],
    })
  })

  it('is made once, and again when a program has been exchanged', async () => {
    const { options, bin } = await programs()
    const first = await prepareEnvironment(options)
    // As after `eval "$(golden env)"`: what we put on PATH ourselves changes nothing.
    const searchPath = [...first.map(({ binDir }) => binDir), bin].join(':')
    expect(await prepareEnvironment({ ...options, searchPath })).toEqual(first)
    await utimes(join(bin, 'packer'), 1, 1)
    const [packer, engine] = await prepareEnvironment(options)
    expect(packer?.binDir).not.toBe(first[0]?.binDir)
    expect(engine).toEqual(first[1])
  })

  it('asks for nothing that nobody runs', async () => {
    const { options, bin } = await programs()
    for (const name of ['packer', 'packer-plugin-proxmox']) await rm(join(bin, name))
    const forEngine = await toolEnvironment({ ...options, programs: ['engine'] })
    expect(forEngine).not.toHaveProperty('PACKER_PLUGIN_PATH')
    const { options: others, bin: otherBin } = await programs()
    for (const name of ['tofu', `terraform-provider-proxmox_v${provider}`]) await rm(join(otherBin, name))
    expect(await toolEnvironment({ ...others, programs: ['packer'] })).not.toHaveProperty('TF_CLI_CONFIG_FILE')
  })

  it("keeps to the user's own CLI configuration if there is one", async () => {
    const { options, bin } = await programs()
    vi.stubEnv('TF_CLI_CONFIG_FILE', join(bin, 'own.tfrc'))
    // It is named, and not there: as good as none.
    const without = await toolEnvironment({ ...options, programs: ['engine'] })
    expect(without.TF_CLI_CONFIG_FILE).toMatch(/cli\.tfrc$/)
    expect(without).not.toHaveProperty('TF_PLUGIN_CACHE_DIR')
    // As after `eval "$(golden env)"`: it is ours, and says what was right then.
    vi.stubEnv('TF_CLI_CONFIG_FILE', without.TF_CLI_CONFIG_FILE)
    expect(await toolEnvironment({ ...options, programs: ['engine'] })).toEqual(without)
    vi.stubEnv('TF_CLI_CONFIG_FILE', join(bin, 'own.tfrc'))
    await writeFile(join(bin, 'own.tfrc'), '')
    const own = await toolEnvironment({ ...options, programs: ['engine'] })
    expect(own.TF_CLI_CONFIG_FILE).toBe(join(bin, 'own.tfrc'))
    expect(own.TF_PLUGIN_CACHE_DIR).toBe(join(dirname(own.GOLDEN_PROVIDER_LOCK!), 'providers'))
    vi.unstubAllEnvs()
  })

  it('uses a Terraform on PATH only when asked', async () => {
    const { options, bin } = await programs()
    await executable(bin, 'terraform', 'echo "Terraform v1.11.4"')
    const engine = { ...options, programs: ['engine'] } as const
    expect((await toolEnvironment(engine)).TERRAFORM_BINARY_NAME).toBe('tofu')
    const [asked] = await prepareEnvironment({ ...engine, engine: 'terraform' })
    expect(asked?.variables.TERRAFORM_BINARY_NAME).toBe('terraform')
    expect(await readdir(asked!.binDir)).toEqual(['terraform'])
    expect(await readFile(asked!.variables.GOLDEN_PROVIDER_LOCK!, 'utf8')).toContain('provider "registry.terraform.io/bpg/proxmox"')
  })

  it('says so when Terraform is asked for and there is none that is new enough', async () => {
    const { options, bin } = await programs()
    await executable(bin, 'terraform', 'echo "Terraform v1.3.9"')
    await expect(prepareEnvironment({ ...options, engine: 'terraform' })).rejects.toMatchObject({
      code: 'terraform-missing',
      message: expect.stringContaining('terraform is 1.3.9'),
    })
  })

  it('a plugin that Packer refuses is a clear error and leaves nothing', async () => {
    const { options, bin, cache } = await programs()
    await executable(bin, 'packer', 'case "$1" in version) echo "Packer v1.16.0";; *) echo "not a plugin" >&2; exit 1;; esac')
    await expect(prepareEnvironment({ ...options, programs: ['packer'] })).rejects.toMatchObject({
      code: 'plugin-not-installable',
      message: expect.stringContaining('not a plugin'),
    })
    expect(await filesBelow(cache)).toEqual([])
  })
})

const built = ['packer', 'packer-plugin-proxmox', 'tofu', 'terraform-provider-proxmox'].every((name) => existsSync(join(toolCache(), name)))

it.skipIf(!built)(
  'the real programs find the real plugin and the real provider, which come from no registry (needs: node tools/ensure.ts --for test)',
  async () => {
    const folder = await temporaryFolder()
    const env = { ...process.env, ...(await toolEnvironment()) }
    const run = (command: string, ...argv: string[]): string => execFileSync(command, argv, { cwd: folder, env, encoding: 'utf8' })
    await writeFile(
      join(folder, 'main.tf'),
      'terraform {\n  required_providers {\n    proxmox = {\n      source = "bpg/proxmox"\n    }\n  }\n}\n',
    )
    expect(run('packer', 'version')).toContain(`v${PINS.packer.version}`)
    expect(run('packer', 'plugins', 'installed')).toContain(`packer-plugin-proxmox_v${(await ensureTool('packer-plugin-proxmox')).version}`)
    expect(run('tofu', 'init', '-no-color')).toContain(`Installed bpg/proxmox v${provider}`)
    expect(await readFile(join(folder, '.terraform.lock.hcl'), 'utf8')).toContain('registry.opentofu.org/bpg/proxmox')
  },
  60_000,
)

/** Small programs that answer as the real ones do where the environment asks them. */
async function programs(): Promise<{ bin: string; cache: string; options: EnvironmentOptions }> {
  const folder = await temporaryFolder()
  const bin = join(folder, 'bin')
  const cache = join(folder, 'cache')
  await mkdir(bin)
  await executable(
    bin,
    'packer',
    'case "$1" in version) echo "Packer v1.16.0";; plugins) echo "$5" >"$PACKER_PLUGIN_PATH/installed";; esac',
  )
  await executable(bin, 'packer-plugin-proxmox', `echo '{"version":"1.2.4","api_version":"x5.0"}'`)
  await executable(bin, 'tofu', 'echo "OpenTofu v1.12.6"')
  await executable(bin, `terraform-provider-proxmox_v${provider}`, 'exit 1')
  return { bin, cache, options: { cacheDir: cache, searchPath: bin } }
}
