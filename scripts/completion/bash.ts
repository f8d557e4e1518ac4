/** For bash, 3.2 too. Pure. */
import { shellWord } from '../../core/shell-word.ts'
import { groupsCommand, type DescribedVerb } from './described.ts'
import type { Completes } from '../verb.ts'

/** @param site the folder that it is without GOLDEN_SITE */
export function bashScript(verbs: readonly DescribedVerb[], site: string): string {
  const names = [...verbs.map(({ name }) => name), 'help', '--help', '--version']
  const values = verbs.flatMap(({ name, options }) =>
    options.flatMap((option) => (option.takesValue ? [`    ${shellWord(`${name} --${option.name}`)}) ${complete(option.values)} ;;`] : [])),
  )
  const operands = verbs.flatMap(({ name, operands: words }) => (words === undefined ? [] : [`      ${name}) ${complete(words)} ;;`]))
  return `# Completion of golden for bash, made by "golden completion bash".
_golden_groups() {
  ${groupsCommand(`"\${GOLDEN_SITE:-${site.replaceAll(/["$`\\]/g, '\\$&')}}"`)}
}

_golden() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} words=
  COMPREPLY=()
  # Bash takes --option=value for three words.
  if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=\${COMP_WORDS[COMP_CWORD-2]}; fi
  if [[ $COMP_CWORD -eq 1 ]]; then
    COMPREPLY=($(compgen -W ${shellWord(names.join(' '))} -- "$cur"))
    return
  fi
  case "\${COMP_WORDS[1]} $prev" in
    'help '*) words=${shellWord(verbs.map(({ name }) => name).join(' '))} ;;
${values.join('\n')}
    *' '*) if [[ $cur == -* ]]; then case \${COMP_WORDS[1]} in
${verbs.map(({ name, options }) => `      ${name}) words=${shellWord(options.map((option) => `--${option.name}`).join(' '))} ;;`).join('\n')}
    esac; else case \${COMP_WORDS[1]} in
${operands.join('\n')}
    esac; fi ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _golden golden
`
}

function complete(what: Completes | undefined): string {
  if (what === undefined) return 'return'
  if (what === 'groups') return 'words=$(_golden_groups)'
  // By readline itself, which knows of blanks in names and of the slash after a folder; bash 3.2 does without.
  if (what === 'file') return 'compopt -o default 2>/dev/null; return'
  if (what === 'folder') return 'compopt -o dirnames 2>/dev/null; return'
  return `words=${shellWord(what.join(' '))}`
}
