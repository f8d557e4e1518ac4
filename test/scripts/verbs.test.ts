/** What every verb tells of itself: it has to be there, and to be true. */
import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { verbHelp } from '../../scripts/help.ts'
import { parseWords } from '../../scripts/parse-words.ts'
import { verbs } from '../../verbs.ts'

const all = await Promise.all(Object.entries(verbs).map(async ([name, entry]) => ({ name, ...entry, ...(await entry.load()) })))

/** The words of each command of this project in a line of shell, as a shell takes them. */
function commandsIn(line: string): string[][] {
  const said = [...line.matchAll(/\b(?:npx golden|npm run) ([^|;&>)]+)/g)].map(([, words = '']) => words)
  return said.map((words) =>
    execFileSync('bash', ['-c', `printf '%s\\n' ${words}`], { encoding: 'utf8' })
      .trimEnd()
      .split('\n'),
  )
}

describe.each(all)('$name', ({ name, summary, verb }) => {
  it('has a line of help for every option, and none for others', () => {
    expect(Object.keys(verb.optionHelp ?? {}).sort()).toEqual(Object.keys(verb.options ?? {}).sort())
    for (const line of [summary, ...Object.values(verb.optionHelp ?? {})]) expect(line).toMatch(/^\S.{4,}[^.\s]$/)
  })

  it('says what it changes, as a part of a sentence', () => {
    expect(verb.changes).toMatch(/^(nothing|[a-z].{20,})/)
    expect(verb.changes).not.toMatch(/\.$/)
  })

  it('has examples that it would take, the first of them of itself', () => {
    const commands = verb.examples.map(([line]) => commandsIn(line))
    expect(commands.filter((found) => found.length === 0)).toEqual([])
    for (const [said, ...words] of commands.flat()) {
      expect(said).toBe(name)
      const { operands, flags } = parseWords(name, verb, words)
      const needed = (verb.operands ?? '').split(' ').filter((word) => /^[A-Z]+$/.test(word)).length
      if (verb.operands?.startsWith('[') !== true) expect(operands.length).toBeGreaterThanOrEqual(needed)
      // What completion would have offered there.
      const { operands: offered, options = {} } = verb.completes ?? {}
      if (operands[0] !== undefined && Array.isArray(offered)) expect(offered).toContain(operands[0])
      for (const [option, values] of Object.entries(options))
        if (flags[option] !== undefined && Array.isArray(values)) expect(values).toContain(flags[option])
    }
    const help = verbHelp(name, summary, verb)
    for (const [line, does] of verb.examples) {
      expect(help).toContain(`  ${line}`)
      expect(help).toContain(`# ${does}`)
    }
  })

  it('completes only what it has', () => {
    const { operands, options = {} } = verb.completes ?? {}
    for (const option of Object.keys(options)) expect(verb.options?.[option]).toMatchObject({ type: 'string' })
    if (operands !== undefined) expect(verb.operands).toBeDefined()
  })
})

it('what is no example is found by this', () => {
  expect(commandsIn(`A=b npx golden bake --plan; x | npx golden revoke 9 --reason "two words" > file`)).toEqual([
    ['bake', '--plan'],
    ['revoke', '9', '--reason', 'two words'],
  ])
  expect(() => parseWords('bake', { options: { plan: { type: 'boolean' } } }, ['--plane'])).toThrow(
    expect.objectContaining({ code: 'usage', unknown: { said: '--plane', known: expect.arrayContaining(['--plan', '--json']) } }),
  )
})
