/** What a site may say of its nights. */
import { expect, it } from 'vitest'
import { nightlySchema } from '../../settings/nightly.ts'

const problemsOf = (input: unknown): string[] => (nightlySchema.safeParse(input).error?.issues ?? []).map(({ path }) => path.join('.'))

it('nothing is done to what runs, and nothing leaves the site folder, unless the site says so', () => {
  expect(nightlySchema.parse(undefined)).toEqual({
    at: '02:30',
    newBase: true,
    promote: 'at-once',
    rollout: 'by-hand',
    prune: true,
    git: { to: 'folder' },
    tell: { when: 'failed', passes: [] },
    language: 'en',
  })
})

it.each([
  [{ rollout: { from: '23:30', to: '04:00' }, timeZone: 'Asia/Tokyo', promote: { afterNights: 3 } }],
  [{ git: { to: 'commit', push: true } }],
  [{ git: { to: 'pull-request', command: ['gh', 'pr', 'create', '--fill'], passes: ['GH_TOKEN'] } }],
  [{ tell: { when: 'always', webhook: { kind: 'env', name: 'HOOK' }, command: ['mail', '-s', 'night', 'me'] } }],
])('%j is fine', (input) => {
  expect(problemsOf(input)).toEqual([])
})

it.each([
  [{ at: '2:30' }, 'at'],
  [{ at: '24:00' }, 'at'],
  [{ timeZone: 'Mars/Base' }, 'timeZone'],
  [{ promote: { afterNights: 0 } }, 'promote'],
  [{ promote: 'never' }, 'promote'],
  [{ rollout: { from: '02:00', to: '02:00' } }, 'rollout'],
  [{ rollout: { from: '02:00' } }, 'rollout'],
  [{ git: { to: 'pull-request' } }, 'git.command'],
  [{ git: { to: 'branch', branch: 'a..b' } }, 'git.branch'],
  [{ git: { to: 'branch', branch: '-x' } }, 'git.branch'],
  [{ git: { to: 'branch', remote: '--upload-pack=x' } }, 'git.remote'],
  [{ git: { to: 'svn' } }, 'git.to'],
  [{ tell: { webhook: 'https://hooks.example/T0/secret' } }, 'tell.webhook'],
  [{ tell: { command: [] } }, 'tell.command.0'],
  [{ tell: { passes: ['A=b'] } }, 'tell.passes.0'],
  [{ language: 'fr' }, 'language'],
])('%j is not', (input, path) => {
  const problems = problemsOf(input)
  expect(problems).not.toEqual([])
  for (const problem of problems) expect(problem).toMatch(new RegExp(`^${path}`))
})
