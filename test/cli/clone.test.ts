/** A clone is the same on every computer: the guest's programs are in it, and the fingerprint is made of its bytes. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, it } from 'vitest'

const project = resolve(import.meta.dirname, '../..')

it('line ends stay what they are with core.autocrlf=true, as Git for Windows has it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'golden-clone-'))
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', args, { encoding: 'utf8', env: { PATH: process.env.PATH, HOME: folder } })
    git('clone', '--quiet', '--shared', '-c', 'core.autocrlf=true', '-c', `safe.directory=${project}`, project, join(folder, 'clone'))
    const files = git('-C', join(folder, 'clone'), 'ls-files', '-z')
      .split('\0')
      .filter((file) => file !== '')
    expect(files.length).toBeGreaterThan(500)
    expect(files.filter((file) => readFileSync(join(folder, 'clone', file)).includes('\r\n'))).toEqual([])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
