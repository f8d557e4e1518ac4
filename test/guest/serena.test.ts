/** Real Serena with the configuration that the guest renders and the language servers of the image, without a network. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cacheFolder } from '../../core/folders.ts'
import { ensureSerena, findInterpreter } from '../../demo/serena-program.ts'
import { projectSettings, projectSettingsFile, serenaConfiguration, typescriptHome } from '../../images/guest/serena.ts'
import { stageLanguageServers } from '../../images/language-servers/stage.ts'
import type { Order, Outcome } from './serena-calls.ts'

/** Any will do: Serena tells its agents one by its instructions. */
const session = 'test'

const interpreter = findInterpreter()
const canIsolate = spawnSync('unshare', ['--net', '--mount', 'true']).status === 0

describe.skipIf(!canIsolate || interpreter === undefined)('Serena (needs root for a namespace, and Python 3.11 to 3.14 with venv)', () => {
  let folder = ''
  let serena = ''
  let servers = ''

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'golden-serena-'))
    serena = (await ensureSerena(interpreter ?? '', process.env)).serena
    servers = (await stageLanguageServers({ cacheDir: cacheFolder(process.env) })).dir
  }, 300_000)
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  function use(transport: Order['transport'], shell: boolean, calls: Order['calls']): Outcome & { log: string } {
    const home = mkdtempSync(join(folder, 'home-'))
    const link = join(home, typescriptHome)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(servers, 'language-servers'), link)
    const projects = join(folder, 'projects')
    const settings = { transports: [transport], interface: 'tools' as const, shell, memoryMiB: 1024, projects: [] }
    writeFileSync(
      join(home, 'serena_config.yml'),
      serenaConfiguration(settings, readdirSync(projects), { projects, languageServers: join(servers, 'language-servers') }),
    )
    const order: Order = { serena, home, transport, calls }
    const script = 'ip link set lo up && mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    const node = [process.execPath, join(import.meta.dirname, 'serena-calls.ts'), JSON.stringify(order)]
    const ran = spawnSync('unshare', ['--net', '--mount', 'sh', '-c', script, 'sh', servers, ...node], {
      encoding: 'utf8',
      timeout: 240_000,
    })
    if (ran.status !== 0) throw new Error(ran.stderr.slice(-4000))
    return { ...(JSON.parse(ran.stdout) as Outcome), log: ran.stderr }
  }

  /** As prepare.ts leaves an empty one. */
  function project(name: string): string {
    const path = join(folder, 'projects', name)
    mkdirSync(dirname(join(path, projectSettingsFile)), { recursive: true })
    writeFileSync(join(path, projectSettingsFile), projectSettings(name))
    return path
  }

  it('works on a Python and a TypeScript project with read-only language servers and no network', () => {
    const [python, typescript] = [project('snake'), project('typed')]
    writeFileSync(join(python, 'shop.py'), 'class Basket:\n    def total(self) -> int:\n        return 3\n')
    writeFileSync(join(typescript, 'tsconfig.json'), '{ "compilerOptions": { "strict": true }, "include": ["*.ts"] }\n')
    writeFileSync(join(typescript, 'shop.ts'), 'export class Counter {\n  total(): number {\n    return 3\n  }\n}\n')
    const { tools, results, log } = use('streamable-http', false, [
      { name: 'activate_project', arguments: { project: 'snake', session } },
      { name: 'create_text_file', arguments: { relative_path: 'note.txt', content: 'written by a client\n' } },
      { name: 'read_file', arguments: { relative_path: 'note.txt' } },
      { name: 'find_symbol', arguments: { name_path_pattern: 'Basket', depth: 1 } },
      { name: 'activate_project', arguments: { project: 'typed', session } },
      { name: 'find_symbol', arguments: { name_path_pattern: 'Counter', depth: 1 } },
    ])
    expect(results.filter((result) => result.isError)).toEqual([])
    expect(tools.length).toBeGreaterThan(20)
    expect(tools).not.toContain('execute_shell_command')
    expect(readFileSync(join(python, 'note.txt'), 'utf8')).toBe('written by a client\n')
    expect(results[2]?.text).toContain('written by a client')
    expect(results[3]?.text).toContain('shop.py')
    expect(results[3]?.text).toContain('total')
    expect(results[5]?.text).toContain('shop.ts')
    expect(results[5]?.text).toContain('total')
    // No Python file in the second one: still nobody waits for Pyright to find some, and nobody downloads.
    expect(log).toContain('Found 0 source files')
    expect(log).not.toMatch(/Timeout waiting for Pyright|Installing|npm install/)
  }, 300_000)

  it('offers its shell only to sites that want it, over SSE as well', () => {
    mkdirSync(join(folder, 'projects'), { recursive: true })
    expect(use('sse', true, []).tools).toContain('execute_shell_command')
  }, 300_000)
})
