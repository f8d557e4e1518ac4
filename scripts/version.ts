/** `golden version`, `golden --version`: what runs here. */
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Verb } from './verb.ts'

export interface Version {
  readonly name: string
  readonly version: string
  /** Of a git checkout; null where it is none. */
  readonly commit: string | null
  readonly node: string
}

export const verb: Verb = {
  changes: 'nothing',
  examples: [
    ['npx golden version', 'for people'],
    ['npx golden version --json', 'for programs, the whole commit'],
  ],
  async run({ result }) {
    const version = await readVersion(resolve(import.meta.dirname, '..'))
    result(versionText(version), version)
    return 0
  },
}

export async function readVersion(project: string): Promise<Version> {
  const { name, version } = JSON.parse(await readFile(join(project, 'package.json'), 'utf8')) as { name: string; version: string }
  return { name, version, commit: (await commitOf(project)) ?? null, node: process.versions.node }
}

export const versionText = ({ name, version, commit, node }: Version): string =>
  `${name} ${version}${commit === null ? '' : `, commit ${commit.slice(0, 12)}`}, Node ${node}`

const textOf = (file: string): Promise<string | undefined> =>
  readFile(file, 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  )

/** By git's files, without git (gitrepository-layout(5)): in a worktree `.git` is a file, and branches are in the common folder. */
async function commitOf(project: string): Promise<string | undefined> {
  const git = join(project, '.git')
  const link = /^gitdir: (.+)$/.exec((await textOf(git)) ?? '')?.[1]
  const own = link === undefined ? git : resolve(project, link)
  const common = resolve(own, (await textOf(join(own, 'commondir'))) ?? '.')
  const head = await textOf(join(own, 'HEAD'))
  const ref = /^ref: (.+)$/.exec(head ?? '')?.[1]
  if (ref === undefined) return hash(head)
  const packed = async (): Promise<string | undefined> =>
    (await textOf(join(common, 'packed-refs')))
      ?.split('\n')
      .find((line) => line.endsWith(` ${ref}`))
      ?.split(' ')[0]
  return hash((await textOf(join(common, ref))) ?? (await packed()))
}

const hash = (text: string | undefined): string | undefined => (/^[0-9a-f]{40,64}$/.test(text ?? '') ? text : undefined)
