/** What a shell has to know of a verb. */
import type { commonOptions } from '../parse-words.ts'
import type { Completes, Verb } from '../verb.ts'

export interface Describable {
  readonly summary: string
  readonly load: () => Promise<{ readonly verb: Verb }>
  readonly hidden?: true
}

export interface DescribedVerb {
  readonly name: string
  /** In a few words. */
  readonly summary: string
  readonly operands: Completes | undefined
  readonly options: readonly DescribedOption[]
}

export interface DescribedOption {
  readonly name: string
  readonly help: string
  readonly takesValue: boolean
  /** undefined: any text. */
  readonly values: Completes | undefined
}

const commonHelp: Readonly<Record<keyof typeof commonOptions, string>> = {
  json: 'print the result as JSON',
  help: 'what it changes, its options, and examples',
}

/** Loads them all: that takes a moment, once, and not at every TAB. */
export async function described(table: Readonly<Record<string, Describable>>): Promise<DescribedVerb[]> {
  const shown = Object.entries(table).filter(([, { hidden }]) => hidden !== true)
  return Promise.all(
    shown.map(async ([name, { summary, load }]) => {
      const { verb } = await load()
      const own = Object.entries(verb.options ?? {}).map(
        ([option, { type }]): DescribedOption => ({
          name: option,
          help: inShort(verb.optionHelp?.[option] ?? ''),
          takesValue: type === 'string',
          values: verb.completes?.options?.[option],
        }),
      )
      const common = Object.entries(commonHelp).map(
        ([option, help]): DescribedOption => ({ name: option, help, takesValue: false, values: undefined }),
      )
      return { name, summary: inShort(summary), operands: verb.completes?.operands, options: [...own, ...common] }
    }),
  )
}

const mostLetters = 70

/** One line in a list: what comes before the first semicolon or colon, if that is long enough to say anything. */
function inShort(text: string): string {
  const [head = ''] = text.split(/[;:]|, (?=and |which |e\.g\. )/)
  const line = head.length < 12 ? text : head
  return line.length > mostLetters ? `${line.slice(0, mostLetters - 1).trimEnd()}…` : line
}

/**
 * Shell text that prints the groups of the site folder, as `deployment.json` has them: without Node, which would be felt at
 * every TAB. Before the first deployment there are none to roll out, destroy or delete.
 * @param folder the shell's word for where that file is
 */
export const groupsCommand = (folder: string): string =>
  `sed -n 's/^    "\\([a-z0-9-]*\\)": {$/\\1/p' ${folder}/deployment.json 2>/dev/null`
