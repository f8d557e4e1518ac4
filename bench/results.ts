/** `bench/RESULTS.md`: a part for each bench that writes one, in the place of the one before. */
import { readFile, writeFile } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { run } from '../core/child.ts'

const project = join(import.meta.dirname, '..')
const file = join(import.meta.dirname, 'RESULTS.md')

/** The text with this bench's part in it. Pure. */
export function placed(text: string, name: string, part: string): string {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  const own = `${begin}\n${part}\n${end}`
  return from < 0 || to < from ? `${text.trimEnd()}\n\n${own}\n` : text.slice(0, from) + own + text.slice(to + end.length)
}

/** What was measured, when, and on what. */
export async function machineText(): Promise<string> {
  const { stdout: commit } = await run('git', ['-C', project, 'describe', '--always', '--dirty'], { env: process.env })
  return `Commit ${commit.trim()}, ${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`
}

/** What else this computer has to do: processes that want a processor, over the last minute. */
export function loadText(): string {
  const load = loadavg()[0] ?? 0
  return `load ${load.toFixed(1)}${load > cpus().length ? ', busy with other work' : ''}`
}

export async function writeResults(name: string, part: string): Promise<void> {
  const before = await readFile(file, 'utf8').catch(() => '# Results\n\nWritten by `npm run bench -- NAME`.\n')
  await writeFile(file, placed(before, name, part))
  console.log(`${file} is written`)
}
