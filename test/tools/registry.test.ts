/** The provider out of registries, mirrors and folders on this computer, by the real OpenTofu, with real signatures. */
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { run } from '../../core/child.ts'
import { makeArchiveKey, type ArchiveKey } from '../../lab/debian/archive.ts'
import { lockProvider } from '../../rollout/engine.ts'
import { ensureTool, haveTools, toolEnvironment, type EnvironmentOptions, type ToolEvent } from '../../tools/index.ts'
import { currentPlatform } from '../../tools/platform.ts'
import { lockedProvider } from '../../tools/provider-lock.ts'
import { missingPrograms } from '../images/programs.ts'
import { executable, filesBelow, temporaryFolder } from './folder.ts'
import { internet, type Internet } from './internet.ts'
import { publishProvider, providerFile, providerPackage, type Published } from './provider-package.ts'
import { sha256 } from './signing.ts'

const missing = [...missingPrograms(['gpg']), ...((await haveTools(['tofu'])) ? [] : ['tofu: node tools/ensure.ts --for test'])]
const address = 'registry.opentofu.org/bpg/proxmox'
const version = '0.112.0'
const name = 'terraform-provider-proxmox' as const

const onPath = (program: string): string | undefined =>
  (process.env.PATH ?? '')
    .split(':')
    .map((folder) => join(folder, program))
    .find((file) => existsSync(file))

describe.skipIf(missing.length > 0)(`the provider ${missing.length > 0 ? `(not here: ${missing.join(', ')})` : ''}`, () => {
  let key: ArchiveKey
  let stranger: ArchiveKey
  let tofu: string
  let net: Internet
  let site: string
  const archive = providerPackage('the provider')
  const publish = (change: Partial<Published> = {}): Promise<void> => publishProvider(net, { archive, key, ...change })
  beforeAll(async () => {
    ;[key, stranger] = await Promise.all([makeArchiveKey(), makeArchiveKey()])
    tofu = (await ensureTool('tofu')).path
  })
  afterAll(() => Promise.all([key.close(), stranger.close()]))
  beforeEach(async () => {
    // Neither Go nor a provider on PATH, and nobody's own configuration.
    vi.stubEnv('PATH', '/usr/bin:/bin')
    vi.stubEnv('HOME', await temporaryFolder())
    vi.stubEnv('TF_CLI_CONFIG_FILE', '')
    net = await internet()
    site = await temporaryFolder()
  })

  it('comes from the registry, signed; the site keeps which, and later runs ask nobody', async () => {
    await publish()
    const attempt = await attemptWith({ site })
    const environment = await attempt.run()
    expect(await readFile(await providerIn(environment), 'utf8')).toBe('the provider')
    const lock = await readFile(join(site, '.terraform.lock.hcl'), 'utf8')
    expect(lockedProvider(lock, address)).toMatchObject({ version, hashes: [expect.stringMatching(/^h1:/), `zh:${sha256(archive)}`] })
    expect(await attempt.notes()).toMatchObject({ origin: 'registry', vouched: expect.stringMatching(/^signed, key ID [0-9A-F]{16}$/) })
    const { length } = net.asked
    await attempt.run()
    // Without a site, or of a new one, too.
    const other = await temporaryFolder()
    await attempt.run({ site: other })
    expect(net.asked).toHaveLength(length)
    expect(await readFile(join(other, '.terraform.lock.hcl'), 'utf8')).toBe(lock)
    expect(attempt.skipped()).toEqual([])
  })

  it('is what the engine then uses, offline, and nothing else', async () => {
    await publish()
    const environment = await (await attemptWith({ site })).run()
    const { length } = net.asked
    const stack = await stackFolder()
    expect(await init(stack, environment)).toContain(`Installed bpg/proxmox v${version}`)
    expect(net.asked).toHaveLength(length)
    await writeFile(await providerIn(environment), 'exchanged in the cache')
    await rm(join(stack, '.terraform'), { recursive: true })
    await expect(init(stack, environment)).rejects.toThrow(/checksums\s+previously\s+recorded/)
  })

  it('that is not what the site has recorded is refused by name, and nothing is built instead', async () => {
    await publish()
    await (await attemptWith({ site })).run()
    const before = await readFile(join(site, '.terraform.lock.hcl'), 'utf8')
    await publish({ archive: providerPackage('another provider of that version') })
    const attempt = await attemptWith({ site })
    await expect(attempt.run()).rejects.toMatchObject({
      code: 'provider-changed',
      message: expect.stringContaining(`bpg/proxmox ${version} is not the one that the site's .terraform.lock.hcl has recorded`),
      hint: expect.stringContaining('remove .terraform.lock.hcl'),
    })
    expect(await attempt.leftovers()).toEqual([])
    expect(await readFile(join(site, '.terraform.lock.hcl'), 'utf8')).toBe(before)
    // As the hint says.
    await rm(join(site, '.terraform.lock.hcl'))
    expect(await readFile(await providerIn(await attempt.run()), 'utf8')).toBe('another provider of that version')
  })

  it('of which the site has recorded another version takes its place there, and what else the site has locked stays', async () => {
    await publish()
    const others = 'provider "registry.opentofu.org/hashicorp/null" {\n  version = "3.2.4"\n  hashes = [\n    "h1:x",\n  ]\n}\n'
    const old = `provider "${address}" {\n  version     = "0.100.0"\n  constraints = "0.100.0"\n  hashes = [\n    "h1:old",\n  ]\n}\n`
    await writeFile(join(site, '.terraform.lock.hcl'), `# mine\n${others}\n${old}`)
    await (await attemptWith({ site })).run()
    const lock = await readFile(join(site, '.terraform.lock.hcl'), 'utf8')
    expect(lock).toContain(`# mine\n${others}`)
    expect(lock).not.toContain('0.100.0')
    expect(lockedProvider(lock, address)?.version).toBe(version)
  })

  it.each([
    ['whose list of digests somebody else has signed', { signer: 'stranger' }, /not signed with a valid signing key/],
    ['whose digest is not in the signed list', { listed: providerPackage('another') }, /checksum/],
    ['that nobody has signed', { unsigned: true }, /without a signature/],
    ['of which there is no such version', { version: '0.113.0' }, /no available releases match|0\.112\.0/],
  ] as const)('%s is refused, and that is said', async (_what, change, why) => {
    const { signer, ...rest } = { signer: 'key', ...change } as { signer: string } & Partial<Published>
    await publish({ ...rest, by: signer === 'stranger' ? stranger : key })
    const attempt = await attemptWith({ site })
    await expect(attempt.run()).rejects.toMatchObject({ code: 'go-missing', message: expect.stringMatching(why) })
    expect(attempt.skipped().join('\n')).toMatch(why)
    expect(existsSync(join(site, '.terraform.lock.hcl'))).toBe(false)
    expect(await attempt.leftovers()).toEqual([])
  })

  it('is passed over in seconds when nobody answers, and the error has every way', async () => {
    vi.stubEnv('HTTPS_PROXY', 'http://127.0.0.1:1')
    const attempt = await attemptWith({ site })
    const began = performance.now()
    await expect(attempt.run()).rejects.toMatchObject({
      code: 'go-missing',
      message: expect.stringMatching(/not from PATH: .*\n {2}not from its registry: .*\n {2}not built: Go is not installed/),
      hint: expect.stringMatching(
        /reach registry\.opentofu\.org.*TF_CLI_CONFIG_FILE.*terraform-provider-proxmox_0\.112\.0_.*\.zip .*GOLDEN_TOOLS_FOLDER/,
      ),
    })
    expect(performance.now() - began).toBeLessThan(20_000)
  })

  const terraform = onPath('terraform')
  it.skipIf(terraform === undefined)('comes to Terraform from its own registry, and is used offline (needs: terraform)', async () => {
    await publish()
    const attempt = await attemptWith({ site, engine: 'terraform' })
    await executable(attempt.bin, 'terraform', `exec '${terraform}' "$@"`)
    const environment = await attempt.run()
    expect(await attempt.notes()).toMatchObject({ host: 'registry.terraform.io', vouched: expect.stringMatching(/^self-signed, key ID/) })
    expect(await readFile(join(site, '.terraform.lock.hcl'), 'utf8')).toContain('provider "registry.terraform.io/bpg/proxmox" {')
    const { length } = net.asked
    expect(await init(await stackFolder(), environment)).toContain(`Installed bpg/proxmox v${version}`)
    expect(net.asked).toHaveLength(length)
  })

  it("comes from where the user's own CLI configuration says, which the engine then keeps to", async () => {
    const mirror = join(await temporaryFolder(), 'mirror')
    await mkdir(join(mirror, address), { recursive: true })
    await writeFile(join(mirror, address, providerFile()), archive)
    const own = join(dirname(mirror), 'own.tfrc')
    await writeFile(own, `provider_installation {\n  filesystem_mirror {\n    path = "${mirror}"\n  }\n}\n`)
    vi.stubEnv('TF_CLI_CONFIG_FILE', own)
    const attempt = await attemptWith({ site })
    const environment = await attempt.run()
    expect(net.asked).toEqual([])
    expect(environment.TF_CLI_CONFIG_FILE).toBe(own)
    expect(await readFile(await providerIn(environment), 'utf8')).toBe('the provider')
    // The mirror may be away by then.
    await rm(mirror, { recursive: true })
    expect(await init(await stackFolder(), environment)).toContain(`Using bpg/proxmox v${version} from the shared cache directory`)
    expect(net.asked).toEqual([])
  })

  it("comes from where the user's usual CLI configuration says", async () => {
    const mirror = join(await temporaryFolder(), 'mirror')
    await mkdir(join(mirror, address), { recursive: true })
    await writeFile(join(mirror, address, providerFile()), archive)
    await writeFile(
      join(process.env.HOME ?? '', '.tofurc'),
      `provider_installation {\n  filesystem_mirror {\n    path = "${mirror}"\n  }\n}\n`,
    )
    const environment = await (await attemptWith({ site })).run()
    expect(await init(await stackFolder(), environment)).toContain(`Installed bpg/proxmox v${version}`)
    expect(net.asked).toEqual([])
  })

  it('comes from the mirror of release servers, as "tofu providers mirror" lays it out', async () => {
    const files = `https://${address}`
    await net.put(`${files}/index.json`, JSON.stringify({ versions: { [version]: {} } }))
    await net.put(`${files}/${version}.json`, JSON.stringify({ archives: { [currentPlatform()]: { url: providerFile() } } }))
    await net.put(`${files}/${providerFile()}`, archive)
    const attempt = await attemptWith({ site, sources: { mirror: net.mirror } })
    await attempt.run()
    expect(net.asked.every((path) => path.startsWith(`mirror/${address}/`))).toBe(true)
    expect(lockedProvider(await readFile(join(site, '.terraform.lock.hcl'), 'utf8'), address)?.version).toBe(version)
    // What came from a mirror without a signature is held to the lock from then on.
    await net.put(`${files}/${providerFile()}`, providerPackage('another'))
    await expect((await attemptWith({ site, sources: { mirror: net.mirror } })).run()).rejects.toMatchObject({ code: 'provider-changed' })
  })

  it('comes out of a folder without asking anybody', async () => {
    const folder = await temporaryFolder()
    await writeFile(join(folder, providerFile()), archive)
    await (await attemptWith({ site, sources: { folder } })).run()
    expect(net.asked).toEqual([])
    expect(existsSync(join(site, '.terraform.lock.hcl'))).toBe(true)
  })

  it('that was built here before is used, unless the site has recorded what its registry had', async () => {
    const bin = await temporaryFolder()
    await executable(
      bin,
      'go',
      `if [ "$1" = env ]; then printf 'go1.26.8\\ngcc\\n'; exit; fi
while [ "$1" != -o ]; do shift; done
echo built >"$2"; /bin/chmod 755 "$2"`,
    )
    const attempt = await attemptWith({ site })
    vi.stubEnv('PATH', `${bin}:/usr/bin:/bin`)
    expect(await readFile(await providerIn(await attempt.run()), 'utf8')).toBe('built\n')
    expect(existsSync(join(site, '.terraform.lock.hcl'))).toBe(false)
    vi.stubEnv('PATH', '/usr/bin:/bin')
    await publish()
    expect(await readFile(await providerIn(await attempt.run()), 'utf8')).toBe('built\n')
    const other = await attemptWith({ site })
    await other.run()
    expect(await readFile(await providerIn(await attempt.run()), 'utf8')).toBe('the provider')
  })

  async function stackFolder(): Promise<string> {
    const folder = await temporaryFolder()
    const required = { proxmox: { source: 'bpg/proxmox', version: '>= 0.111.1, < 1.0.0' } }
    await writeFile(join(folder, 'main.tf.json'), JSON.stringify({ terraform: { required_providers: required } }))
    return folder
  }

  /** As rollout/engine.ts does it. */
  async function init(stack: string, environment: Record<string, string>): Promise<string> {
    await lockProvider(stack, environment)
    const env = { ...environment, HOME: process.env.HOME ?? '', HTTPS_PROXY: process.env.HTTPS_PROXY ?? '' }
    return (await run(environment.TERRAFORM_BINARY_NAME ?? '', ['init', '-input=false', '-no-color'], { cwd: stack, env })).stdout
  }

  async function providerIn({ GOLDEN_PROVIDER_LOCK: lock = '' }: Record<string, string>): Promise<string> {
    const folder = join(dirname(lock), 'providers')
    return join(folder, (await filesBelow(folder)).find((file) => file.endsWith(`_v${version}`)) ?? '')
  }

  async function attemptWith(options: EnvironmentOptions) {
    const folder = await temporaryFolder()
    const cacheDir = join(folder, 'cache')
    const bin = join(folder, 'bin')
    await mkdir(bin)
    await executable(bin, 'tofu', `exec '${tofu}' "$@"`)
    const events: ToolEvent[] = []
    return {
      bin,
      run: (change: EnvironmentOptions = {}) =>
        toolEnvironment({
          cacheDir,
          searchPath: bin,
          sources: {},
          programs: ['engine'],
          report: (event) => events.push(event),
          ...options,
          ...change,
        }),
      skipped: () => events.flatMap((event) => (event.type === 'skipped' ? [event.text] : [])),
      notes: async () => {
        const [entry = ''] = await readdir(join(cacheDir, name))
        return JSON.parse(await readFile(join(cacheDir, name, entry, 'made.json'), 'utf8')) as unknown
      },
      leftovers: async () => (await filesBelow(cacheDir)).filter((file) => !file.startsWith('environment/')),
    }
  }
})
