/** Zod without its other languages says what it says with them. */
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { run } from '../../core/child.ts'

const wrong = { a: 'x', b: 1, c: [''], d: { kind: 'other' } }
const script = (lean: boolean): string => `
  import { loadLeanZod } from '${join(import.meta.dirname, '../../core/lean-zod.ts')}'
  if (${lean}) await loadLeanZod()
  const { z } = await import('zod')
  const schema = z.strictObject({
    a: z.int(),
    c: z.array(z.string().min(1)),
    d: z.discriminatedUnion('kind', [z.strictObject({ kind: z.literal('one') })]),
    e: z.url(),
  })
  const { error } = schema.safeParse(${JSON.stringify(wrong)})
  console.log(JSON.stringify({ languages: Object.keys(z.locales).length, issues: error.issues }))
`

it('loads no other language, and says the same', async () => {
  const [lean, whole] = await Promise.all(
    [true, false].map(async (which) => {
      const argv = ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', script(which)]
      const { stdout } = await run(process.execPath, argv, { env: process.env, cwd: join(import.meta.dirname, '../..') })
      return JSON.parse(stdout) as { languages: number; issues: unknown[] }
    }),
  )
  expect(lean?.languages).toBe(0)
  expect(whole?.languages).toBe(Object.keys(z.locales).length)
  expect(whole?.languages).toBeGreaterThan(20)
  expect(lean?.issues).toEqual(whole?.issues)
  expect(lean?.issues).toHaveLength(5)
})
