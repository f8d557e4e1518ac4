/** For fish. Pure. */
import { groupsCommand, type DescribedVerb } from './described.ts'
import type { Completes } from '../verb.ts'

/** @param site the folder that it is without GOLDEN_SITE */
export function fishScript(verbs: readonly DescribedVerb[], site: string): string {
  const names = [...verbs, { name: 'help', summary: 'list the verbs, or help for one' }]
  const line = (...words: string[]): string => ['complete -c golden', ...words].join(' ')
  return `# Completion of golden for fish, made by "golden completion fish".
function __golden_groups
    set -l site ${word(site)}
    set -q GOLDEN_SITE; and set site $GOLDEN_SITE
    ${groupsCommand('$site')}
end

function __golden_verb
    set -l words (commandline -opc)
    if test (count $argv) -eq 0
        test (count $words) -eq 1
    else
        test (count $words) -gt 1; and contains -- $words[2] $argv
    end
end

${line('-f')}
${line('-n __golden_verb', '-l help', '-d', word('list the verbs'))}
${line('-n __golden_verb', '-l version', '-d', word('print the version'))}
${names.map(({ name, summary }) => line('-n __golden_verb', '-a', name, '-d', word(summary))).join('\n')}
${line('-n', word('__golden_verb help'), '-a', word(verbs.map(({ name }) => name).join(' ')))}
${verbs
  .flatMap(({ name, options, operands }) => {
    const on = ['-n', word(`__golden_verb ${name}`)]
    return [
      ...options.map((option) =>
        line(...on, '-l', option.name, ...(option.takesValue ? values(option.values) : []), '-d', word(option.help)),
      ),
      ...(operands === undefined ? [] : [line(...on, ...what(operands))]),
    ]
  })
  .join('\n')}
`
}

/** After an option that wants one. */
const values = (completes: Completes | undefined): string[] =>
  completes === undefined
    ? ['-x']
    : completes === 'file' || completes === 'folder'
      ? ['-r', ...what(completes)]
      : ['-x', ...what(completes)]

function what(completes: Completes): string[] {
  if (completes === 'groups') return ['-a', word('(__golden_groups)')]
  if (completes === 'file') return ['-F']
  if (completes === 'folder') return ['-a', word('(__fish_complete_directories)')]
  return ['-a', word(completes.join(' '))]
}

/** Between single quotes fish knows these two alone (fish-shell, Quotes). */
const word = (text: string): string => `'${text.replaceAll(/[\\']/g, '\\$&')}'`
