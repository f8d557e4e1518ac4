/** Signatures of records, by the real ssh-keygen. */
import { execFileSync } from 'node:child_process'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { sortRange, type Image } from '../../images/catalog.ts'
import { promote } from '../../images/promote.ts'
import { parseRecord, renderRecord, type TemplateRecord } from '../../images/record.ts'
import { revoke } from '../../images/revoke.ts'
import { allowedSigners, requireSigningKey, sealWith, signatureOf, signedText, signerLine, type Keys } from '../../images/signature.ts'
import { diskDifference, requireTrusted } from '../../images/trust.ts'
import { vouch } from '../../images/vouch.ts'
import { writeSecret } from '../../settings/secrets/files.ts'
import { generateSshKey } from '../../settings/secrets/generate-ssh-key.ts'
import { anImage } from './any-image.ts'
import { exampleSite, hash } from './example.ts'
import { oneTemplate, type OneTemplate } from './one-template.ts'

const site = exampleSite()
/** Site folders: one's own, and of somebody with another key. */
let own: Keys
let other: Keys
let work: string

async function folderWith(name: string): Promise<Keys> {
  const folder = join(work, name)
  const pair = generateSshKey(name)
  await writeSecret(join(folder, 'secrets/image-key'), pair.privateKey)
  await writeFile(join(folder, allowedSigners), signerLine(name, pair.publicKey))
  return { site, folder }
}

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'golden-sign-'))
  own = await folderWith('home')
  other = await folderWith('office')
})
afterAll(() => rm(work, { recursive: true }))
// What is needed for a moment goes away with it.
let scratch: string
beforeEach(async () => {
  scratch = await mkdtemp(join(work, 'tmp-'))
  vi.stubEnv('TMPDIR', scratch)
})
afterEach(async () => {
  expect(await readdir(scratch)).toEqual([])
  vi.unstubAllEnvs()
})

const disk = { volume: 'local-lvm:base-9001-disk-0', bytes: 8 << 20, made: 1_763_900_000 }
const { record: plain } = anImage(9001, { record: { disk, services: { serena: 'a {{ b } "c" 鍵' } } })

describe('a signature', () => {
  it('holds for what was signed, also after a way through a description, and says who', async () => {
    const record = await sealWith(own)(plain)
    expect(record).toMatchObject({ ...plain, signature: expect.stringMatching(/^U1NIU0lH/) })
    const parsed = parseRecord(`mine: ${renderRecord(record)}\nnotes`)
    expect(parsed).toEqual({ ok: true, record })
    expect(await signatureOf(own.folder, record)).toEqual({ is: 'good', by: 'home' })
  })

  it.each<[string, (record: TemplateRecord) => TemplateRecord]>([
    ['record', (record) => ({ ...record, channel: { name: 'stable', at: '2026-11-25T00:00:00Z', by: 'eve@desk' } })],
    ['signature', (record) => ({ ...record, signature: `${record.signature?.slice(0, -8) ?? ''}AAAAAAA=` })],
    ['thing in its place', (record) => ({ ...record, signature: 'AAAA' })],
  ])('does not hold for another %s', async (_, change) => {
    expect(await signatureOf(own.folder, change(await sealWith(own)(plain)))).toEqual({ is: 'altered' })
  })

  it('is of all that a record says, whatever the order', () => {
    const whole: TemplateRecord = {
      ...plain,
      manifest: hash('1'),
      channel: { name: 'stable', at: '2026-11-25T00:00:00Z', by: 'ann@desk' },
      verify: { passed: true, at: '2026-11-25T00:00:00Z', by: 'ann@desk' },
      revoked: { at: '2026-11-25T00:00:00Z', by: 'ann@desk', reason: 'x' },
    }
    const text = signedText(whole)
    expect(signedText(Object.fromEntries(Object.entries(whole).reverse()) as TemplateRecord)).toBe(text)
    expect(signedText({ ...whole, signature: 'AAAA' })).toBe(text)
    const texts = Object.keys(whole).map((key) => signedText({ ...whole, [key]: undefined } as never))
    expect(new Set([text, ...texts]).size).toBe(Object.keys(whole).length + 1)
  })

  it('of somebody who is not on the list is told from one that does not hold; on the list it counts', async () => {
    const record = await sealWith(other)(plain)
    expect(await signatureOf(own.folder, record)).toEqual({ is: 'unknown-signer', key: expect.stringMatching(/^SHA256:/) })
    const both = await folderWith('both')
    await writeFile(join(both.folder, allowedSigners), `# ours\n${await readFile(join(other.folder, allowedSigners), 'utf8')}`)
    expect(await signatureOf(both.folder, record)).toEqual({ is: 'good', by: 'office' })
  })

  it('for another purpose, by the same key, is none; nor does one count whose line is for another purpose', async () => {
    const key = join(own.folder, 'secrets/image-key')
    const armored = execFileSync('ssh-keygen', ['-q', '-Y', 'sign', '-n', 'git', '-f', key], { input: signedText(plain), encoding: 'utf8' })
    const record = { ...plain, signature: armored.replaceAll(/-----[A-Z ]+-----|\s/g, '') }
    expect(await signatureOf(own.folder, record)).toEqual({ is: 'altered' })
    const git = await folderWith('git')
    const line = await readFile(join(git.folder, allowedSigners), 'utf8')
    await writeFile(join(git.folder, allowedSigners), line.replace('golden-image', 'git'))
    expect(await signatureOf(git.folder, await sealWith(git)(plain))).toMatchObject({ is: 'unknown-signer' })
  })

  it('that is not asked for is not made, and one of before is taken off', async () => {
    const off: Keys = { ...own, site: { image: { ...site.image, signed: false } } }
    expect(await sealWith(off)(await sealWith(own)(plain))).toEqual(plain)
    await expect(requireSigningKey({ ...off, folder: join(work, 'nowhere') })).resolves.toBeUndefined()
  })

  it('that can not be made, or looked at, is told with what mends it', async () => {
    const nowhere = { site, folder: join(work, 'nowhere') }
    await expect(requireSigningKey(nowhere)).rejects.toMatchObject({
      code: 'signing-key-missing',
      hint: expect.stringContaining('golden init'),
    })
    await expect(signatureOf(nowhere.folder, await sealWith(own)(plain))).rejects.toMatchObject({ code: 'signing-failed' })
    const open = await folderWith('open')
    await chmod(join(open.folder, 'secrets/image-key'), 0o644)
    await expect(requireSigningKey(open)).rejects.toMatchObject({ code: 'signing-failed', message: expect.stringMatching(/permissions/i) })
    vi.stubEnv('PATH', '/nonexistent')
    await expect(requireSigningKey(own)).rejects.toMatchObject({ code: 'ssh-keygen-missing' })
  })
})

describe('an image', () => {
  let host: OneTemplate
  const seen = (): Image => sortRange([{ vmid: 9001, node: 'pve', config: host.config }]).images[0] ?? expect.fail('there is no image')
  const trusting = () => ({ ...own, site, proxmox: host.proxmox })
  beforeEach(async () => {
    host = oneTemplate(9001, await sealWith(own)(plain), disk)
  })

  it('that is signed, with the disk that was, is trusted', async () => {
    expect(await requireTrusted(trusting(), seen())).toBe('home')
  })

  const promoting = () => promote({ ...trusting(), by: 'ann@desk', pauseMs: 0 }, seen(), 'stable')

  it('that is not signed, or altered, or signed by somebody unknown, is refused; not where no signatures are asked for', async () => {
    host.say(plain)
    await expect(requireTrusted(trusting(), seen())).rejects.toMatchObject({
      code: 'image-unsigned',
      hint: expect.stringContaining('golden sign'),
    })
    await expect(promoting()).rejects.toMatchObject({ code: 'image-unsigned' })
    expect(await requireTrusted({ ...trusting(), site: { image: { ...site.image, signed: false } } }, seen())).toBeNull()
    host.say({ ...(await sealWith(own)(plain)), built: '2026-12-01T00:00:00.000Z' })
    await expect(requireTrusted(trusting(), seen())).rejects.toMatchObject({ code: 'image-altered' })
    host.say(await sealWith(other)(plain))
    await expect(requireTrusted(trusting(), seen())).rejects.toMatchObject({
      code: 'image-signer-unknown',
      message: expect.stringContaining('SHA256:'),
      hint: expect.stringContaining(allowedSigners),
    })
  })

  it('on another disk than the one that was signed is refused, until somebody vouches for it', async () => {
    host.put({ ...disk, volume: 'local-lvm:base-9001-disk-1' })
    await expect(requireTrusted(trusting(), seen())).rejects.toMatchObject({
      code: 'image-disk-differs',
      message: expect.stringContaining('it is local-lvm:base-9001-disk-1, recorded is local-lvm:base-9001-disk-0'),
    })
    await expect(promoting()).rejects.toMatchObject({ code: 'image-disk-differs' })
    expect(await vouch(trusting(), seen())).toBe(true)
    expect(await vouch(trusting(), seen())).toBe(false)
    expect(await requireTrusted(trusting(), seen())).toBe('home')
    host.put(undefined)
    await expect(requireTrusted(trusting(), seen())).rejects.toMatchObject({ code: 'image-disk-differs' })
  })

  it('is signed again by who promotes it; to revoke it takes no key', async () => {
    expect(await promote({ ...trusting(), by: 'ann@desk', pauseMs: 0 }, seen(), 'stable')).toBe(true)
    expect(await requireTrusted(trusting(), seen())).toBe('home')
    expect(seen()).toMatchObject({ channel: 'stable', record: { disk } })
    await revoke({ proxmox: host.proxmox, by: 'bob@laptop' }, { templates: [seen()] }, 'leaks')
    expect(seen()).toMatchObject({ revoked: true, record: { revoked: { reason: 'leaks' } } })
    await expect(requireTrusted(trusting(), seen())).rejects.toMatchObject({ code: 'image-unsigned' })
  })
})

it('a disk is another one by its name, its size, or when it was made; what a storage does not tell is no difference', () => {
  const { made: _, ...untold } = disk
  expect(diskDifference(untold, disk)).toBeUndefined()
  expect(diskDifference(disk, untold)).toBeUndefined()
  expect(diskDifference(disk, disk)).toBeUndefined()
  expect(diskDifference({ ...disk, made: 1 }, disk)).toMatch(/1970-01-01T00:00:01/)
  expect(diskDifference({ ...disk, bytes: 1 }, disk)).toMatch(/8388608 bytes, recorded are 1/)
  expect(diskDifference(undefined, disk)).toMatch(/its record names none/)
})
