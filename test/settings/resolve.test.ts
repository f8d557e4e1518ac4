import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { plainText } from '../../core/plain-text.ts'
import { lookAtHandedIn, refuseHandedIn } from '../../settings/handed-in.ts'
import { checkSeedSecrets } from '../../releases/seed.ts'
import { resolveSecret } from '../../settings/resolve.ts'
import type { SecretRef } from '../../settings/secret.ts'
import { exampleSite } from '../images/example.ts'

const folder = mkdtempSync(join(tmpdir(), 'resolve-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The same content by each of the three ways. A variable holds no NUL. */
const ways: Record<string, (bytes: Buffer) => { ref: SecretRef; env: NodeJS.ProcessEnv }> = {
  fromFile: (bytes) => {
    writeFileSync(join(folder, 'secret'), bytes)
    return { ref: { kind: 'file', path: 'secret' }, env: {} }
  },
  fromEnv: (bytes) => ({ ref: { kind: 'env', name: 'SECRET' }, env: { SECRET: bytes.toString('utf8') } }),
  fromCommand: (bytes) => {
    writeFileSync(join(folder, 'secret'), bytes)
    return { ref: { kind: 'command', command: ['cat', 'secret'] }, env: process.env }
  },
}

describe.each(Object.entries(ways))('a secret by %s', (name, way) => {
  const read = async (content: string | Buffer): Promise<string> => {
    const { ref, env } = way(Buffer.from(content))
    return resolveSecret(ref, 'serena.users.0.password', folder, env)
  }
  it.each<[string, string | Buffer, string]>([
    ['as it is', 'correct', 'correct'],
    ["a last line's end", 'correct\n', 'correct'],
    ['of Windows', 'correct\r\n', 'correct'],
    ['several', 'correct\n\r\n\n', 'correct'],
    ['a byte order mark', '\ufeffcorrect\n', 'correct'],
    ['blanks inside', 'correct horse', 'correct horse'],
    ['other letters, as clients send them', 'pässwo\u0308rd:日本\n', 'pässwörd:日本'],
    ['signs of shells and files', '$(id) \'"`\\ #;:', '$(id) \'"`\\ #;:'],
  ])('%s', async (_what, content, secret) => {
    expect(await read(content)).toBe(secret)
  })

  const bad: [string, string | Buffer][] = [
    ['nothing', ''],
    ["a line's end alone", '\r\n'],
    ['blanks alone', '  \n'],
    ['two lines', 'correct\nhorse\n'],
    ['a line of an old Mac', 'correct\rhorse'],
    ['a blank at the end', 'correct \n'],
    ['a blank at the beginning', '\tcorrect'],
    ['a blank that is not broken at the end', 'correct\u00a0'],
    ['a control character', 'corr\u0007ect'],
    ['a character that nobody sees', 'corr\u200bect'],
    ['a line separator', 'correct\u2028horse'],
    ['Latin-1', Buffer.from('pässword', 'latin1')],
    ['UTF-16', Buffer.from('\ufeffcorrect\n', 'utf16le')],
    ['UTF-16, the other way round', Buffer.from('\ufeffcorrect\n', 'utf16le').swap16()],
    ...(name === 'fromEnv'
      ? []
      : ([
          ['UTF-16 without a mark', Buffer.from('correct', 'utf16le')],
          ['a NUL at its end', 'correct\0'],
        ] as [string, string | Buffer][])),
  ]
  it.each(bad)('%s is refused, and not said again', async (_what, content) => {
    const failure = await read(content).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'secret-unfit', message: expect.stringMatching(/^serena\.users\.0\.password = from/) })
    expect(String((failure as Error).message)).not.toMatch(/corr|horse|pässword/)
  })
})

it('what is taken stays what it is: one line that any client can send', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('latin1')),
      ),
      (text) => {
        const read = plainText(text, 'line')
        if (!read.ok) return
        expect(plainText(`\ufeff${read.text}\r\n`, 'line')).toEqual(read)
        expect(read.text).toBe(read.text.trim())
        expect(Buffer.from(read.text, 'utf8').toString('utf8')).toBe(read.text)
        expect(read.text).not.toMatch(/[\0\r\n\ufeff]/)
      },
    ),
  )
})

it('a file that other programs read as it is has no byte order mark', () => {
  const pem = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
  expect(plainText(pem, 'pem-file')).toEqual({ ok: true, text: pem })
  expect(plainText(`\ufeff${pem}`, 'pem')).toEqual({ ok: true, text: pem })
  expect(plainText(`\ufeff${pem}`, 'pem-file')).toMatchObject({ ok: false, problem: expect.stringContaining('byte order mark') })
})

describe('what is handed in beside the site file', () => {
  const site = exampleSite((input) => {
    input.serena.users = [
      { name: 'me', password: { kind: 'file', path: 'bad' } },
      { name: 'you', password: { kind: 'env', name: 'ABSENT' } },
      { name: 'they', password: { kind: 'command', command: ['false'] } },
    ]
    input.public.certificate = { chainFile: 'chain.pem', key: { kind: 'file', path: 'key.pem' } }
  })
  writeFileSync(join(folder, 'bad'), 'two\nlines\n')
  writeFileSync(join(folder, 'chain.pem'), 'no certificate\n')

  it('is told with all that is wrong, by path', async () => {
    const { problems } = await lookAtHandedIn({ site, folder, env: {} })
    expect(problems.map(({ path }) => path)).toEqual([
      'serena.users.0.password',
      'serena.users.1.password',
      'serena.users.2.password',
      'public.certificate.chainFile',
      'public.certificate.key',
    ])
    expect(() => refuseHandedIn(problems)).toThrow(
      expect.objectContaining({
        code: 'handed-in-unfit',
        message: expect.stringMatching(/users\.0\.password: fromFile\('bad'\): it has more than one line\n[\s\S]*chainFile: .*no PEM/),
      }),
    )
  })

  it('of which a look alone runs no program, and wants nothing that is elsewhere', async () => {
    const { problems } = await lookAtHandedIn({ site, folder, env: {}, onlyWhatIsHere: true })
    expect(problems.map(({ path }) => path)).toEqual(['serena.users.0.password', 'public.certificate.chainFile'])
  })

  it('one problem that is a failure of its own stays that', async () => {
    const { problems } = await lookAtHandedIn({
      site: { ...site, public: exampleSite().public, serena: { ...site.serena, users: site.serena.users.slice(1, 2) } },
      folder,
      env: {},
    })
    expect(() => refuseHandedIn(problems)).toThrow(expect.objectContaining({ code: 'secret-unavailable' }))
  })

  it('is asked for with all else that the first seeds need', async () => {
    await expect(checkSeedSecrets(site, folder, ['serena'], {})).rejects.toMatchObject({
      code: 'handed-in-unfit',
      message: expect.stringMatching(/users\.2\.password: [\s\S]*secrets\/ca\.pem: [\s\S]*secrets\/ssh\/serena_ed25519: /),
    })
  })
})
