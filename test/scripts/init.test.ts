import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { writePins } from '../../releases/pins.ts'
import { initFolder, initSecrets } from '../../scripts/init.ts'
import { peerName } from '../../images/contract/files.ts'
import { isKeyOf, makeAuthority } from '../../settings/secrets/certificates.ts'
import { peerFiles } from '../../settings/secrets/places.ts'
import { permittedNames } from '../../settings/secrets/name-constraints.ts'
import { generateSshKey } from '../../settings/secrets/generate-ssh-key.ts'
import { newRelease } from '../../releases/deployment.ts'
import { loadSite } from '../../settings/load.ts'
import type { Site } from '../../settings/site.ts'

let folder: string
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'golden-init-')), 'site')
})
afterEach(() => rmSync(join(folder, '..'), { recursive: true, force: true }))

it('a new site folder holds all secrets, for its owner only, and a second run changes nothing', async () => {
  await initFolder(folder)
  const site = await loadSite(folder)
  const made = await initSecrets(site, folder, new Date())
  expect(made.length).toBeGreaterThan(8)
  for (const file of made) expect(statSync(file).mode & 0o777, file).toBe(0o600)
  const before = made.map((file) => readFileSync(file, 'utf8'))
  expect(await initFolder(folder)).toEqual([])
  expect(await initSecrets(site, folder, new Date())).toEqual([])
  expect(made.map((file) => readFileSync(file, 'utf8'))).toEqual(before)
})

it.each([
  ['without a .gitignore', undefined],
  ['with one that asks for everything', '!secrets\n!state\n!*\n'],
])('git sees nothing of secrets and state in a folder %s', async (_, ignore) => {
  mkdirSync(folder)
  const git = (...args: string[]): string => execFileSync('git', args, { cwd: folder, encoding: 'utf8' })
  git('init', '-q')
  if (ignore !== undefined) writeFileSync(join(folder, '.gitignore'), ignore)
  await initFolder(folder)
  await initSecrets(await loadSite(folder), folder, new Date())
  writeFileSync(join(folder, 'state', 'terraform.tfstate'), '{}')
  expect(
    git('ls-files', '--others', '--exclude-standard')
      .split('\n')
      .filter((name) => name !== '' && name !== '.gitignore'),
  ).toEqual(['allowed-signers', 'site.ts'])
})

it('the key that signs images is on the list of those that count; a list that people have edited stays as it is', async () => {
  await initFolder(folder)
  const site = await loadSite(folder)
  await initSecrets(site, folder, new Date())
  const list = join(folder, 'allowed-signers')
  const pub = readFileSync(secret('image-key.pub'), 'utf8').split(' ')[1]
  expect(readFileSync(list, 'utf8')).toBe(`home namespaces="golden-image" ssh-ed25519 ${pub}\n`)
  const edited = 'office namespaces="golden-image" ssh-ed25519 AAAA\n'
  writeFileSync(list, edited)
  expect(await initSecrets(site, folder, new Date())).toEqual([])
  expect(readFileSync(list, 'utf8')).toBe(edited)
  // Another computer, which has no key, gets one, and people see its line in git.
  rmSync(secret('image-key'))
  expect(await initSecrets(site, folder, new Date())).toEqual([secret('image-key'), secret('image-key.pub'), list])
  const lines = readFileSync(list, 'utf8').split('\n')
  expect(lines[0]).toBe(edited.trim())
  expect(lines[1]).toContain(readFileSync(secret('image-key.pub'), 'utf8').split(' ')[1])
})

it('without signatures there is no key, and one that is kept elsewhere is not made', async () => {
  await initFolder(folder)
  const site = await loadSite(folder)
  await initSecrets({ ...site, image: { ...site.image, signed: false } }, folder, new Date())
  await initSecrets({ ...site, image: { ...site.image, signingKey: '/run/keys/golden' } }, folder, new Date())
  expect(existsSync(secret('image-key'))).toBe(false)
  expect(existsSync(join(folder, 'allowed-signers'))).toBe(false)
})

const secret = (...path: string[]): string => join(folder, 'secrets', ...path)
const renamed = (site: Site): Site => ({ ...site, public: { ...site.public, host: 'code.example.net' } })
/** As `openssl verify` sees a leaf, for a name. */
function verifies(leaf: string, ca: string, name: string): boolean {
  return (
    spawnSync('openssl', [
      'verify',
      '-x509_strict',
      '-purpose',
      'sslserver',
      '-CAfile',
      ca,
      isIP(name) === 0 ? '-verify_hostname' : '-verify_ip',
      name,
      leaf,
    ]).status === 0
  )
}

it('before anything runs, another public name gives a new CA and certificates for it', async () => {
  await initFolder(folder)
  const site = await loadSite(folder)
  await initSecrets(site, folder, new Date())
  const before = readFileSync(secret('ca.pem'), 'utf8')
  expect(await initSecrets(renamed(site), folder, new Date())).toEqual(
    ['ca.pem', 'ca.key', 'tls/public.pem', 'tls/public.key', 'tls/logging.pem', 'tls/logging.key'].map((name) => secret(name)),
  )
  expect(readFileSync(secret('ca-before.pem'), 'utf8')).toBe(before)
  expect(verifies(secret('tls/public.pem'), secret('ca.pem'), 'code.example.net')).toBe(true)
  expect(verifies(secret('tls/logging.pem'), secret('ca.pem'), site.groups.logging!.service)).toBe(true)
})

it('once VMs run, a new CA has to be asked for; nothing is changed until then', async () => {
  await initFolder(folder)
  const site = await loadSite(folder)
  await initSecrets(site, folder, new Date())
  const release = newRelease(site, 'serena', 'blue', {
    id: '0123456789ab',
    created: new Date(),
    image: { vmid: 9001, name: 'i', fingerprint: 'f' },
  })
  await writePins(folder, { schema: 1, groups: { serena: { dataDisk: 'made', active: 'blue', slots: { blue: release } } } })
  const before = readFileSync(secret('ca.pem'), 'utf8')
  await expect(initSecrets(renamed(site), folder, new Date())).rejects.toMatchObject({
    code: 'ca-too-narrow',
    message: expect.stringContaining('code.example.net'),
    hint: expect.stringContaining('--new-ca'),
  })
  expect(readFileSync(secret('ca.pem'), 'utf8')).toBe(before)
  expect(existsSync(secret('ca-before.pem'))).toBe(false)
  expect(await initSecrets(renamed(site), folder, new Date(), { newAuthority: true })).toContain(secret('ca.pem'))
})

it('a CA of an earlier version goes on signing for any name, until a new one is asked for', async () => {
  await initFolder(folder)
  const site = await loadSite(folder)
  const old = await makeAuthority('home serena-golden CA', new Date())
  mkdirSync(secret(), { recursive: true })
  writeFileSync(secret('ca.pem'), old.certificate)
  writeFileSync(secret('ca.key'), old.key)
  expect(await initSecrets(site, folder, new Date())).not.toContain(secret('ca.pem'))
  expect(await initSecrets(renamed(site), folder, new Date())).toEqual([secret('tls/public.pem'), secret('tls/public.key')])
  expect(verifies(secret('tls/public.pem'), secret('ca.pem'), 'code.example.net')).toBe(true)
  expect(permittedNames(readFileSync(secret('ca.pem'), 'utf8'))).toBeUndefined()
  expect(await initSecrets(renamed(site), folder, new Date(), { newAuthority: true })).toContain(secret('ca.pem'))
  expect(permittedNames(readFileSync(secret('ca.pem'), 'utf8'))).toContain('code.example.net')
})

it("each group's slots get a key of their own, by which two programs know each other as server and as client, and keep it", async () => {
  await initFolder(folder)
  const site = await loadSite(folder)
  await initSecrets(site, folder, new Date())
  const pairs = Object.keys(site.groups).map((group) => peerFiles(group))
  expect(new Set(pairs.map(({ key }) => readFileSync(join(folder, key), 'utf8'))).size).toBe(pairs.length)
  for (const { certificate, key } of pairs) {
    const pem = readFileSync(join(folder, certificate), 'utf8')
    expect(isKeyOf(readFileSync(join(folder, key), 'utf8'), pem)).toBe(true)
    expect(new X509Certificate(pem).validToDate.getFullYear()).toBeGreaterThan(new Date().getFullYear() + 28)
    const file = join(folder, certificate)
    expect(verifies(file, file, peerName)).toBe(true)
    expect(spawnSync('openssl', ['verify', '-x509_strict', '-purpose', 'sslclient', '-CAfile', file, file]).status).toBe(0)
  }
  // Not even when everything else is made anew.
  expect(await initSecrets(site, folder, new Date(Date.now() + 3000 * 86_400_000), { newAuthority: true })).not.toEqual(
    expect.arrayContaining([expect.stringContaining('peer')]),
  )
  // One without the other is of no use.
  rmSync(join(folder, pairs[0]!.certificate))
  expect(await initSecrets(site, folder, new Date())).toEqual([pairs[0]!.certificate, pairs[0]!.key].map((path) => join(folder, path)))
})

it('a certificate about to end is made anew, long before clients notice', async () => {
  await initFolder(folder)
  const site = await loadSite(folder)
  await initSecrets(site, folder, new Date())
  expect(await initSecrets(site, folder, new Date(Date.now() + 800 * 86_400_000))).toContain(join(folder, 'secrets/tls/public.pem'))
})

it.each<[string, (secrets: string) => void]>([
  ['is gone', (secrets) => rmSync(join(secrets, 'ca.key'))],
  ['is broken', (secrets) => writeFileSync(join(secrets, 'ca.key'), '-----BEGIN PRIVATE KEY-----\nx')],
  ["is another one's", (secrets) => copyFileSync(join(secrets, 'tls/public.key'), join(secrets, 'ca.key'))],
])("a CA's key that %s is missed only when something has to be signed, and told as such", async (_what, spoil) => {
  await initFolder(folder)
  const site = await loadSite(folder)
  await initSecrets(site, folder, new Date())
  spoil(join(folder, 'secrets'))
  expect(await initSecrets(site, folder, new Date())).toEqual([])
  const authority = readFileSync(join(folder, 'secrets/ca.pem'), 'utf8')
  await expect(initSecrets(site, folder, new Date(Date.now() + 800 * 86_400_000))).rejects.toMatchObject({
    code: 'ca-key-unusable',
    hint: expect.stringContaining('backup'),
  })
  expect(readFileSync(join(folder, 'secrets/ca.pem'), 'utf8')).toBe(authority)
})

it('a password is not made where git would see it', async () => {
  await initFolder(folder)
  const site = await loadSite(folder)
  const withPassword = (path: string): typeof site => ({
    ...site,
    serena: { ...site.serena, users: [{ name: 'me', password: { kind: 'file', path } }] },
  })
  for (const path of ['passwords/me', 'me', 'secrets/../me']) {
    await expect(initSecrets(withPassword(path), folder, new Date())).rejects.toMatchObject({ code: 'secret-in-the-open' })
    expect(existsSync(join(folder, path))).toBe(false)
  }
  // Put there by its owner, or outside of the folder, it is fine.
  writeFileSync(join(folder, 'me'), 'chosen')
  await initSecrets(withPassword('me'), folder, new Date())
  expect(await initSecrets(withPassword(join(folder, '../elsewhere')), folder, new Date())).toContain(join(folder, '../elsewhere'))
})

it('a CA that is no certificate is told as such', async () => {
  await initFolder(folder)
  const site = await loadSite(folder)
  await initSecrets(site, folder, new Date())
  writeFileSync(join(folder, 'secrets/ca.pem'), 'x')
  await expect(initSecrets(site, folder, new Date())).rejects.toMatchObject({ code: 'ca-unreadable' })
})

it.each(['public.pem', 'public.key'])("a server's %s that is gone or broken is made anew with its other half", async (name) => {
  await initFolder(folder)
  const site = await loadSite(folder)
  await initSecrets(site, folder, new Date())
  if (name === 'public.pem') writeFileSync(join(folder, 'secrets/tls', name), 'x')
  else rmSync(join(folder, 'secrets/tls', name))
  expect(await initSecrets(site, folder, new Date())).toEqual([
    join(folder, 'secrets/tls/public.pem'),
    join(folder, 'secrets/tls/public.key'),
  ])
  expect(await initSecrets(site, folder, new Date())).toEqual([])
})

it('host keys are what OpenSSH itself reads', () => {
  const pair = generateSshKey('home-serena')
  const dir = mkdtempSync(join(tmpdir(), 'golden-key-'))
  try {
    writeFileSync(join(dir, 'key'), pair.privateKey, { mode: 0o600 })
    expect(execFileSync('ssh-keygen', ['-y', '-f', join(dir, 'key')], { encoding: 'utf8' })).toBe(pair.publicKey)
  } finally {
    rmSync(dir, { recursive: true })
  }
})
