/** The hooks that a push to a project runs, with this computer's git: nothing that only Serena has is ever lost. */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

const place = mkdtempSync(join(tmpdir(), 'golden-push-'))
const hooks = join(place, 'hooks')
const serena = join(place, 'serena')
const mine = join(place, 'mine')

beforeAll(() => {
  cpSync(join(import.meta.dirname, '../../images/rootfs/usr/local/lib/golden/git-hooks'), hooks, { recursive: true })
  for (const name of readdirSync(hooks)) chmodSync(join(hooks, name), 0o755)
})
afterAll(() => rmSync(place, { recursive: true, force: true }))

/** A moment apart from now, for what depends on ages. */
let date = ''
/** A folder whose programs come before the computer's. */
let programs = ''
function run(folder: string, args: readonly string[]): { status: number; out: string; said: string } {
  const env = {
    PATH: `${programs}${process.env.PATH}`,
    HOME: place,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_AUTHOR_NAME: 'a',
    GIT_AUTHOR_EMAIL: 'a@b',
    GIT_COMMITTER_NAME: 'a',
    GIT_COMMITTER_EMAIL: 'a@b',
    ...(date === '' ? {} : { GIT_COMMITTER_DATE: date }),
  }
  const { status, stdout, stderr } = spawnSync('git', args, { cwd: folder, encoding: 'utf8', env })
  return { status: status ?? -1, out: stdout, said: stderr }
}
function git(folder: string, ...args: string[]): string {
  const { status, out, said } = run(folder, args)
  if (status !== 0) throw new Error(`git ${args.join(' ')}: ${said}`)
  return out
}
const write = (folder: string, path: string, content: string): void => {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), content)
}
const read = (path: string): string => readFileSync(join(serena, path), 'utf8')

/** As prepare.js and golden-projects-shell have it. */
function asProject(): void {
  git(serena, 'config', 'receive.denyCurrentBranch', 'updateInstead')
  git(serena, 'config', 'core.hooksPath', hooks)
}

/** Commits the files and pushes them. */
function push(files: Readonly<Record<string, string>>, branch = 'main'): { status: number; said: string } {
  for (const [path, content] of Object.entries(files)) write(mine, path, content)
  git(mine, 'add', '-A', '-f')
  git(mine, 'commit', '-qm', 'x', '--allow-empty')
  const { status, said } = run(mine, ['push', '-q', serena, `HEAD:refs/heads/${branch}`])
  return { status, said }
}
const kept = (): string[] =>
  git(serena, 'for-each-ref', '--format=%(refname)', 'refs/serena')
    .split('\n')
    .filter((ref) => ref !== '')
/** Whether any commit that a ref leads to has this content in a file. */
const hasKept = (content: string): boolean => {
  const commits = kept().flatMap((ref) => git(serena, 'rev-list', ref).trim().split('\n'))
  return run(serena, ['grep', '-q', '-F', '-e', content, ...new Set(commits)]).status === 0
}

beforeEach(() => {
  date = ''
  programs = ''
  for (const folder of [serena, mine]) {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder)
    git(folder, 'init', '-q', '--initial-branch=main')
  }
  asProject()
  expect(push({ a: '1\n', 'sub/b': '1\n', '.gitignore': '.env\nbuild/\n' })).toEqual({ status: 0, said: '' })
})

describe('what Serena has and nobody has committed', () => {
  it('a tracked file, a deleted one: kept, with the command that brings them', () => {
    write(serena, 'a', 'edited by Serena\n')
    rmSync(join(serena, 'sub/b'))
    const { status, said } = push({ a: '2\n' })
    expect(status).toBe(0)
    expect(read('a')).toBe('2\n')
    const [ref = ''] = kept()
    expect(said).toContain(`git fetch origin ${ref} && git diff HEAD...FETCH_HEAD`)
    expect(git(serena, 'show', `${ref}:a`)).toBe('edited by Serena\n')
    expect(git(serena, 'ls-tree', '--name-only', '-r', ref)).not.toContain('sub/b')
  })

  it('an ignored file, and one in the way of a folder: kept', () => {
    write(serena, '.env', 'SECRET=of-serena\n')
    write(serena, 'lib', 'a file of Serena\n')
    expect(push({ '.env': 'SECRET=example\n', 'lib/x': 'x\n' }).status).toBe(0)
    expect([read('.env'), read('lib/x')]).toEqual(['SECRET=example\n', 'x\n'])
    expect([hasKept('of-serena'), hasKept('a file of Serena')]).toEqual([true, true])
  })

  it('a folder in the way of a file: kept; with a repository in it the push is refused', () => {
    write(serena, 'build/deep/out', 'made by Serena\n')
    expect(push({ build: 'a file\n' }).status).toBe(0)
    expect([read('build'), hasKept('made by Serena')]).toEqual(['a file\n', true])
    mkdirSync(join(serena, 'tool/repo'), { recursive: true })
    git(join(serena, 'tool/repo'), 'init', '-q')
    write(serena, 'tool/repo/precious', 'work\n')
    const { status, said } = push({ tool: 'a file\n' })
    expect(status).not.toBe(0)
    expect(said).toContain('a repository of its own: ./tool/repo')
    expect(read('tool/repo/precious')).toBe('work\n')
    expect(git(serena, 'rev-parse', 'HEAD')).not.toBe(git(mine, 'rev-parse', 'HEAD'))
  })

  it('files in a repository that Serena has cloned into the project: kept', () => {
    mkdirSync(join(serena, 'lib'))
    git(join(serena, 'lib'), 'init', '-q')
    write(serena, 'lib/work.txt', 'precious\n')
    write(serena, 'lib/new.txt', 'untouched\n')
    expect(push({ 'lib/work.txt': 'theirs\n' }).status).toBe(0)
    expect([read('lib/work.txt'), read('lib/new.txt'), hasKept('precious')]).toEqual(['theirs\n', 'untouched\n', true])
  })

  it('what was staged and changed again: both', () => {
    write(serena, 'a', 'staged\n')
    git(serena, 'add', 'a')
    write(serena, 'a', 'changed again\n')
    expect(push({ a: '2\n' }).status).toBe(0)
    expect([hasKept('staged'), hasKept('changed again')]).toEqual([true, true])
  })

  it.for(['--assume-unchanged', '--skip-worktree'])('a file that git was told to leave alone (%s)', (flag) => {
    git(serena, 'update-index', flag, 'a')
    write(serena, 'a', 'local settings\n')
    expect(push({ a: '2\n' }).status).toBe(0)
    expect([read('a'), hasKept('local settings')]).toEqual(['2\n', true])
  })

  it('in the middle of a merge: kept, and the merge is over', () => {
    git(serena, 'checkout', '-qb', 'other')
    write(serena, 'a', 'theirs\n')
    git(serena, 'commit', '-qam', 'theirs')
    git(serena, 'checkout', '-q', 'main')
    write(serena, 'a', 'ours\n')
    git(serena, 'commit', '-qam', 'ours')
    git(mine, 'pull', '-q', '--ff-only', serena, 'main')
    expect(run(serena, ['merge', 'other']).status).toBe(1)
    write(serena, 'a', 'half resolved\n')
    expect(push({ a: '2\n' }).status).toBe(0)
    expect([read('a'), hasKept('half resolved'), git(serena, 'status', '--porcelain')]).toEqual(['2\n', true, ''])
    expect(existsSync(join(serena, '.git/MERGE_HEAD'))).toBe(false)
  })

  it('a change in the very moment after a commit, of the same size', () => {
    git(serena, 'config', 'core.trustctime', 'false')
    const moment = 1_700_000_000
    write(serena, 'a', 'before\n')
    git(serena, 'commit', '-qam', 'of Serena')
    utimesSync(join(serena, 'a'), moment, moment)
    git(serena, 'update-index', '--refresh')
    utimesSync(join(serena, '.git/index'), moment, moment)
    write(serena, 'a', 'edited\n')
    utimesSync(join(serena, 'a'), moment, moment)
    git(mine, 'pull', '-q', '--no-rebase', serena, 'main')
    expect(push({ a: '2\n' }).status).toBe(0)
    expect(hasKept('edited')).toBe(true)
  })

  it('several pushes in one second: all of it', () => {
    for (let i = 1; i <= 4; i++) {
      write(serena, 'a', `edit-${i}\n`)
      expect(push({ a: `pushed ${i}\n` }).status).toBe(0)
    }
    expect([1, 2, 3, 4].filter((i) => !hasKept(`edit-${i}`))).toEqual([])
  })

  it('a project with a branch named serena takes pushes', () => {
    expect(push({ c: 'c\n' }, 'serena').status).toBe(0)
    write(serena, 'a', 'edited\n')
    expect(push({ a: '2\n' }).status).toBe(0)
    expect(hasKept('edited')).toBe(true)
  })

  it('names that are hard to write down', () => {
    const names = ['a b', 'zwei\nlines', '-n', '"quoted"', 'umläut', '$(x)', '*']
    push(Object.fromEntries(names.map((name) => [name, '1\n'])))
    for (const name of names) write(serena, name, `of Serena ${name}\n`)
    expect(push(Object.fromEntries(names.map((name) => [name, '2\n']))).status).toBe(0)
    const [ref = ''] = kept()
    expect(names.filter((name) => git(serena, 'show', `${ref}:${name}`) !== `of Serena ${name}\n`)).toEqual([])
  })

  it('before the first commit, also when the branch that comes has another name', () => {
    for (const branch of ['main', 'master']) {
      rmSync(serena, { recursive: true })
      mkdirSync(serena)
      git(serena, 'init', '-q', '--initial-branch=main')
      asProject()
      write(serena, 'a', 'notes of Serena\n')
      expect(push({ a: '2\n' }, branch).status).toBe(0)
      expect([read('a'), hasKept('notes of Serena')]).toEqual(['2\n', true])
    }
  })
})

describe('nothing is kept when nothing would be lost', () => {
  it("Serena's own files in .serena, and what is in nobody's way", () => {
    write(serena, '.git/info/exclude', '.serena/project.yml\n')
    for (let i = 2; i < 5; i++) {
      write(serena, '.serena/.gitignore', '/cache\n/project.local.yml\n')
      write(serena, '.serena/project.yml', 'project_name: x\n')
      write(serena, '.serena/memories/overview.md', 'what Serena has learned\n')
      write(serena, 'notes', 'untracked\n')
      expect(push({ a: `${i}\n` })).toEqual({ status: 0, said: '' })
    }
    expect(push({ '.serena/project.yml': 'project_name: mine\n' })).toEqual({ status: 0, said: '' })
    expect([read('.serena/project.yml'), read('.serena/memories/overview.md'), read('notes')]).toEqual([
      'project_name: mine\n',
      'what Serena has learned\n',
      'untracked\n',
    ])
    expect(kept()).toEqual([])
  })

  it('what the push brings is what Serena has', () => {
    write(serena, 'a', 'the same\n')
    write(serena, 'new', 'the same\n')
    expect(push({ a: 'the same\n', new: 'the same\n' })).toEqual({ status: 0, said: '' })
    expect(kept()).toEqual([])
  })

  it('but memories that are committed and that Serena has changed are work', () => {
    push({ '.serena/memories/overview.md': '1\n' })
    write(serena, '.serena/memories/overview.md', 'learned since\n')
    expect(push({ a: '2\n' }).status).toBe(0)
    expect(hasKept('learned since')).toBe(true)
  })

  it.for(['project.yml', 'project.local.yml', '.gitignore'])('and so are settings that are committed (%s)', (name) => {
    push({ [`.serena/${name}`]: '1\n' })
    write(serena, `.serena/${name}`, 'set by somebody\n')
    expect(push({ [`.serena/${name}`]: '2\n' }).status).toBe(0)
    expect([read(`.serena/${name}`), hasKept('set by somebody')]).toEqual(['2\n', true])
  })
})

describe('what Serena writes while a push is taken', () => {
  /** Once, between the picture and the checkout: `comm` is what the hook runs there. */
  function meanwhile(script: string): void {
    const folder = join(place, 'programs')
    rmSync(folder, { recursive: true, force: true })
    write(
      folder,
      'comm',
      `#!/bin/sh
if mkdir ${folder}/done 2> /dev/null; then (cd ${serena} && ${script}); fi
exec ${spawnSync('sh', ['-c', 'command -v comm'], { encoding: 'utf8' }).stdout.trim()} "$@"
`,
    )
    chmodSync(join(folder, 'comm'), 0o755)
    programs = `${folder}:`
  }
  const leftovers = (): string[] =>
    readdirSync(join(serena, '.git')).filter((name) => name.startsWith('golden-keep') || name.endsWith('.lock'))

  it.for([
    ['a file that is pushed', 'a', { a: '2\n' }],
    ['one that is pushed away', 'sub/b', { sub: 'a file\n' }],
    ['one where the push brings another', 'new', { new: '2\n' }],
    ['an ignored one', '.env', { '.env': '2\n' }],
    ['an ignored one, in the way of a folder', '.env', { '.env/x': '2\n' }],
    ['one in a folder in the way', 'lib/deep/x', { lib: '2\n' }],
    ['an ignored one in a folder in the way', 'build/x', { build: '2\n' }],
  ] as const)('%s: the push is refused, nothing is changed, and the next one keeps it', ([, path, files]) => {
    write(serena, 'other', 'of Serena\n')
    const before = [git(serena, 'rev-parse', 'HEAD'), git(serena, 'ls-files', '-s')]
    for (const name of Object.keys(files)) if (path.startsWith(`${name}/`)) rmSync(join(mine, name), { recursive: true, force: true })
    meanwhile(`mkdir -p "$(dirname ${path})" && echo just-now > ${path}`)
    const { status, said } = push({ ...files, other: 'pushed\n' })
    expect(status).not.toBe(0)
    expect(said).toMatch(/[Pp]ush again/)
    expect([read(path), read('other')]).toEqual(['just-now\n', 'of Serena\n'])
    expect([[git(serena, 'rev-parse', 'HEAD'), git(serena, 'ls-files', '-s')], leftovers()]).toEqual([before, []])
    expect(push({}).status).toBe(0)
    for (const [name, content] of Object.entries(files)) expect(read(name)).toBe(content)
    expect([read('other'), hasKept('just-now'), hasKept('of Serena'), git(serena, 'status', '--porcelain'), leftovers()]).toEqual([
      'pushed\n',
      true,
      true,
      '',
      [],
    ])
  })

  it("a file that the push leaves alone: it stays a change of Serena's", () => {
    meanwhile('echo just-now > sub/b')
    expect(push({ a: '2\n' })).toEqual({ status: 0, said: '' })
    expect([read('a'), read('sub/b'), git(serena, 'status', '--porcelain')]).toEqual(['2\n', 'just-now\n', ' M sub/b\n'])
  })

  it('a commit: there is none until the push is through', () => {
    write(serena, 'sub/b', 'of Serena\n')
    meanwhile('! git commit -qam x 2> /dev/null')
    expect(push({ a: '2\n' }).status).toBe(0)
    expect([git(serena, 'rev-parse', 'HEAD'), hasKept('of Serena')]).toEqual([git(mine, 'rev-parse', 'HEAD'), true])
  })

  it('before the first commit, with a branch of another name: a second picture is taken', () => {
    rmSync(serena, { recursive: true })
    mkdirSync(serena)
    git(serena, 'init', '-q', '--initial-branch=main')
    asProject()
    meanwhile('echo just-now > a')
    expect(push({ a: '2\n' }, 'master').status).toBe(0)
    expect([read('a'), hasKept('just-now'), git(serena, 'status', '--porcelain')]).toEqual(['2\n', true, ''])
  })
})

it('a push while git is at work on the files is refused, with the name of the lock', () => {
  write(serena, 'a', 'of Serena\n')
  write(serena, '.git/index.lock', '')
  const { status, said } = push({ a: '2\n' })
  expect(status).not.toBe(0)
  expect(said).toContain('.git/index.lock')
  expect([read('a'), existsSync(join(serena, '.git/index.lock'))]).toEqual(['of Serena\n', true])
})

it('what is kept goes after 90 days, by the next push', () => {
  date = `${Math.floor(Date.now() / 1000) - 91 * 86_400} +0000`
  const old = git(serena, 'commit-tree', '-m', 'old', 'HEAD^{tree}').trim()
  date = ''
  git(serena, 'update-ref', 'refs/serena/kept/old', old)
  write(serena, 'a', 'edited\n')
  expect(push({ a: '2\n' }).status).toBe(0)
  expect(kept()).toHaveLength(1)
  expect(hasKept('edited')).toBe(true)
})

it('a look at an old commit is told, not an error', () => {
  push({ a: '2\n' })
  git(serena, 'checkout', '-q', 'HEAD~1')
  const { status, said } = push({ a: '3\n' })
  expect(status).toBe(0)
  expect(said).toMatch(/Serena looks at commit [0-9a-f]+, on no branch/)
  expect(said).not.toContain('fatal')
})

/** Where Serena and a push meet: few paths, so that they do. */
const path = fc.constantFrom('a', 'sub/b', 'sub', 'x', 'x/y', 'x/y/z', '.env', 'build/o', 'build')
type Action = { do: 'write' | 'link' | 'remove' | 'stage' | 'commit'; path: string }
const action: fc.Arbitrary<Action> = fc.record({
  do: fc.constantFrom('write', 'write', 'write', 'link', 'remove', 'stage', 'commit'),
  path,
})

it('whatever Serena does, each content of hers is in a file or in a commit after a push that went through', () => {
  let count = 0
  fc.assert(
    fc.property(
      fc.array(action, { minLength: 1, maxLength: 6 }),
      fc.uniqueArray(path, { minLength: 1, maxLength: 4 }),
      (actions, pushed) => {
        for (const folder of [serena, mine]) git(folder, 'update-ref', '-d', 'HEAD')
        for (const ref of kept()) git(serena, 'update-ref', '-d', ref)
        for (const folder of [serena, mine]) {
          git(folder, 'read-tree', '--empty')
          for (const name of readdirSync(folder)) if (name !== '.git') rmSync(join(folder, name), { recursive: true })
        }
        push({ a: '1\n', 'sub/b': '1\n', '.gitignore': '.env\nbuild/\n' })
        const contents = new Map<string, string>()
        for (const one of actions) {
          const at = join(serena, one.path)
          try {
            if (one.do === 'write') {
              const content = `content-${count++}.`
              write(serena, one.path, `${content}\n`)
              contents.set(one.path, content)
            } else if (one.do === 'link') {
              mkdirSync(dirname(at), { recursive: true })
              symlinkSync(`content-${count++}`, at)
            } else if (one.do === 'remove') {
              rmSync(at, { recursive: true, force: true })
              for (const known of contents.keys()) if (known === one.path || known.startsWith(`${one.path}/`)) contents.delete(known)
            } else if (one.do === 'stage') run(serena, ['add', '-A', '-f'])
            else run(serena, ['commit', '-qam', 'of Serena'])
          } catch {
            /* a folder where a file is, and the like: Serena can't do that either */
          }
        }
        run(mine, ['pull', '-q', '-s', 'ours', '--no-rebase', serena, 'main'])
        for (const name of pushed) {
          if (
            existsSync(join(mine, name)) ||
            pushed.some((other) => other !== name && (other.startsWith(`${name}/`) || name.startsWith(`${other}/`)))
          )
            rmSync(join(mine, name), { recursive: true, force: true })
          try {
            write(mine, name, `pushed-${count++}\n`)
          } catch {
            /* one of the two */
          }
        }
        if (push({}).status !== 0) return
        const files = spawnSync('grep', ['-rhs', '--exclude-dir=.git', 'content-', serena], { encoding: 'utf8' }).stdout
        const commits = git(serena, 'rev-list', '--all').trim().split('\n')
        for (const [name, content] of contents) {
          const there = files.split('\n').includes(content) || run(serena, ['grep', '-qF', '-e', content, ...commits]).status === 0
          expect(there, `${content}, written to ${name}`).toBe(true)
        }
        for (const name of pushed)
          if (existsSync(join(mine, name)) && lstatSync(join(mine, name)).isFile())
            expect(read(name)).toBe(readFileSync(join(mine, name), 'utf8'))
      },
    ),
    { numRuns: Number(process.env.GOLDEN_TEST_RUNS ?? 12) },
  )
})
