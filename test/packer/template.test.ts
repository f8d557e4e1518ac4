import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { renderRecord, type TemplateRecord } from '../../images/record.ts'
import { scripts, template } from '../../packer/inputs.ts'
import { makeBuildKey } from '../../packer/key.ts'
import { runPacker, type PackerVariables } from '../../packer/run.ts'
import { toolEnvironment } from '../../tools/index.ts'

const hash = 'a'.repeat(64)
const record: TemplateRecord = {
  schema: 1,
  kind: 'image',
  site: 'home',
  fingerprint: hash,
  lock: hash,
  base: { os: 'debian-13', sha256: hash },
  built: '2026-11-24T01:02:03Z',
  services: { serena: `ghcr.io/oraios/serena@sha256:${hash} ${'${var.x} %{ if } {{ .Path }}'}` },
}

let work: string
let environment: Record<string, string>
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'golden-packer-'))
  environment = await toolEnvironment()
}, 900_000)
afterAll(() => rm(work, { recursive: true }))

async function validate(change: Partial<PackerVariables> = {}) {
  const key = join(work, 'key')
  await writeFile(key, makeBuildKey().privateKey, { mode: 0o600 })
  const variables: PackerVariables = {
    proxmox_url: 'https://127.0.0.1:1/api2/json',
    node: 'pve',
    pool: 'golden',
    vm_id: 9001,
    vm_name: 'golden-build-home-0',
    base_name: 'golden-base-home-0',
    template_name: 'golden-home-0',
    template_description: renderRecord(record),
    cores: 2,
    memory: 2048,
    bridge: 'vmbr0',
    vlan: '',
    mac: 'BC:24:11:00:23:29',
    seed: 'golden-iso:iso/seed.iso',
    ssh_host: '192.168.1.40',
    ssh_key_file: key,
    ssh_timeout: '15m',
    socks_host: '',
    socks_port: 0,
    scripts,
    inputs: [key],
    archives: [key],
    inventory: join(work, 'inventory.tar.gz'),
    sbom: join(work, 'sbom.cdx.json'),
    sbom_command: 'exec true',
    ...change,
  }
  const variablesFile = join(work, 'variables.pkrvars.json')
  await writeFile(variablesFile, JSON.stringify(variables))
  return runPacker({
    command: 'validate',
    template,
    variablesFile,
    workFolder: work,
    environment,
    token: { id: 'golden@pve!golden', secret: 'not-a-secret' },
    caFile: undefined,
    signal: new AbortController().signal,
    note: () => {},
  })
}

describe('golden.pkr.hcl', () => {
  it('is valid for the real Packer and its Proxmox plugin', async () => {
    const outcome = await validate()
    expect(outcome.lines.join('\n')).toContain('The configuration is valid.')
    expect(outcome.exitCode).toBe(0)
  })

  it('is valid with a VLAN and a SOCKS proxy', async () => {
    expect((await validate({ vlan: '20', socks_host: '127.0.0.1', socks_port: 1080 })).exitCode).toBe(0)
  })

  it('is refused when something is wrong, with the reason', async () => {
    const outcome = await validate({ template_name: 'not a DNS name' })
    expect(outcome.exitCode).not.toBe(0)
    expect(outcome.lines.join('\n')).toContain('template_name must be a valid DNS name')
  })

  it('is formatted as Packer formats', async () => {
    await promisify(execFile)('packer', ['fmt', '-check', template], { env: { ...process.env, ...environment } })
  })
})

describe('provisioner scripts', () => {
  it('are in the form that a POSIX shell reads', async () => {
    const names = (await readdir(scripts)).filter((name) => name.endsWith('.sh'))
    expect(names).toContain('finish.sh')
    for (const name of names) {
      await promisify(execFile)('sh', ['-n', join(scripts, name)])
      expect(await readFile(join(scripts, name), 'utf8')).toMatch(/^#!\/bin\/sh\n/)
    }
  })
})
