/** The CI files of the night, and their steps run as a runner would run them. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parse } from 'yaml'

export const project = resolve(import.meta.dirname, '../..')
export const workflowFile = join(project, '.github/workflows/nightly.yml')
export const gitlabFile = join(project, '.gitlab-ci.yml')

interface Step {
  readonly name?: string
  readonly id?: string
  readonly uses?: string
  readonly if?: string
  readonly run?: string
  readonly with?: Readonly<Record<string, unknown>>
}

interface Workflow {
  readonly permissions: unknown
  readonly concurrency: { readonly group: string; readonly 'cancel-in-progress': boolean }
  readonly jobs: {
    readonly nightly: {
      readonly 'runs-on': readonly string[]
      readonly permissions: unknown
      readonly env: Readonly<Record<string, string>>
      readonly steps: readonly Step[]
    }
  }
}

export const workflow = (): Workflow => parse(readFileSync(workflowFile, 'utf8')) as Workflow

export interface RunnerOptions {
  /** What is made for this job, and thrown away afterwards. */
  readonly folder: string
  /** The variables of the repository. */
  readonly vars: Readonly<Record<string, string>>
  /** Of the runner's user. */
  readonly env: NodeJS.ProcessEnv
  /** Runs a step as that user. @default as the one of this process */
  readonly run?: (
    program: string,
    args: readonly string[],
    how: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
  ) => Promise<RunStep>
  /** Gives that user what was made for the job. @default it is theirs */
  readonly give?: (path: string) => Promise<void>
}

export interface RunStep {
  readonly code: number | null
  readonly said: string
}

export interface RunJob {
  readonly ok: boolean
  /** The step that failed. */
  readonly failed: string | undefined
  readonly said: string
  readonly summary: string
  readonly outputs: string
  /** Files of the artifact. */
  readonly kept: readonly string[]
}

/** The clone that a checkout makes, and nothing that git does not have. */
export function bareClone(folder: string, env: NodeJS.ProcessEnv): void {
  execFileSync('git', ['clone', '--quiet', '--shared', '-c', `safe.directory=${project}`, project, folder], { env })
}

const runHere: NonNullable<RunnerOptions['run']> = async (program, args, { cwd, env }) => {
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (said += text))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, said }
}

/**
 * Steps as a runner takes them: the project's own commands for real, by the shell that GitHub uses. Of actions by others the
 * checkout is done with git, and an artifact is looked at; a cache may be empty at any time.
 */
export async function runWorkflow({ folder, vars, env, run = runHere, give = async () => {} }: RunnerOptions): Promise<RunJob> {
  const { nightly } = workflow().jobs
  const workspace = join(folder, 'workspace')
  const temp = join(folder, 'temp')
  const file = (name: string): string => join(folder, name)
  mkdirSync(temp, { recursive: true })
  for (const name of ['summary', 'outputs']) writeFileSync(file(name), '')
  const evaluate = (text: string): string =>
    text.replaceAll(/\$\{\{ ([\w.]+) \}\}/g, (_, name: string) => {
      if (name === 'runner.temp') return temp
      const value = /^vars\.(\w+)$/.exec(name)?.[1]
      if (value === undefined) throw new Error(`what is ${name}?`)
      return vars[value] ?? ''
    })
  const given = Object.fromEntries(Object.entries(nightly.env).map(([name, value]) => [name, evaluate(value)]))
  await give(folder)
  let failed: string | undefined
  let said = ''
  let kept: string[] = []
  for (const step of nightly.steps) {
    if (failed !== undefined && step.if !== 'always()') continue
    const action = step.uses?.split('@')[0]
    if (action === 'actions/checkout') {
      bareClone(workspace, env)
      await give(workspace)
    } else if (action === 'actions/upload-artifact') {
      const path = evaluate(String(step.with?.path))
      kept = existsSync(path) ? execFileSync('ls', [path], { encoding: 'utf8' }).trim().split('\n') : []
    } else if (step.run !== undefined) {
      const script = join(temp, 'step.sh')
      writeFileSync(script, step.run)
      const ended = await run('bash', ['-e', script], {
        cwd: workspace,
        env: {
          ...env,
          ...given,
          CI: 'true',
          GITHUB_ACTIONS: 'true',
          RUNNER_TEMP: temp,
          GITHUB_STEP_SUMMARY: file('summary'),
          GITHUB_OUTPUT: file('outputs'),
        },
      })
      said += ended.said
      if (ended.code !== 0) failed = step.name ?? step.run
    } else if (action !== 'actions/cache') throw new Error(`what does ${step.uses} do?`)
  }
  return {
    ok: failed === undefined,
    failed,
    said,
    summary: readFileSync(file('summary'), 'utf8'),
    outputs: readFileSync(file('outputs'), 'utf8'),
    kept,
  }
}

interface GitlabJob {
  readonly script: readonly string[]
  readonly artifacts: { readonly paths: readonly string[] }
  readonly [key: string]: unknown
}

export const gitlab = (): Readonly<Record<string, GitlabJob>> =>
  parse(readFileSync(gitlabFile, 'utf8'), { uniqueKeys: true }) as Record<string, GitlabJob>

/** Its lines, in one shell that ends with the first that fails, as GitLab's runner has it. */
export function runGitlabScript(folder: string, env: NodeJS.ProcessEnv): { readonly code: number | null; readonly said: string } {
  bareClone(folder, env)
  const { script } = gitlab().nightly as GitlabJob
  const ended = spawnSync('bash', ['-c', `set -eo pipefail\n${script.join('\n')}`], {
    cwd: folder,
    env: { ...env, CI: 'true', GITLAB_CI: 'true' },
    encoding: 'utf8',
  })
  return { code: ended.status, said: `${ended.stdout}${ended.stderr}` }
}
