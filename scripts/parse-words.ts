/** What somebody has typed after a verb, by the verb's own options. Pure. */
import { parseArgs } from 'node:util'
import { Failure } from '../core/failure.ts'
import type { Verb, VerbContext } from './verb.ts'

export interface Words {
  readonly flags: VerbContext['flags']
  readonly operands: readonly string[]
  readonly json: boolean
  readonly help: boolean
}

/** What every verb takes. */
export const commonOptions = { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const

/** @throws Failure `usage` */
export function parseWords(name: string, verb: Pick<Verb, 'options' | 'operands'>, words: readonly string[]): Words {
  const hint = `Run "npx golden ${name} --help".`
  const options = { ...verb.options, ...commonOptions }
  let parsed
  try {
    parsed = parseArgs({ args: [...words], allowPositionals: true, options })
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const [, unknown] = /^Unknown option '(-[^']*)'/.exec(message) ?? []
    if (unknown === undefined) throw new Failure('usage', message, hint)
    const known = Object.keys(options).map((option) => `--${option}`)
    throw new Failure('usage', `"${name}" has no option ${unknown}`, hint, { unknown: { said: unknown, known } })
  }
  const { help, json, ...flags } = parsed.values as Record<string, string | boolean | (string | boolean)[] | undefined>
  const surplus = help === true ? [] : parsed.positionals.slice(mostOperands(verb))
  if (surplus.length > 0) throw new Failure('usage', `"${name}" takes no ${surplus.map((word) => `"${word}"`).join(' ')}`, hint)
  return { flags, operands: parsed.positionals, json: json === true, help: help === true }
}

/** `GROUP` is one, `[GROUP …]` any number. */
const mostOperands = ({ operands }: Pick<Verb, 'operands'>): number =>
  operands === undefined ? 0 : operands.includes('…') ? Infinity : operands.split(' ').length
