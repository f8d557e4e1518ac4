import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, it } from 'vitest'
import { sshKeyProblem } from '../../settings/ssh-key.ts'

const folder = mkdtempSync(join(tmpdir(), 'ssh-key-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const made = (name: string, ...options: string[]): string => {
  execFileSync('ssh-keygen', ['-q', '-N', '', '-C', '', '-f', join(folder, name), ...options])
  return readFileSync(join(folder, `${name}.pub`), 'utf8').trim()
}
const keys = {
  ed25519: made('ed25519', '-t', 'ed25519'),
  rsa: made('rsa', '-t', 'rsa', '-b', '2048'),
  short: made('short', '-t', 'rsa', '-b', '1024'),
  p256: made('p256', '-t', 'ecdsa', '-b', '256'),
  p384: made('p384', '-t', 'ecdsa', '-b', '384'),
  p521: made('p521', '-t', 'ecdsa', '-b', '521'),
}
const blobOf = (key: string): Buffer => Buffer.from(key.split(' ')[1] ?? '', 'base64')
const field = (content: Buffer | string): Buffer => {
  const bytes = Buffer.from(content)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}
const line = (type: string, blob: Buffer): string => `${type} ${blob.toString('base64')}`
/** Keys of security tokens, made of others: no token is needed for the public half. */
const tokens = {
  skEd25519: line(
    'sk-ssh-ed25519@openssh.com',
    Buffer.concat([field('sk-ssh-ed25519@openssh.com'), blobOf(keys.ed25519).subarray(4 + 'ssh-ed25519'.length), field('ssh:')]),
  ),
  skEcdsa: line(
    'sk-ecdsa-sha2-nistp256@openssh.com',
    Buffer.concat([
      field('sk-ecdsa-sha2-nistp256@openssh.com'),
      blobOf(keys.p256).subarray(4 + 'ecdsa-sha2-nistp256'.length),
      field('ssh:'),
    ]),
  ),
}
const sound = { ...keys, ...tokens }
const rsaOf = (exponent: Buffer, modulus: Buffer): string =>
  line('ssh-rsa', Buffer.concat([field('ssh-rsa'), field(exponent), field(modulus)]))

/** Which of the lines ssh-keygen takes for a key: it names each by its comment. */
function taken(lines: readonly string[]): boolean[] {
  const file = join(folder, 'list')
  writeFileSync(file, lines.map((text, index) => `${text} line-${index}\n`).join(''))
  const { stdout } = spawnSync('ssh-keygen', ['-l', '-f', file], { encoding: 'utf8' })
  const found = new Set([...stdout.matchAll(/ line-(\d+) \([A-Z0-9-]+\)$/gm)].map(([, index]) => Number(index)))
  return lines.map((_text, index) => found.has(index))
}

it('real keys are fine, with any comment', () => {
  const { short, ...good } = sound
  for (const key of Object.values(good))
    for (const comment of ['', ' me@home', ' ünï çödé 日本 🔑', ' a  b ']) expect(sshKeyProblem(`${key}${comment}`)).toBeUndefined()
  expect(sshKeyProblem(short)).toMatch(/RSA key of 1024 bits/)
})

it.each<[string, string, RegExp]>([
  ['what sshd would ignore', 'ssh-ed25519 AAAA', /not whole/],
  ['a private key', readFileSync(join(folder, 'ed25519'), 'utf8'), /private key/],
  ['two keys', `${keys.ed25519}\n${keys.p256}`, /an entry of its own/],
  ['options before it', `no-pty ${keys.ed25519}`, /without options/],
  ['a command before it', `command="id" ${keys.ed25519}`, /without options/],
  ['a certificate', `ssh-ed25519-cert-v01@openssh.com ${keys.ed25519.split(' ')[1]}`, /certificate/],
  ['another type before it', `ssh-rsa ${keys.ed25519.split(' ')[1]}`, /another type/],
  ['a type that sshd has given up', `ssh-dss ${keys.ed25519.split(' ')[1]}`, /OpenSSH public key/],
  ['a form of another program', '---- BEGIN SSH2 PUBLIC KEY ----', /OpenSSH public key/],
  ['a tab between', keys.ed25519.replace(' ', '\t'), /control characters/],
  ['no key', '', /OpenSSH public key/],
])('%s is refused', (_what, text, message) => {
  expect(sshKeyProblem(text)).toMatch(message)
})

it.each(['ssh:', '', 'ssh:\0', 's\0h:', '\0', '\0\0', 'ssh:\xff'])(
  'what a security key is for is read as ssh-keygen reads it: %j',
  (application) => {
    const whatFor = field(Buffer.from(application, 'latin1'))
    const lines = Object.values(tokens).map((key) => {
      const [type = ''] = key.split(' ')
      return line(type, Buffer.concat([blobOf(key).subarray(0, -field('ssh:').length), whatFor]))
    })
    expect(lines.map((text) => sshKeyProblem(text) === undefined)).toEqual(taken(lines))
  },
)

it('what it takes ssh-keygen takes, and the other way round, however a key is bent', () => {
  const bent = fc
    .tuple(
      fc.constantFrom(...Object.values(sound)),
      fc.nat(),
      fc.nat(255),
      fc.constantFrom('byte', 'cut', 'more', 'length', 'text', 'padding', 'number', 'none'),
    )
    .map(([key, at, byte, how]) => {
      const [type = '', text = ''] = key.split(' ')
      const blob = Buffer.from(text, 'base64')
      switch (how) {
        case 'byte':
          blob[at % blob.length] = byte
          return line(type, blob)
        case 'cut':
          return line(type, blob.subarray(0, at % blob.length))
        case 'more':
          return line(type, Buffer.concat([blob, Buffer.alloc(1 + (at % 9), byte)]))
        case 'length':
          blob[at % 24] = byte
          return line(type, blob)
        case 'text':
          return `${type} ${text.slice(0, at % text.length)}${'A+/=9z'[byte % 6]}${text.slice((at % text.length) + (byte % 2))}`
        case 'padding':
          return `${type} ${text.replace(/=*$/, '')}${'='.repeat(byte % 4)}`
        case 'number':
          return rsaOf(
            Buffer.from([byte, 1, 1].slice(0, 1 + (at % 3))),
            Buffer.concat([Buffer.alloc(at % 3), Buffer.from([byte]), Buffer.alloc([127, 254, 255, 256, 2046][at % 5] ?? 0, 0xab)]),
          )
        default:
          return key
      }
    })
  // One ssh-keygen for all, so that nothing is made smaller where they differ: each line is small.
  const lines = fc.sample(bent, 3000)
  const real = taken(lines)
  const wrong = lines.flatMap((text, index) => {
    const problem = sshKeyProblem(text)
    // ssh-keygen shows RSA keys from 1024 bits on, and sshd is told to take fewer.
    const expected = problem?.startsWith('is an RSA key of') === true ? real[index] : problem === undefined
    return expected === real[index] ? [] : [{ text, problem, sshKeygen: real[index] }]
  })
  expect(wrong).toEqual([])
})
