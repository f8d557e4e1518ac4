/** For zsh. Pure. */
import { shellWord } from '../../core/shell-word.ts'
import { groupsCommand, type DescribedOption, type DescribedVerb } from './described.ts'
import type { Completes } from '../verb.ts'

/** @param site the folder that it is without GOLDEN_SITE */
export function zshScript(verbs: readonly DescribedVerb[], site: string): string {
  const named = [...verbs, { name: 'help', summary: 'list the verbs, or help for one' }]
  return `#compdef golden
# Completion of golden for zsh, made by "golden completion zsh".
_golden_groups() {
  local -a groups
  groups=(\${(f)"$(${groupsCommand(`"\${GOLDEN_SITE:-${site.replaceAll(/["$`\\]/g, '\\$&')}}"`)})"})
  compadd -- $groups
}

_golden() {
  local -a verbs
  verbs=(
${named.map(({ name, summary }) => `    ${quoted(`${name}:${summary}`)}`).join('\n')}
  )
  if (( CURRENT == 2 )); then
    if [[ $PREFIX == -* ]]; then compadd -- --help --version; else _describe -t verbs verb verbs; fi
    return
  fi
  local verb=$words[2]
  shift words
  (( CURRENT-- ))
  case $verb in
    help) _describe -t verbs verb verbs ;;
${verbs.map(verbCase).join('\n')}
  esac
}

# In a folder of fpath it is this function's body; sourced, it has to be told of.
if [[ "\${funcstack[1]}" == _golden ]]; then _golden "$@"; else compdef _golden golden; fi
`
}

function verbCase({ name, options, operands }: DescribedVerb): string {
  const specs = [
    ...options.map(optionSpec),
    ...(operands === undefined ? [] : [`*:${operands === 'groups' ? 'group' : 'what'}:${action(operands)}`]),
  ]
  return `    ${name})\n      _arguments ${specs.map((spec) => `\\\n        ${quoted(spec)}`).join(' ')} ;;`
}

function optionSpec({ name, help, takesValue, values }: DescribedOption): string {
  const text = help.replaceAll(/[[\]:\\]/g, '\\$&')
  return takesValue ? `--${name}=[${text}]:${name}:${action(values)}` : `--${name}[${text}]`
}

function action(what: Completes | undefined): string {
  if (what === undefined) return ' '
  if (what === 'groups') return '_golden_groups'
  if (what === 'file') return '_files'
  if (what === 'folder') return '_files -/'
  return `(${what.join(' ')})`
}

const quoted = (text: string): string => shellWord(text)
