/** `golden completion SHELL`: a script for bash, zsh or fish, made from the verbs themselves. */
import { resolve } from 'node:path'
import { Failure } from '../core/failure.ts'
import { bashScript } from './completion/bash.ts'
import { described, type Describable } from './completion/described.ts'
import { fishScript } from './completion/fish.ts'
import { zshScript } from './completion/zsh.ts'
import type { Verb } from './verb.ts'

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript }
type Shell = keyof typeof scripts
const shells = Object.keys(scripts) as Shell[]

/** It knows the table of verbs, which knows it. */
export const completionOf = (table: Readonly<Record<string, Describable>>): { readonly verb: Verb } => ({
  verb: {
    operands: `[${shells.join('|')}]`,
    changes: 'nothing; print it into a file to keep it',
    examples: [
      ['source <(npx golden completion bash)', 'for this shell; zsh has the same'],
      ['npx golden completion bash > ~/.local/share/bash-completion/completions/golden', 'for every bash from now on'],
      ['npx golden completion zsh > ~/.zfunc/_golden', 'for every zsh that has ~/.zfunc in its fpath'],
      ['npx golden completion fish > ~/.config/fish/completions/golden.fish', 'for every fish'],
    ],
    completes: { operands: shells },
    async run({ arguments: [word], result }) {
      const shell = shells.find((one) => one === word)
      if (shell === undefined)
        throw new Failure(
          'usage',
          word === undefined ? 'for which shell?' : `there is no completion for "${word}"`,
          `Say one of: ${shells.join(', ')}.`,
          word === undefined ? {} : { unknown: { said: word, known: shells } },
        )
      const script = scripts[shell](await described(table), resolve(import.meta.dirname, '../site'))
      result(script.trimEnd(), { shell, script })
      return 0
    },
  },
})
