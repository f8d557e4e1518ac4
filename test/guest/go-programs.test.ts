/** Go's programs in a stream: of real ones what `go version -m` would say, however the stream is cut, and nothing where there is nothing. */
import { execFileSync } from 'node:child_process'
import { createReadStream } from 'node:fs'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { buildInformation } from '../../images/guest/go-programs.ts'
import { goPackages, goProgramsFile } from '../../images/sbom/go.ts'
import { toolEnvironment } from '../../tools/index.ts'

const magic = Buffer.from('\xff Go buildinf:', 'latin1')
/** As the linker writes it (cmd/link, buildinfo). */
function written(version: string, modules: string, flags = 2): Buffer {
  const counted = (text: Buffer): Buffer => {
    const length: number[] = []
    for (let left = text.length; ; left >>= 7) {
      if (left < 0x80) return Buffer.concat([Buffer.from([...length, left]), text])
      length.push((left & 0x7f) | 0x80)
    }
  }
  const named = modules === '' ? Buffer.alloc(0) : Buffer.concat([Buffer.alloc(16, 1), Buffer.from(modules), Buffer.alloc(16, 2)])
  return Buffer.concat([magic, Buffer.from([8, flags]), Buffer.alloc(16), counted(Buffer.from(version)), counted(named)])
}
/** At the next place where a program may have it. */
const placed = (parts: readonly Buffer[]): Buffer =>
  Buffer.concat(parts.map((part) => Buffer.concat([part, Buffer.alloc(-part.length & 15, 7)])))

async function found(chunks: Iterable<Buffer>): Promise<string[]> {
  const all: string[] = []
  // Not all at once: as from a pipe.
  async function* stream(): AsyncGenerator<Buffer> {
    for (const chunk of chunks) yield chunk
  }
  for await (const text of buildInformation(stream())) all.push(text)
  return all
}
function* cut(whole: Buffer, sizes: readonly number[]): Generator<Buffer> {
  for (let at = 0, turn = 0; at < whole.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    yield whole.subarray(at, at + size)
    at += size
  }
}

it('are found wherever they are, and however the stream is cut', async () => {
  const program = fc.record({
    version: fc.constantFrom('go1.26.8', 'go1.18', 'devel go1.27-abc'),
    modules: fc.constantFrom('', 'path\ta\n', `path\ta\nmod\ta\tv1.0.0\t\n${'dep\tb\tv1.2.3\th1:c=\n'.repeat(300)}`),
  })
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 70 }).map((bytes) => Buffer.from(bytes)),
    fc.constantFrom(magic, magic.subarray(0, 9), Buffer.concat([magic, magic])),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(noise, program), { maxLength: 4 }),
      noise,
      fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 5 }),
      async (programs, end, sizes) => {
        const whole = placed([...programs.flatMap(([before, { version, modules }]) => [before, written(version, modules)]), end])
        expect(await found(cut(whole, sizes))).toEqual(programs.map(([, { version, modules }]) => `${version}\n${modules}\n`))
      },
    ),
    { numRuns: 200 },
  )
})

it('are found behind one that does not go on, at the end of the stream', async () => {
  const cut = Buffer.concat([magic, Buffer.from([8, 2]), Buffer.alloc(16), Buffer.from([0x80, 0x01]), Buffer.alloc(14)])
  expect(await found([placed([cut, written('go1.26.8', 'path\ta\n')])])).toEqual(['go1.26.8\npath\ta\n\n'])
})

it.each([
  ['from before Go 1.18, where it is elsewhere', placed([written('go1.17', 'path\ta\n', 0)])],
  ['at a place where no program has it', Buffer.concat([Buffer.alloc(5), written('go1.26.8', 'path\ta\n')])],
  ['of another language', placed([written('rust 1.90', 'path\ta\n')])],
  ['that says it is longer than any', Buffer.concat([magic, Buffer.from([8, 2]), Buffer.alloc(16), Buffer.alloc(12, 0xff)])],
  ['that ends in the middle', written('go1.26.8', 'path\ta\n').subarray(0, 60)],
])('are not one %s', async (_, bytes) => expect(await found([bytes])).toEqual([]))

it('are found in a real program as Go wrote them', async () => {
  const env = await toolEnvironment()
  const tofu = execFileSync('sh', ['-c', 'command -v tofu'], { env: { ...process.env, ...env }, encoding: 'utf8' }).trim()
  const all: string[] = []
  for await (const text of buildInformation(createReadStream(tofu))) all.push(text)
  expect(all).toHaveLength(1)
  const lines = all[0]?.split('\n') ?? []
  const packages = goPackages(new Map([[goProgramsFile, all.join('\n')]]))
  expect(packages.filter(({ name }) => name === 'stdlib')).toHaveLength(1)
  expect(packages.every(({ name, version }) => !/\s/.test(`${name}${version}`) && version !== '')).toBe(true)
  expect(packages).toHaveLength(1 + lines.filter((line) => /^(mod|dep)\t/.test(line)).length)
  expect(lines.some((line) => line.startsWith('=>'))).toBe(true)
  expect(lines[0]).toMatch(/^go1\.\d+/)
  expect(lines).toContain('path\tgithub.com/opentofu/opentofu/cmd/tofu')
  expect(lines.filter((line) => /^dep\t\S+\tv\S+(\t\S+)?$/.test(line)).length).toBeGreaterThan(100)
})
