/** What a night hands over to git, against a real git and a bare remote. */
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silent } from '../../core/progress.ts'
import { deliver, requireDelivery } from '../../nightly/deliver.ts'
import type { DeliverOptions } from '../../nightly/delivery.ts'
import { takeUp } from '../../nightly/to-branch.ts'
import type { GitSettings } from '../../settings/nightly.ts'
import { recorder } from '../recorder.ts'

let work = ''
let env: NodeJS.ProcessEnv
const at = (...parts: string[]): string => join(work, ...parts)
const git = (folder: string, ...args: string[]): string =>
  execFileSync('git', args, { cwd: at(folder), env, encoding: 'utf8', stdio: 'pipe' }).trim()
const write = (folder: string, name: string, text: string): Promise<void> => writeFile(at(folder, name), text)
const read = (folder: string, name: string): Promise<string> => readFile(at(folder, name), 'utf8')

beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'gd-'))
  // A home without settings, and none of the system's: nobody has told git who they are.
  env = { PATH: process.env.PATH, HOME: work, GIT_CONFIG_GLOBAL: at('gitconfig'), GIT_CONFIG_NOSYSTEM: '1' }
  await writeFile(at('gitconfig'), '[init]\n\tdefaultBranch = main\n[user]\n\tuseConfigOnly = true\n')
  execFileSync('git', ['init', '--quiet', '--bare', at('remote')], { env })
  await mkdir(at('site', 'state'), { recursive: true })
  git('site', 'init', '--quiet')
  await write('site', 'images.lock.json', 'lock 1\n')
  await write('site', 'site.ts', 'export default {}\n')
  await writeFile(at('site', 'state', '.gitignore'), '*\n')
  git('site', 'add', '--all')
  git('site', '-c', 'user.name=me', '-c', 'user.email=me@here', 'commit', '--quiet', '-m', 'first')
  git('site', 'remote', 'add', 'origin', at('remote'))
  git('site', 'push', '--quiet', 'origin', 'main')
})
afterEach(() => rm(work, { recursive: true, force: true }))

const optionsFor = (settings: GitSettings, folder = 'site'): DeliverOptions => ({
  folder: at(folder),
  settings,
  env,
  progress: silent,
  message: (before) => ({ subject: `Lock: ${before?.trim() ?? 'none'} and newer`, body: 'What is new.' }),
})
const commit = (push: boolean): GitSettings => ({ to: 'commit', push, remote: 'origin' })
const branch = (push = true): GitSettings => ({ to: 'branch', branch: 'golden/nightly', push, remote: 'origin' })
/** A command that notes each call. */
const request = (): GitSettings => ({
  to: 'pull-request',
  branch: 'golden/nightly',
  remote: 'origin',
  command: ['sh', '-c', 'echo "$GOLDEN_BRANCH into $GOLDEN_BASE: $GOLDEN_TITLE: $(cat "$GOLDEN_BODY_FILE") $TOKEN $SECRET" >> ../asked'],
  passes: ['TOKEN'],
})
const filesAt = (folder: string, ref: string): string[] => git(folder, 'show', '--name-only', '--format=', ref).split('\n')
/** Somebody else changes a file, and pushes it to the branch that is checked out in the site folder. */
async function colleague(file: string, text: string): Promise<void> {
  git('.', 'clone', '--quiet', at('remote'), 'colleague')
  await write('colleague', file, text)
  git('colleague', 'add', file)
  git('colleague', '-c', 'user.name=c', '-c', 'user.email=c@there', 'commit', '--quiet', '-m', `${file} of a colleague`)
  git('colleague', 'push', '--quiet')
}
const failing = (): Promise<void> =>
  writeFile(at('remote', 'hooks', 'pre-receive'), '#!/bin/sh\necho no room >&2\nexit 1\n', { mode: 0o755 })

describe('a commit', () => {
  it('has what the night has changed, and nothing else', async () => {
    expect(await deliver(optionsFor(commit(false)))).toBe(undefined)
    await write('site', 'images.lock.json', 'lock 2\n')
    await mkdir(at('site', 'records'))
    await write('site', 'records/one.json', '{}\n')
    await write('site', 'site.ts', 'half an edit\n')
    await write('site', 'mine', 'staged\n')
    git('site', 'add', 'mine')
    const done = await deliver(optionsFor(commit(false)))
    expect(done).toEqual({ to: 'commit', branch: 'main', commit: git('site', 'rev-parse', 'HEAD'), pushed: false })
    expect(filesAt('site', 'HEAD')).toEqual(['images.lock.json', 'records/one.json'])
    expect(git('site', 'log', '-1', '--format=%s|%b|%an')).toBe('Lock: lock 1 and newer|What is new.\n|golden nightly')
    expect(git('site', 'status', '--porcelain').split('\n')).toEqual(['A  mine', 'M site.ts'].map((line) => expect.stringContaining(line)))
    expect(await deliver(optionsFor(commit(false)))).toBe(undefined)
    expect(git('remote', 'rev-parse', 'main')).toBe(git('site', 'rev-parse', 'HEAD~1'))
  })

  it('that could not be pushed is pushed by the next night', async () => {
    await write('site', 'images.lock.json', 'lock 2\n')
    await failing()
    await expect(deliver(optionsFor(commit(true)))).rejects.toMatchObject({
      code: 'git-refused',
      message: expect.stringContaining('no room'),
    })
    await expect(deliver(optionsFor(commit(true)))).rejects.toMatchObject({ code: 'git-refused' })
    await rm(at('remote', 'hooks', 'pre-receive'))
    expect(await deliver(optionsFor(commit(true)))).toMatchObject({ to: 'commit', pushed: true })
    expect(git('remote', 'rev-parse', 'main')).toBe(git('site', 'rev-parse', 'HEAD'))
    expect(await deliver(optionsFor(commit(true)))).toBe(undefined)
  })

  it('that was killed before its push is pushed by the next night, and a quiet one does not ask the remote', async () => {
    await write('site', 'images.lock.json', 'lock 2\n')
    // As far as the commit.
    await deliver(optionsFor(commit(false)))
    expect(await deliver(optionsFor(commit(true)))).toMatchObject({ commit: git('site', 'rev-parse', 'HEAD'), pushed: true })
    expect(git('remote', 'rev-parse', 'main')).toBe(git('site', 'rev-parse', 'HEAD'))
    git('site', 'remote', 'set-url', 'origin', at('nowhere'))
    expect(await deliver(optionsFor(commit(true)))).toBe(undefined)
  })

  it("goes on top of what others have pushed, and what is somebody's own stays as it is", async () => {
    await colleague('site.ts', 'export default { name: 1 }\n')
    await write('site', 'images.lock.json', 'lock 2\n')
    await write('site', 'notes', 'half a note\n')
    await write('site', 'mine', 'staged\n')
    git('site', 'add', 'mine')
    const done = await deliver(optionsFor(commit(true)))
    expect(done).toEqual({ to: 'commit', branch: 'main', commit: git('remote', 'rev-parse', 'main'), pushed: true })
    expect(git('remote', 'log', '--format=%s', 'main').split('\n')).toEqual(['Lock: lock 1 and newer', 'site.ts of a colleague', 'first'])
    expect(git('site', 'rev-parse', 'HEAD')).toBe(done?.commit)
    expect(await read('site', 'site.ts')).toBe('export default { name: 1 }\n')
    expect(git('site', 'status', '--porcelain').split('\n')).toEqual(['A  mine', '?? notes'])
    expect(git('site', 'worktree', 'list').split('\n')).toHaveLength(1)
    expect(await deliver(optionsFor(commit(true)))).toBe(undefined)
  })

  it('of several nights that were refused goes there with the others', async () => {
    await failing()
    for (const lock of [2, 3]) {
      await write('site', 'images.lock.json', `lock ${lock}\n`)
      await expect(deliver(optionsFor(commit(true)))).rejects.toMatchObject({ code: 'git-refused' })
    }
    await rm(at('remote', 'hooks', 'pre-receive'))
    await colleague('site.ts', 'export default { name: 1 }\n')
    expect(await deliver(optionsFor(commit(true)))).toMatchObject({ pushed: true })
    expect(git('remote', 'log', '--format=%s', 'main').split('\n')).toEqual([
      'Lock: lock 2 and newer',
      'Lock: lock 1 and newer',
      'site.ts of a colleague',
      'first',
    ])
  })

  it('that somebody pushed in the same moment is tried again', async () => {
    await write('site', 'images.lock.json', 'lock 2\n')
    git('.', 'clone', '--quiet', at('remote'), 'colleague')
    // Between the look and the push; once.
    const push = `cd ../colleague && echo more >>site.ts && git -c user.name=c -c user.email=c@there commit --quiet -am meanwhile && git push --quiet`
    await writeFile(at('site', '.git', 'hooks', 'pre-push'), `#!/bin/sh\nrm .git/hooks/pre-push\nunset GIT_DIR\n${push}\n`, { mode: 0o755 })
    expect(await deliver(optionsFor(commit(true)))).toMatchObject({ pushed: true })
    expect(git('remote', 'log', '--format=%s', 'main').split('\n')).toEqual(['Lock: lock 1 and newer', 'meanwhile', 'first'])
  })

  it.each<[string, string, () => Promise<void>, string]>([
    ['have changed the same', 'images.lock.json', async () => {}, 'both have changed images.lock.json'],
    ['are in the way of an edit', 'site.ts', () => write('site', 'site.ts', 'half an edit\n'), 'changes that are not committed'],
    ['are in the way of a new file', 'new', () => write('site', 'new', 'here, too\n'), 'changes that are not committed'],
    [
      "would have somebody's own commits rewritten",
      'other',
      async () => {
        await write('site', 'site.ts', 'own\n')
        git('site', '-c', 'user.name=me', '-c', 'user.email=me@here', 'commit', '--quiet', '-m', 'own', 'site.ts')
      },
      "commits of somebody's own",
    ],
  ])('is told of when others %s, and the folder stays as it is', async (_, file, change, why) => {
    await colleague(file, 'of a colleague\n')
    await change()
    await write('site', 'images.lock.json', 'lock 2\n')
    const before = git('site', 'status', '--porcelain', '--', ':/', ':(exclude)images.lock.json')
    for (let night = 0; night < 2; night++)
      await expect(deliver(optionsFor(commit(true)))).rejects.toMatchObject({
        code: 'git-diverged',
        message: expect.stringContaining(why),
        hint: expect.stringContaining('git pull --rebase --autostash origin main'),
      })
    expect(git('site', 'status', '--porcelain')).toBe(before)
    expect(git('site', 'branch', '--show-current')).toBe('main')
    expect(await read('site', 'images.lock.json')).toBe('lock 2\n')
    expect(git('site', 'log', '-1', '--format=%s')).toBe('Lock: lock 1 and newer')
    expect(git('remote', 'log', '-1', '--format=%s', 'main')).toBe(`${file} of a colleague`)
    expect(git('site', 'worktree', 'list').split('\n')).toHaveLength(1)
  })

  it("on top of which is somebody's own leaves that for them to push", async () => {
    await write('site', 'images.lock.json', 'lock 2\n')
    await deliver(optionsFor(commit(false)))
    await write('site', 'site.ts', 'own\n')
    git('site', '-c', 'user.name=me', '-c', 'user.email=me@here', 'commit', '--quiet', '-m', 'own', 'site.ts')
    expect(await deliver(optionsFor(commit(true)))).toMatchObject({ commit: git('site', 'rev-parse', 'HEAD~1') })
    expect(git('remote', 'rev-parse', 'main')).toBe(git('site', 'rev-parse', 'HEAD~1'))
    expect(await deliver(optionsFor(commit(true)))).toBe(undefined)
  })

  it('makes good what a night has left that was killed while it put commits on others', async () => {
    git('site', 'worktree', 'add', '--quiet', '--detach', '.git/golden-replay')
    await colleague('site.ts', 'export default { name: 1 }\n')
    await write('site', 'images.lock.json', 'lock 2\n')
    expect(await deliver(optionsFor(commit(true)))).toMatchObject({ pushed: true })
    expect(git('site', 'worktree', 'list').split('\n')).toHaveLength(1)
  })

  it('comes to a remote that does not have the branch yet', async () => {
    git('site', 'switch', '--quiet', '-c', 'nights')
    expect(await deliver(optionsFor(commit(true)))).toBe(undefined)
    await write('site', 'images.lock.json', 'lock 2\n')
    expect(await deliver(optionsFor(commit(true)))).toMatchObject({ branch: 'nights', pushed: true })
    expect(git('remote', 'rev-parse', 'nights')).toBe(git('site', 'rev-parse', 'HEAD'))
    expect(await deliver(optionsFor(commit(true)))).toBe(undefined)
  })
})

describe('a branch', () => {
  it('has it beside what is checked out, which stays as it is', async () => {
    const head = git('site', 'rev-parse', 'HEAD')
    await write('site', 'images.lock.json', 'lock 2\n')
    await write('site', 'site.ts', 'half an edit\n')
    const done = await deliver(optionsFor(branch(false)))
    expect(done).toMatchObject({ to: 'branch', branch: 'golden/nightly', pushed: false })
    expect(filesAt('site', 'golden/nightly')).toEqual(['images.lock.json'])
    expect([git('site', 'rev-parse', 'HEAD'), git('site', 'status', '--porcelain')]).toEqual([head, 'M images.lock.json\n M site.ts'])
    expect(await deliver(optionsFor(branch(false)))).toBe(undefined)
    expect(git('remote', 'branch', '--list')).toBe('* main')
  })

  it('gets the next night on top, and what others have added stays', async () => {
    await write('site', 'images.lock.json', 'lock 2\n')
    await deliver(optionsFor(branch()))
    git('.', 'clone', '--quiet', at('remote'), 'reviewer')
    git('reviewer', 'switch', '--quiet', 'golden/nightly')
    await write('reviewer', 'notes', 'seen\n')
    git('reviewer', 'add', 'notes')
    git('reviewer', '-c', 'user.name=r', '-c', 'user.email=r@there', 'commit', '--quiet', '-m', 'notes')
    git('reviewer', 'push', '--quiet')
    await write('site', 'images.lock.json', 'lock 3\n')
    expect(await deliver(optionsFor(branch()))).toMatchObject({ pushed: true })
    expect(git('remote', 'log', '--format=%s', 'golden/nightly').split('\n')).toEqual([
      'Lock: lock 2 and newer',
      'notes',
      'Lock: lock 1 and newer',
      'first',
    ])
    expect(git('remote', 'show', 'golden/nightly:notes')).toBe('seen')
  })

  it('that is merged begins anew', async () => {
    await write('site', 'images.lock.json', 'lock 2\n')
    await deliver(optionsFor(branch()))
    git('site', 'checkout', '--quiet', '--', 'images.lock.json')
    git('site', 'merge', '--quiet', '--ff-only', 'golden/nightly')
    git('site', '-c', 'user.name=me', '-c', 'user.email=me@here', 'commit', '--quiet', '--allow-empty', '-m', 'more')
    expect(await deliver(optionsFor(branch()))).toBe(undefined)
    await write('site', 'images.lock.json', 'lock 3\n')
    await deliver(optionsFor(branch()))
    expect(git('remote', 'log', '--format=%s', 'golden/nightly').split('\n')).toEqual([
      'Lock: lock 2 and newer',
      'more',
      'Lock: lock 1 and newer',
      'first',
    ])
  })

  it('is what a fresh clone goes on from', async () => {
    await write('site', 'images.lock.json', 'lock 2\n')
    await deliver(optionsFor(branch()))
    git('.', 'clone', '--quiet', at('remote'), 'fresh')
    await takeUp(optionsFor(branch(), 'fresh'))
    expect(await read('fresh', 'images.lock.json')).toBe('lock 2\n')
    expect(await deliver(optionsFor(branch(), 'fresh'))).toBe(undefined)
    await write('fresh', 'images.lock.json', 'lock 3\n')
    await deliver(optionsFor(branch(), 'fresh'))
    expect(git('remote', 'show', 'golden/nightly:images.lock.json')).toBe('lock 3')
    expect(git('remote', 'rev-list', '--count', 'golden/nightly')).toBe('3')
  })

  it('is not gone on from where somebody has changed the lock since, here or there', async () => {
    await write('site', 'images.lock.json', 'lock 2\n')
    await deliver(optionsFor(branch()))
    git('.', 'clone', '--quiet', at('remote'), 'fresh')
    await write('fresh', 'images.lock.json', 'by hand\n')
    await takeUp(optionsFor(branch(), 'fresh'))
    expect(await read('fresh', 'images.lock.json')).toBe('by hand\n')
    git('fresh', '-c', 'user.name=me', '-c', 'user.email=me@here', 'commit', '--quiet', '-am', 'by hand')
    await takeUp(optionsFor(branch(), 'fresh'))
    expect(await read('fresh', 'images.lock.json')).toBe('by hand\n')
    // Its own commit is in its way: what it was about is done anew on top of what is checked out.
    await deliver(optionsFor(branch(), 'fresh'))
    expect(git('remote', 'show', 'golden/nightly:images.lock.json')).toBe('lock 2')
  })

  it('can wait for a remote that is away', async () => {
    git('site', 'remote', 'set-url', 'origin', at('nowhere'))
    await takeUp(optionsFor(branch()))
    await write('site', 'images.lock.json', 'lock 2\n')
    await expect(deliver(optionsFor(branch()))).rejects.toMatchObject({ code: 'git-refused' })
    git('site', 'remote', 'set-url', 'origin', at('remote'))
    expect(await deliver(optionsFor(branch()))).toMatchObject({ pushed: true })
    expect(git('remote', 'rev-parse', 'golden/nightly')).toBe(git('site', 'rev-parse', 'golden/nightly'))
    expect(await deliver(optionsFor(branch()))).toBe(undefined)
  })
})

describe('a pull request', () => {
  it('is asked for once, by a command that knows what it needs and nothing private', async () => {
    Object.assign(env, { TOKEN: 'token', SECRET: 'secret' })
    await write('site', 'images.lock.json', 'lock 2\n')
    expect(await deliver(optionsFor(request()))).toMatchObject({ to: 'pull-request', pushed: true })
    expect(await deliver(optionsFor(request()))).toBe(undefined)
    expect(await read('.', 'asked')).toBe('golden/nightly into main: Lock: lock 1 and newer: What is new. token \n')
    expect(git('site', 'status', '--porcelain', '--', 'state')).toBe('')
  })

  it('whose command failed is asked for again', async () => {
    await write('site', 'images.lock.json', 'lock 2\n')
    const broken = { ...request(), command: ['sh', '-c', 'echo no token >&2; exit 3'] } as GitSettings
    await expect(deliver(optionsFor(broken))).rejects.toMatchObject({
      code: 'git-command-failed',
      message: expect.stringContaining('no token'),
    })
    expect(await deliver(optionsFor(request()))).toMatchObject({ to: 'pull-request' })
    expect((await read('.', 'asked')).split('\n')).toHaveLength(2)
  })
})

describe('a pull request that is open', () => {
  const lock = (number: number): Promise<void> => write('site', 'images.lock.json', `lock ${number}\n`)
  const night = (settings = request()) => deliver(optionsFor(settings))
  const asked = async (): Promise<number> => (await read('.', 'asked')).trim().split('\n').length
  const subjects = (ref: string): string[] => git('remote', 'log', '--format=%s', ref).split('\n')
  const as = (who: string): string[] => ['-c', `user.name=${who}`, '-c', `user.email=${who}@there`]
  const reviewer = (): void => void git('.', 'clone', '--quiet', at('remote'), 'reviewer')
  const remoteHas = (ref: string): boolean => git('remote', 'for-each-ref', `refs/heads/${ref}`) !== ''
  beforeEach(async () => {
    await lock(2)
    await night()
  })

  it('gets what later nights bring, and is not asked for again', async () => {
    await lock(3)
    expect(await night()).toMatchObject({ to: 'pull-request', pushed: true, asked: false })
    expect(subjects('golden/nightly')).toEqual(['Lock: lock 2 and newer', 'Lock: lock 1 and newer', 'first'])
    expect(await night()).toBe(undefined)
    expect(await asked()).toBe(1)
  })

  it('is not asked for because of what an older version has left', async () => {
    git('site', 'update-ref', 'refs/golden/unsent', 'golden/nightly')
    expect(await night()).toBe(undefined)
    expect(await asked()).toBe(1)
  })

  it('stays one when the branch that it goes into has moved on, with what others have added', async () => {
    reviewer()
    git('reviewer', 'switch', '--quiet', 'golden/nightly')
    git('reviewer', ...as('r'), 'commit', '--quiet', '--allow-empty', '-m', 'seen')
    git('reviewer', 'push', '--quiet')
    await colleague('site.ts', 'export default { name: 1 }\n')
    git('site', 'pull', '--quiet', '--rebase', '--autostash', 'origin', 'main')
    expect(await night()).toBe(undefined)
    await lock(3)
    expect(await night()).toMatchObject({ asked: false })
    expect(subjects('golden/nightly')).toEqual(['Lock: lock 2 and newer', 'seen', 'Lock: lock 1 and newer', 'first'])
    expect(await asked()).toBe(1)
  })

  it('is made anew in its place when it could not be merged any more', async () => {
    await colleague('images.lock.json', 'by hand\n')
    git('site', 'checkout', '--quiet', '--', 'images.lock.json')
    git('site', 'pull', '--quiet', 'origin', 'main')
    await lock(3)
    expect(await night()).toMatchObject({ asked: false })
    expect(subjects('golden/nightly')).toEqual(['Lock: by hand and newer', 'images.lock.json of a colleague', 'first'])
    expect(await asked()).toBe(1)
  })

  it.each(['merge', 'squash', 'rebase'].flatMap((how) => [true, false].map((deleted) => ({ how, deleted }))))(
    'and is merged by a $how (branch deleted: $deleted) begins anew on top, though nobody pulls into the site folder',
    async ({ how, deleted }) => {
      await lock(3)
      await night()
      await colleague('site.ts', 'export default { name: 1 }\n')
      reviewer()
      if (how === 'rebase') {
        git('reviewer', ...as('r'), 'rebase', '--quiet', 'main', 'origin/golden/nightly')
        git('reviewer', 'push', '--quiet', 'origin', 'HEAD:main')
      } else {
        git('reviewer', ...as('r'), 'merge', '--quiet', how === 'merge' ? '--no-ff' : '--squash', 'origin/golden/nightly')
        if (how === 'squash') git('reviewer', ...as('r'), 'commit', '--quiet', '-m', 'squashed')
        git('reviewer', 'push', '--quiet', 'origin', 'main')
      }
      if (deleted) git('reviewer', 'push', '--quiet', 'origin', '--delete', 'golden/nightly')
      const main = git('remote', 'rev-parse', 'main')
      expect(await night()).toBe(undefined)
      expect(remoteHas('golden/nightly')).toBe(!deleted)
      await lock(4)
      expect(await night()).toMatchObject({ asked: true })
      expect(git('remote', 'rev-parse', 'golden/nightly~1')).toBe(main)
      expect(filesAt('remote', 'golden/nightly')).toEqual(['images.lock.json'])
      expect((await read('.', 'asked')).split('\n')[1]).toContain('Lock: lock 3 and newer')
      expect(await night()).toBe(undefined)
      expect(await asked()).toBe(2)
    },
  )

  it('and is merged leaves alone what others have changed since', async () => {
    reviewer()
    git('reviewer', ...as('r'), 'merge', '--quiet', '--squash', 'origin/golden/nightly')
    git('reviewer', ...as('r'), 'commit', '--quiet', '-m', 'squashed')
    git('reviewer', 'push', '--quiet', 'origin', 'main')
    await colleague('deployment.json', '{}\n')
    await lock(3)
    expect(await night()).toMatchObject({ asked: true })
    expect(subjects('golden/nightly')).toEqual(['Lock: lock 2 and newer', 'deployment.json of a colleague', 'squashed', 'first'])
    expect(filesAt('remote', 'golden/nightly')).toEqual(['images.lock.json'])
  })

  it('and can not be put on what others have changed is theirs to decide', async () => {
    await colleague('images.lock.json', 'by hand\n')
    git('remote', 'branch', '--quiet', '-D', 'golden/nightly')
    await lock(3)
    const { shown, progress } = recorder()
    expect(await deliver({ ...optionsFor(request()), progress })).toMatchObject({ asked: true })
    expect(subjects('golden/nightly')).toEqual(['Lock: lock 1 and newer', 'first'])
    expect(shown).toEqual([expect.stringContaining('others have changed images.lock.json, too')])
  })

  it('and is closed with its branch deleted is not brought again, but what is new is', async () => {
    git('remote', 'branch', '--quiet', '-D', 'golden/nightly')
    for (let count = 0; count < 2; count++) expect(await night()).toBe(undefined)
    expect([remoteHas('golden/nightly'), await asked()]).toEqual([false, 1])
    git('site', 'fetch', '--quiet', '--prune')
    expect(await night()).toBe(undefined)
    await lock(3)
    expect(await night()).toMatchObject({ asked: true })
    expect(subjects('golden/nightly')).toEqual(['Lock: lock 1 and newer', 'first'])
    expect([await night(), await asked()]).toEqual([undefined, 2])
  })

  it('and was not asked for is asked for with what comes on top of it', async () => {
    git('remote', 'branch', '--quiet', '-D', 'golden/nightly')
    const broken = { ...request(), command: ['sh', '-c', 'exit 3'] } as GitSettings
    await lock(3)
    await expect(night(broken)).rejects.toMatchObject({
      code: 'git-command-failed',
      hint: expect.stringContaining('update-ref -d refs/golden/begun/golden/nightly'),
    })
    await lock(4)
    await expect(night(broken)).rejects.toMatchObject({ code: 'git-command-failed' })
    expect(await night()).toMatchObject({ asked: true })
    expect([await night(), await asked()]).toEqual([undefined, 2])
    expect(subjects('golden/nightly')).toHaveLength(3)
  })

  it('and whose branch was deleted is not taken up again', async () => {
    git('remote', 'branch', '--quiet', '-D', 'golden/nightly')
    git('site', 'checkout', '--quiet', '--', 'images.lock.json')
    await takeUp(optionsFor(request()))
    expect(await read('site', 'images.lock.json')).toBe('lock 1\n')
  })
})

describe('before the night begins', () => {
  it.each<[string, GitSettings, () => void | Promise<void>]>([
    ['a folder without git', commit(false), () => rm(at('site', '.git'), { recursive: true })],
    [
      'a lock that git ignores',
      commit(false),
      () => write('site', '.gitignore', '*\n').then(() => void git('site', 'rm', '--quiet', '--cached', 'images.lock.json')),
    ],
    ['no branch', branch(), () => void git('site', 'checkout', '--quiet', '--detach')],
    ['its branch checked out', branch(), () => void git('site', 'switch', '--quiet', '-c', 'golden/nightly')],
  ])('refuses %s', async (_, settings, change) => {
    await requireDelivery(optionsFor(settings))
    await change()
    await expect(requireDelivery(optionsFor(settings))).rejects.toMatchObject({ code: 'git-impossible' })
    await requireDelivery(optionsFor({ to: 'folder' }))
  })
})
