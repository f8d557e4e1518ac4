import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { parseUsers, verifyPassword } from '../../images/guest/password.ts'
import { seedFiles } from '../../images/contract/files.ts'
import { inRoot, rootPath } from '../../lab/debian/root.ts'
import { readSeedSecrets, seedContents, seedPlace } from '../../releases/seed.ts'
import { initSecrets } from '../../scripts/init.ts'
import { newRelease } from '../../releases/deployment.ts'
import { nftables } from '../../releases/nftables.ts'
import { macOf, type Site } from '../../settings/site.ts'
import { exampleSite } from '../images/example.ts'

const rootFolder = await rootPath()
const noRoot = process.getuid?.() !== 0 || !existsSync(rootFolder)
const folder = await mkdtemp(join(tmpdir(), 'seed-'))
afterAll(() => rm(folder, { recursive: true, force: true }))

const site = exampleSite((input) => {
  input.serena.users = [
    { name: 'me', password: { kind: 'file', path: 'secrets/users/me' } },
    { name: 'you', password: { kind: 'env', name: 'YOURS' } },
  ]
  input.groups.logging = {
    roles: ['logging'],
    service: '192.168.1.60',
    depot: 9300,
    slots: { blue: { vmid: 9301, address: '192.168.1.61' }, green: { vmid: 9302, address: '192.168.1.62' } },
  }
})
await initSecrets(site, folder, new Date())
const releaseOf = (of: Site, group: string) =>
  newRelease(of, group, 'green', { id: '0123456789ab', created: new Date(0), image: { vmid: 9001, name: 'i', fingerprint: 'f' } })
const rendered = new Map<string, Promise<Map<string, string>>>()
/** Of the same site once: a password is dear to hash. */
const filesOf = (of: Site, group: string): Promise<Map<string, string>> => {
  const key = `${of === site} ${group}`
  const made = rendered.get(key) ?? render(of, group)
  rendered.set(key, made)
  return made
}
const render = async (of: Site, group: string): Promise<Map<string, string>> =>
  seedContents(releaseOf(of, group), await readSeedSecrets(of, folder, releaseOf(of, group), { YOURS: 'a secret of yours' }))
const golden = (files: Map<string, string>, name: keyof typeof seedFiles): string => files.get(`golden/${seedFiles[name]}`) ?? ''

describe('a seed', () => {
  it('has the files of its role, and no others', async () => {
    const everybody = [
      'seed',
      'firewall',
      'siteCa',
      'sshHostKey',
      'sshHostKeyPublic',
      'peerCertificate',
      'peerKey',
      'lokiPushPassword',
    ] as const
    const names = (keys: readonly (keyof typeof seedFiles)[]): string[] =>
      ['meta-data', 'network-config', 'user-data', ...keys.map((key) => `golden/${seedFiles[key]}`)].sort()
    expect([...(await filesOf(site, 'serena')).keys()].sort()).toEqual(
      names([...everybody, 'publicCertificate', 'publicKey', 'serenaUsers']),
    )
    expect([...(await filesOf(site, 'logging')).keys()].sort()).toEqual(
      names([...everybody, 'loggingCertificate', 'loggingKey', 'lokiUsers', 'grafanaAdminPassword']),
    )
  })

  it("matches the NIC by its MAC address and gives it the slot's address; no IPv6, no DHCP", async () => {
    const {
      ethernets: { eth0 },
    } = parse((await filesOf(site, 'serena')).get('network-config') ?? '')
    expect(eth0).toMatchObject({
      match: { macaddress: macOf(9202, '192.168.1.52').toLowerCase() },
      'set-name': 'eth0',
      dhcp4: false,
      dhcp6: false,
      'link-local': [],
      addresses: ['192.168.1.52/24'],
      routes: [{ to: '0.0.0.0/0', via: '192.168.1.1' }],
    })
  })

  it.skipIf(noRoot)("is valid to cloud-init (needs root and the lab's Debian root in the cache)", async () => {
    const place = await mkdtemp(join(tmpdir(), 'nocloud-'))
    try {
      for (const [name, content] of await filesOf(site, 'logging')) if (!name.includes('/')) await writeFile(join(place, name), content)
      const { stdout } = await inRoot(
        { folder: rootFolder },
        ['sh', '-ec', 'cloud-init schema -c /seed/user-data -t cloud-config; cloud-init schema -c /seed/network-config -t network-config'],
        { binds: [{ from: place, to: '/seed' }] },
      )
      expect(stdout.trim().split('\n')).toEqual(['Valid schema /seed/user-data', 'Valid schema /seed/network-config'])
    } finally {
      await rm(place, { recursive: true })
    }
  })

  it('has a new instance id for a new release, and host keys that stay', async () => {
    const files = await filesOf(site, 'serena')
    expect(parse(files.get('meta-data') ?? '')).toEqual({ 'instance-id': 'iid-0123456789ab', 'local-hostname': 'home-serena-green' })
    expect(parse(files.get('user-data') ?? '')).toMatchObject({ ssh_deletekeys: false, ssh_genkeytypes: ['ed25519'], users: [] })
    expect(files.get('user-data')).toMatch(/^#cloud-config\n/)
    expect(golden(files, 'sshHostKey')).toMatch(/^-----BEGIN OPENSSH PRIVATE KEY-----/)
  })

  it('holds secrets only in files of their own', async () => {
    const files = await filesOf(site, 'logging')
    const secret = golden(files, 'lokiPushPassword').trim()
    expect(secret.length).toBeGreaterThan(10)
    for (const [name, content] of files) if (!name.includes('secrets/')) expect(content).not.toContain(secret)
  })

  it('has passwords as scrypt with a salt of its own each, that golden-auth knows', async () => {
    const text = golden(await filesOf(site, 'serena'), 'serenaUsers')
    expect(text.split('\n').map((line) => line.split('$').slice(0, 3).join('$'))).toEqual([
      'me:$scrypt$ln=14,r=8,p=5',
      'you:$scrypt$ln=14,r=8,p=5',
      '',
    ])
    const users = parseUsers(text)
    expect(users.get('me')?.salt).not.toEqual(users.get('you')?.salt)
    expect(await verifyPassword(Buffer.from('a secret of yours'), users.get('you')!)).toBe(true)
    expect(await verifyPassword(Buffer.from('another'), users.get('you')!)).toBe(false)
  })

  it('brings the firewall of its own slot, and tells where logs go', async () => {
    const files = await filesOf(site, 'serena')
    expect(golden(files, 'firewall')).toBe(nftables(releaseOf(site, 'serena').flows))
    expect(JSON.parse(golden(files, 'seed'))).toMatchObject({
      slot: 'green',
      peer: '192.168.1.51',
      loki: { host: '192.168.1.60', port: 8443, user: 'promtail' },
    })
  })

  it('of a site without logging knows nothing of it', async () => {
    const alone = exampleSite((input) => {
      input.serena.users = site.serena.users
    })
    const files = await filesOf(alone, 'serena')
    expect(files.has(`golden/${seedFiles.lokiPushPassword}`)).toBe(false)
    expect(JSON.parse(golden(files, 'seed'))).not.toHaveProperty('loki')
  })

  it('is named after its VM and release alone', () => {
    expect(seedPlace(releaseOf(site, 'serena'))).toEqual({ storage: 'golden-iso', file: 'seed-9202-0123456789ab.iso' })
  })

  it('names the file of a secret that is missing, and the verb that makes it', async () => {
    await expect(readSeedSecrets(site, '/nonexistent', releaseOf(site, 'serena'), {})).rejects.toMatchObject({
      code: 'secret-unavailable',
      message: expect.stringContaining('/nonexistent/secrets/'),
      hint: expect.stringContaining('golden init'),
    })
  })
})
