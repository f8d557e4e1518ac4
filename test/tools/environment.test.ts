import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { access, constants, mkdir, readFile, readdir, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { toolCache } from '../../tools/cache.ts'
import { PINS, prepareEnvironment, toolEnvironment, type EnvironmentOptions } from '../../tools/index.ts'
import { executable, filesBelow, temporaryFolder } from './folder.ts'

const provider = PINS['terraform-provider-proxmox'].version

describe('the environment for Packer and the engine, from programs on PATH', () => {
  it('ties plugin, provider and engine together', async () => {
    const { options, bin } = await programs()
    const environment = await toolEnvironment(options)
    expect(Object.keys(environment).sort()).toEqual([
      'CHECKPOINT_DISABLE',
      'PACKER_PLUGIN_PATH',
      'PATH',
      'TERRAFORM_BINARY_NAME',
      'TF_CLI_CONFIG_FILE',
    ])
    expect(environment).toMatchObject({ CHECKPOINT_DISABLE: '1', TERRAFORM_BINARY_NAME: 'tofu' })
    const [ours, rest] = environment.PATH!.split(':')
    expect(rest).toBe(bin)
    expect((await readdir(ours!)).sort()).toEqual(['packer', 'tofu'])
    await access(join(ours!, 'tofu'), constants.X_OK)
    expect(await filesBelow(environment.PACKER_PLUGIN_PATH!)).toEqual(['installed'])
    const configuration = await readFile(environment.TF_CLI_CONFIG_FILE!, 'utf8')
    const mirror = /path {4}= "(.*)"/.exec(configuration)?.[1] ?? ''
    const mirrored = (await filesBelow(mirror)).map((file) => file.replace(/(linux|darwin)_(amd64|arm64)/, 'PLATFORM'))
    expect(mirrored).toEqual(
      ['registry.opentofu.org', 'registry.terraform.io'].map(
        (host) => `${host}/bpg/proxmox/${provider}/PLATFORM/terraform-provider-proxmox_v${provider}`,
      ),
    )
    expect(configuration.match(/(include|exclude) = .*/g)).toEqual(
      ['include', 'exclude'].map((word) => `${word} = ["registry.terraform.io/bpg/proxmox","registry.opentofu.org/bpg/proxmox"]`),
    )
  })

  it('is made once, and again when a program has been exchanged', async () => {
    const { options, bin } = await programs()
    const first = await prepareEnvironment(options)
    // As after `eval "$(golden env)"`: what we put on PATH ourselves changes nothing.
    expect(await prepareEnvironment({ ...options, searchPath: `${first.binDir}:${bin}` })).toEqual(first)
    await utimes(join(bin, 'packer'), 1, 1)
    expect((await prepareEnvironment(options)).binDir).not.toBe(first.binDir)
  })

  it('uses a Terraform on PATH only when asked', async () => {
    const { options, bin } = await programs()
    await executable(bin, 'terraform', 'echo "Terraform v1.11.4"')
    expect((await prepareEnvironment(options)).engine.name).toBe('tofu')
    const asked = await prepareEnvironment({ ...options, engine: 'terraform' })
    expect(asked.engine).toEqual({ name: 'terraform', version: '1.11.4', path: join(bin, 'terraform') })
    expect(asked.variables.TERRAFORM_BINARY_NAME).toBe('terraform')
    expect((await readdir(asked.binDir)).sort()).toEqual(['packer', 'terraform'])
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
    await expect(prepareEnvironment(options)).rejects.toMatchObject({
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
    expect(run('packer', 'plugins', 'installed')).toContain(`packer-plugin-proxmox_v${PINS['packer-plugin-proxmox'].version}`)
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
