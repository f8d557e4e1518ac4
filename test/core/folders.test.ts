import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { homedir, tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { cacheFolder, makeFolder, stateFolder } from '../../core/folders.ts'
import { systemFailure } from '../../core/system-failure.ts'

let place: string
beforeEach(async () => {
  place = await mkdtemp(join(tmpdir(), 'golden-folders-'))
})
afterEach(() => rm(place, { recursive: true, force: true }))

it.each([
  [{ HOME: '/home/me' }, '/home/me/.cache/serena-golden'],
  [{ HOME: '/home/me', XDG_CACHE_HOME: '/var/cache/me' }, '/var/cache/me/serena-golden'],
  [{ HOME: '/home/me', XDG_CACHE_HOME: 'relative' }, '/home/me/.cache/serena-golden'],
  [{ HOME: '/home/me', XDG_CACHE_HOME: '' }, '/home/me/.cache/serena-golden'],
  [{ HOME: '' }, join(userInfo().homedir, '.cache/serena-golden')],
  [{ HOME: 'relative' }, join(userInfo().homedir, '.cache/serena-golden')],
  [{}, join(homedir(), '.cache/serena-golden')],
])('what is cached lies below %j: %s', (env, folder) => expect(cacheFolder(env)).toBe(folder))

it('so does what a demo is made of', () => {
  expect(stateFolder({ HOME: '/home/me', XDG_STATE_HOME: '' })).toBe('/home/me/.local/state/serena-golden')
})

it('folders are made with those above them, and left alone when they are there', async () => {
  await makeFolder(join(place, 'a/b/c'), 0o700)
  await makeFolder(join(place, 'a/b/c'), 0o755)
  expect((await stat(join(place, 'a/b/c'))).mode & 0o777).toBe(0o700)
})

it.each([
  ['/proc/golden/x', 'folder-not-makeable'],
  ['/dev/null/x', 'file-in-the-way'],
])('where none can be made it ends, with words: %s', async (path, code) => {
  const error = await makeFolder(path).then(
    () => undefined,
    (cause: unknown) => cause,
  )
  expect(systemFailure(error)).toMatchObject({
    code,
    message: expect.stringContaining(path.split('/').slice(0, 3).join('/')),
    hint: expect.stringContaining('XDG_CACHE_HOME'),
  })
})

it('a file in the way is told', async () => {
  await mkdir(join(place, 'a'))
  await writeFile(join(place, 'a/b'), '')
  expect(
    systemFailure(
      await makeFolder(join(place, 'a/b')).then(
        () => undefined,
        (cause: unknown) => cause,
      ),
    ),
  ).toMatchObject({ code: 'file-in-the-way' })
})
