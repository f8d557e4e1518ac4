/** `golden completion SHELL`, in that very shell. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { silent } from '../../core/progress.ts'
import { newRelease, renderDeployment } from '../../releases/deployment.ts'
import { completionOf } from '../../scripts/completion.ts'
import { verbs } from '../../verbs.ts'
import { exampleSite } from '../images/example.ts'

const folder = mkdtempSync(join(tmpdir(), 'golden-completion-'))
const env = { PATH: process.env.PATH ?? '', HOME: folder, TERM: 'dumb', LANG: 'C.UTF-8', GOLDEN_SITE: join(folder, "a site's") }
const scriptOf = (shell: string): string => join(folder, `_${shell}`, '_golden')

beforeAll(async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    let script = ''
    const { verb } = completionOf(verbs)
    await verb.run({
      flags: {},
      arguments: [shell],
      env,
      progress: silent,
      json: false,
      signal: new AbortController().signal,
      result: (text) => void (script = text),
    })
    execFileSync('mkdir', ['-p', join(folder, `_${shell}`), env.GOLDEN_SITE])
    writeFileSync(scriptOf(shell), script)
  }
  const site = exampleSite()
  const [group = ''] = Object.keys(site.groups)
  const origin = { id: '0123456789ab', created: new Date(), image: { vmid: 9001, name: 'one', fingerprint: 'f' } }
  const pins = { active: 'blue' as const, slots: { blue: newRelease(site, group, 'blue', origin) } }
  writeFileSync(join(env.GOLDEN_SITE, 'deployment.json'), renderDeployment({ schema: 1, groups: { serena: pins, 'logging-2': pins } }))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What TAB would offer at the end of these words, of which the last may be begun or empty. */
type Complete = (...words: string[]) => string[]

const bash: Complete = (...words) => {
  const lines = `source "$1"; shift; COMP_WORDS=(golden "$@"); COMP_CWORD=$#; _golden; printf '%s\\n' "\${COMPREPLY[@]}"`
  return linesOf(execFileSync('bash', ['--norc', '-c', lines, 'bash', scriptOf('bash'), ...words], { env, encoding: 'utf8' }))
}

const fish: Complete = (...words) => {
  const lines = `source ${scriptOf('fish')}; complete -C "$argv"`
  const said = execFileSync('fish', ['--no-config', '-c', lines, ['golden', ...words].join(' ')], { env, encoding: 'utf8' })
  return linesOf(said).map((line) => line.split('\t')[0] ?? '')
}

/** An interactive zsh on a terminal of its own, whose completion tells what it adds; found by its fpath, as users have it. */
const zsh: Complete = (...words) => {
  const driver = `
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'PS1=; fpath=(${join(folder, '_zsh')} $fpath); autoload -Uz compinit; compinit -u'
zpty -w z 'compadd() { if [[ -n \${(M)@:#-(O|A|D)} ]]; then builtin compadd "$@"; return; fi; local -a hits; builtin compadd -O hits "$@"; print -rl -- \${hits/#/HIT }; builtin compadd "$@" }; tell() { zle complete-word; print DO""NE; }; zle -N tell; bindkey "^I" tell; print REA""DY'
local out
while zpty -r z out; do [[ $out == *READY* ]] && break; done
zpty -w -n z "$1"$'\\t'
while zpty -r z out; do print -rn -- $out; [[ $out == *DONE* ]] && break; done
zpty -d z`
  const { stdout } = spawnSync('zsh', ['-f', '-c', driver, 'zsh', ['golden', ...words].join(' ')], {
    env,
    encoding: 'utf8',
    timeout: 30_000,
  })
  expect(stdout).toContain('DONE')
  return [...stdout.matchAll(/HIT (\S+)/g)].map(([, hit = '']) => hit)
}

const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '')
const has = (shell: string): boolean => spawnSync(shell, ['--version']).status === 0

const shells = [
  ['bash', bash],
  ['zsh', zsh],
  ['fish', fish],
] as const
for (const [shell, complete] of shells) {
  describe.skipIf(!has(shell))(`in ${shell}, which has to be installed`, () => {
    const offers = (words: readonly string[], offered: readonly string[]): void =>
      expect(complete(...words).sort(), words.join(' ')).toEqual([...offered].sort())

    it('completes verbs, and no hidden one', () => {
      offers(['ro'], ['rollout', 'rollback'])
      offers(['h'], ['help'])
      offers(['help', 'ver'], ['verify', 'version'])
      offers(['--v'], ['--version'])
    })

    it('completes the words that can stand there', () => {
      offers(['client', 'cl'], ['claude-code', 'claude-desktop', 'cline'])
      offers(['promote', '--channel', ''], ['candidate', 'stable'])
      offers(['images', ''], ['diff', 'cve'])
      offers(['completion', ''], ['bash', 'zsh', 'fish'])
    })

    it('completes the groups of the site folder, without starting Node', () => {
      offers(['rollout', ''], ['serena', 'logging-2'])
      offers(['delete-data', 'lo'], ['logging-2'])
    })

    it("completes every verb's own options", async () => {
      // Zsh takes its time to start.
      for (const [name, { load, hidden }] of Object.entries(verbs).filter(([verb]) => shell !== 'zsh' || verb.length < 6)) {
        if (hidden === true) continue
        const { verb } = await load()
        offers(
          [name, '--'],
          [...Object.keys(verb.options ?? {}), 'json', 'help'].map((option) => `--${option}`),
        )
      }
    }, 60_000)
  })
}

it('in bash a value may follow an equals sign', () => {
  expect(bash('promote', '--channel', '=', 's')).toEqual(['stable'])
  expect(bash('rollback', '--state', '=')).toEqual(['now', 'before'])
})
