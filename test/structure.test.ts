/** One room, one job: which room may import which, and no circle of files. The living table is docs/architecture.md. */
import { readFileSync, globSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

const root = resolve(import.meta.dirname, '..')

/** The rooms that a room may import, besides itself. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  core: [],
  lab: [],
  tools: ['core'],
  proxmox: ['core'],
  settings: ['core', 'proxmox'],
  images: ['core', 'proxmox', 'settings'],
  releases: ['core', 'proxmox', 'settings', 'images'],
  clients: ['core', 'proxmox', 'settings', 'images', 'releases'],
  packer: ['core', 'proxmox', 'settings', 'images'],
  stacks: ['core', 'proxmox', 'settings', 'images', 'releases'],
  rollout: ['core', 'proxmox', 'settings', 'images', 'releases'],
  verify: ['core', 'proxmox', 'settings', 'images', 'releases', 'packer', 'rollout'],
  nightly: ['core', 'settings'],
  docs: ['core', 'settings', 'releases'],
  doctor: ['core', 'tools', 'proxmox', 'settings', 'images', 'releases', 'clients', 'rollout'],
  scripts: [
    'core',
    'proxmox',
    'tools',
    'settings',
    'images',
    'releases',
    'packer',
    'stacks',
    'rollout',
    'verify',
    'nightly',
    'clients',
    'doctor',
  ],
  demo: [
    'core',
    'proxmox',
    'tools',
    'settings',
    'images',
    'releases',
    'packer',
    'stacks',
    'rollout',
    'verify',
    'nightly',
    'clients',
    'doctor',
    'scripts',
    'lab',
  ],
}

interface Import {
  readonly file: string
  readonly target: string
  /** Types are gone before anything runs, so they make no circle. */
  readonly typesOnly: boolean
}

/** What a source imports of this project, by paths from the project's folder. */
function importsOf(file: string, source: string): Import[] {
  const found = source.matchAll(
    /(?:^|\n)(?:import|export)(\s+type)?\b[^'"\n]*?from\s+'(\.[^']+)'|\bimport\(\s*'(\.[^']+)'\s*\)|(?:^|\n)import\s+'(\.[^']+)'/g,
  )
  return [...found].map(([, types, one, two, three]) => ({
    file,
    target: relative(root, resolve(root, dirname(file), one ?? two ?? three ?? '')),
    typesOnly: types !== undefined,
  }))
}

const roomOf = (path: string): string => (path.includes('/') ? path.slice(0, path.indexOf('/')) : '')

/** Imports that go where their room may not. */
function wrongArrows(imports: readonly Import[]): string[] {
  return imports
    .filter(({ file, target }) => {
      const [from, to] = [roomOf(file), roomOf(target)]
      if (from === to || from === '' || to === '') return false
      return !(allowed[from] ?? []).includes(to)
    })
    .map(({ file, target }) => `${file} → ${target}`)
}

/** Files that import each other, by whatever way: each circle once. */
function circles(imports: readonly Import[]): string[] {
  const next = new Map<string, string[]>()
  for (const { file, target, typesOnly } of imports) if (!typesOnly) next.set(file, [...(next.get(file) ?? []), target])
  const state = new Map<string, 'open' | 'done'>()
  const found: string[] = []
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === 'done') return
    if (state.get(file) === 'open') {
      found.push([...path.slice(path.indexOf(file)), file].join(' → '))
      return
    }
    state.set(file, 'open')
    for (const target of next.get(file) ?? []) visit(target, [...path, file])
    state.set(file, 'done')
  }
  for (const file of next.keys()) visit(file, [])
  return found
}

/**
 * What asks Proxmox by a path of its API instead of by proxmox/'s typed calls. By text: a verb of the client with the type of
 * its answer, on what is named like one, or handed on; `post`, `put` and `del` whoever has them; and the paths themselves.
 */
function rawCalls(file: string, source: string): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\/|(?<![:'"`\w])\/\/.*$/gm, (comment) => comment.replace(/[^\n]/g, ' '))
  const signs = [
    /\.\s*(?:post|put|del)\s*(?:<[^()]*>)?\(/g,
    /\.\s*get\s*<(?!\()[^;]*?>\s*\(/g,
    /\b(?:proxmox|admin|administrator|api|pve)\??\.\s*(?:get|post|put|del)\b/gi,
    /\{[^{}]*\b(?:get|post|put|del)\b[^{}]*\}\s*=\s*[\w.]*(?:proxmox|admin)/gi,
    /\[\s*['"`](?:get|post|put|del)['"`]\s*\]/g,
    /['"`]\/(?:nodes|cluster|access|pools|storage|version)(?:\/(?:\$\{|\w)|['"`])/g,
  ]
  const lines = signs.flatMap((sign) => [...code.matchAll(sign)].map(({ index }) => code.slice(0, index).split('\n').length))
  return [...new Set(lines)].sort((a, b) => a - b).map((line) => `${file}:${line}`)
}

/** Where they may be: the calls themselves, and the lab, which is the other end. */
const mayBeRaw = (file: string): boolean => ['proxmox', 'lab'].includes(roomOf(file))

const files = globSync('{*.ts,{' + Object.keys(allowed).join(',') + '}/**/*.ts}', {
  cwd: root,
  exclude: ['stacks/bindings/**', '**/node_modules/**'],
})
const sources = files.map((file) => [file, readFileSync(join(root, file), 'utf8')] as const)
const imports = sources.flatMap(([file, source]) => importsOf(file, source))

it('every room is in the table, and there are no others', () => {
  const rooms = new Set(
    globSync('*/**/*.ts', {
      cwd: root,
      exclude: ['node_modules/**', 'test/**', 'bench/**', 'site/**', 'cdktf.out/**', 'stacks/bindings/**', '**/node_modules/**'],
    }).map(roomOf),
  )
  expect([...rooms].sort()).toEqual(Object.keys(allowed).sort())
  expect(imports.length).toBeGreaterThan(500)
})

it('arrows between rooms point one way', () => {
  expect(wrongArrows(imports)).toEqual([])
})

it('no file imports itself by way of others', () => {
  expect(circles(imports)).toEqual([])
})

it('only proxmox/ knows the paths of its API', () => {
  expect(sources.flatMap(([file, source]) => (mayBeRaw(file) ? [] : rawCalls(file, source)))).toEqual([])
})

it("only proxmox/conditions.ts knows Proxmox's sentences", () => {
  const told =
    /\/[^/\n]*(?:does not exist|is locked|Permission check failed|protection mode|qemu-server|lock file|VM is running)[^/\n]*\/[a-z]*\.(?:test|exec)\(/
  expect(sources.flatMap(([file, source]) => (roomOf(file) !== 'lab' && told.test(source) ? [file] : []))).toEqual([
    'proxmox/conditions.ts',
  ])
})

describe('this test itself', () => {
  const planted = importsOf('images/a.ts', `import { b } from '../releases/b.ts'\nimport type { C } from './c.ts'\n`)
  it('finds an arrow that points back', () => {
    expect(wrongArrows(planted)).toEqual(['images/a.ts → releases/b.ts'])
    expect(wrongArrows(importsOf('scripts/bake.ts', `const { x } = await import('../lab/index.ts')`))).toHaveLength(1)
  })

  it('finds a circle, and takes types for none', () => {
    const back = importsOf('releases/b.ts', `export { a } from '../images/a.ts'`)
    expect(circles([...planted, ...back])).toEqual(['images/a.ts → releases/b.ts → images/a.ts'])
    expect(circles([...planted, ...importsOf('images/c.ts', `import './a.ts'`)])).toEqual([])
  })

  it.each([
    'await proxmox.get(`/nodes/${node}/qemu/${vmid}/config`)',
    'await proxmox.get<{ status: string }[]>(path)',
    'await guest.proxmox.post<string>(path, {\n  timeout: 1,\n})',
    'await root.put(where, form)',
    'proxmox\n  .post<string>(vm, {})',
    'await administrator.del(path)',
    'const { get } = options.proxmox',
    "await client['get'](path)",
    "const path = '/cluster/resources'",
    "const path = '/version'",
    'const read = proxmox.get',
  ])('finds a raw call: %s', (code) => {
    expect(rawCalls('rollout/a.ts', `/** As it is. */\nexport const a = async () => {\n  ${code}\n}\n`)).toContainEqual(
      expect.stringMatching(/^rollout\/a\.ts:[34]$/),
    )
  })

  it.each([
    'names.get(key)',
    'new Map<string, string>().get(key)',
    'names.delete(name)',
    'await vmAt(proxmox, node, vmid).config()',
    'await proxmox.task(upid)',
    "await readFile('/etc/hosts')",
    '// proxmox.get(path)',
  ])('takes none for one: %s', (code) => {
    expect(rawCalls('rollout/a.ts', code)).toEqual([])
  })
})
