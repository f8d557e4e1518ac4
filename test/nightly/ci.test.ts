/** The CI files of the night: sound by their own tools, and in what they make of the night's end. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseDocument } from 'yaml'
import { ensureTool, haveTools } from '../../tools/index.ts'
import { gitlab, gitlabFile, project, runGitlabScript, runWorkflow, workflow, workflowFile } from './ci.ts'

describe.skipIf(!(await haveTools(['actionlint'])))('the workflow, by actionlint (needs it in the cache: npm test builds it)', () => {
  const lint = async (text: string): Promise<string> => {
    const { path } = await ensureTool('actionlint')
    // What it would ask of other programs on PATH is theirs.
    const { stdout, stderr } = spawnSync(
      path,
      ['-no-color', '-config-file', join(project, '.github/actionlint.yaml'), '-shellcheck=', '-pyflakes=', '-'],
      { input: text, encoding: 'utf8' },
    )
    return `${stdout}${stderr}`
  }

  it('has no mistakes', async () => {
    expect(await lint(readFileSync(workflowFile, 'utf8'))).toBe('')
  })

  it.each([
    ['a key that is none', (text: string) => text.replace('timeout-minutes:', 'time-out:'), 'unexpected key "time-out"'],
    ['an output of no step', (text: string) => text.replace('steps.night.outputs', 'steps.day.outputs'), 'property "day" is not defined'],
    ['a schedule that never comes', (text: string) => text.replace("'30 2 * * *'", "'30 26 * * *'"), 'invalid CRON format'],
  ])('would be told of %s', async (_, change, told) => {
    const text = readFileSync(workflowFile, 'utf8')
    expect(change(text)).not.toBe(text)
    expect(await lint(change(text))).toContain(told)
  })
})

describe('the workflow', () => {
  it('may read the code and nothing else, takes actions by commit, and runs once at a time', () => {
    const { permissions, concurrency, jobs } = workflow()
    expect(permissions).toEqual({})
    expect(jobs.nightly.permissions).toEqual({ contents: 'read' })
    expect(concurrency).toEqual({ group: 'golden-nightly', 'cancel-in-progress': false })
    expect(jobs.nightly['runs-on']).toContain('self-hosted')
    for (const { uses, run } of jobs.nightly.steps) {
      if (uses !== undefined) expect(uses).toMatch(/^actions\/[a-z-]+@[0-9a-f]{40}$/)
      // What comes from outside is told by the environment: in a script it would be run.
      expect(run ?? '').not.toContain('${{')
    }
  })
})

describe("GitLab's file", () => {
  /** What jobs may have, as far as it is in use (GitLab's "CI/CD YAML syntax reference"). Its own linter is a part of its server. */
  const known = ['rules', 'tags', 'resource_group', 'interruptible', 'timeout', 'variables', 'cache', 'script', 'artifacts']
  it('is YAML with no key twice, and has only keywords that there are', () => {
    const document = parseDocument(readFileSync(gitlabFile, 'utf8'), { uniqueKeys: true, strict: true })
    expect([...document.errors, ...document.warnings]).toEqual([])
    const jobs = gitlab()
    expect(Object.keys(jobs)).toEqual(['nightly'])
    const job = jobs.nightly
    expect(Object.keys(job ?? {}).filter((key) => !known.includes(key))).toEqual([])
    expect(job).toMatchObject({
      rules: [{ if: expect.stringContaining('$GOLDEN_SITE') }],
      interruptible: false,
      resource_group: expect.any(String),
      cache: { key: { files: [expect.any(String)] }, paths: [expect.any(String)] },
      artifacts: { when: 'always', paths: ['night/'] },
    })
    for (const line of job?.script ?? []) expect(typeof line).toBe('string')
  })
})

describe('the steps, in a bare clone, with a night that ends like that', () => {
  let folder = ''
  let env: NodeJS.ProcessEnv
  /** npm that installs nothing, and has a night of its own: the real ones are in test/flow/ci.test.ts. */
  const npm = (ends: number): void =>
    writeFileSync(
      join(folder, 'bin', 'npm'),
      `#!/bin/sh
echo "npm $*" >> "${folder}/calls"
[ "$1" = ci ] && { test -f package-lock.json; exit; }
report=; for word in "$@"; do [ "$report" = next ] && report=$word; [ "$word" = --report ] && report=next; done
mkdir -p "$report" && echo "# night of $GOLDEN_SITE" > "$report/report.md" && echo page > "$report/report.html"
exit ${ends}
`,
      { mode: 0o755 },
    )
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'gw-'))
    mkdirSync(join(folder, 'bin'))
    env = { PATH: `${join(folder, 'bin')}:${process.env.PATH}`, HOME: folder }
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it.each([
    [0, true, ''],
    [10, true, 'new=true\n'],
    [1, false, ''],
    [130, false, ''],
  ])('with %i: the job is well: %s', async (ends, ok, outputs) => {
    npm(ends)
    const job = await runWorkflow({ folder: join(folder, 'job'), vars: { GOLDEN_SITE: '/srv/site' }, env })
    expect(job, job.said).toMatchObject({ ok, outputs, summary: '# night of /srv/site\n', kept: ['report.html', 'report.md'] })
    expect(job.failed).toBe(ok ? undefined : 'The night')
    expect(readFileSync(join(folder, 'calls'), 'utf8')).toMatch(/^npm ci\nnpm run --silent golden -- nightly --report .*\/night\n$/)
  })

  it.each([
    [0, 0],
    [10, 0],
    [1, 1],
  ])("GitLab's, with %i: it ends with %i", (ends, code) => {
    npm(ends)
    const ended = runGitlabScript(join(folder, 'clone'), { ...env, GOLDEN_SITE: '/srv/site' })
    expect(ended.code, ended.said).toBe(code)
    expect(readFileSync(join(folder, 'clone', 'night', 'report.md'), 'utf8')).toContain('/srv/site')
  })
})
