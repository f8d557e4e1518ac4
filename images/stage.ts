/**
 * Everything of this project that goes into the guest's file system, as one archive: the files of images/rootfs, the
 * guest's programs without their types, the dashboards, and the language servers with their Node.
 */
import { readFile, readdir, stat } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { join, relative, sep } from 'node:path'
import { dashboards } from './dashboards/dashboards.ts'
import { stageLanguageServers } from './language-servers/stage.ts'
import { writeTar, type TarEntry } from '../core/formats/tar.ts'

const here = import.meta.dirname
const programs = 'usr/local/lib/golden'

export interface StagedRootfs {
  /** `golden-rootfs.tar.gz` in the target folder; to be unpacked at `/` after the packages are installed. */
  readonly file: string
  /** Of the archive before compression: the same inputs, the same value. */
  readonly sha256: string
}

/** What the guest's programs import from outside of their folder, and what it is called beside them. */
const shared: Readonly<Record<string, string>> = { '../contract/seed.ts': 'seed-files.js', '../../settings/containers.ts': 'containers.js' }

/** A file is a program by where it is; sudo insists on the mode of its own files. */
function modeOf(path: string): number {
  if (/(^|\/)(s?bin|git-hooks)\/[^/]+$/.test(path)) return 0o755
  return path.startsWith('etc/sudoers.d/') ? 0o440 : 0o644
}

/**
 * JavaScript of one of the guest's programs: types blanked out, `./x.ts` imported as `./x.js`; lines and columns stay.
 * What the guest shares with the rest of the project becomes a module next to it.
 */
export function compile(source: string): string {
  const local = Object.entries(shared).reduce(
    (text, [path, name]) => text.replaceAll(`from '${path}'`, `from './${name}'`),
    stripTypeScriptTypes(source),
  )
  return local.replaceAll(/(\bfrom\s+'\.\/[^']+)\.ts'/g, "$1.js'")
}

async function filesOf(folder: string): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true })
  return found.filter((entry) => entry.isFile()).map((entry) => relative(folder, join(entry.parentPath, entry.name)))
}

/** Files that an editor or a file manager puts next to others: nothing of the image's own begins with a dot. */
export const isStray = (name: string): boolean => /^\.|^#.*#$|~$|\.(swp|swo|bak|orig|rej)$|^Thumbs\.db$/.test(name)

/** The guest's own files without the language servers: a few, quickly read. */
export async function guestFiles(): Promise<TarEntry[]> {
  const entries: TarEntry[] = []
  const rootfs = join(here, 'rootfs')
  for (const path of await filesOf(rootfs)) {
    if (path.split(sep).some(isStray)) continue
    entries.push({ path, mode: modeOf(path), content: await readFile(join(rootfs, path)) })
  }
  const add = (path: string, text: string): void => void entries.push({ path, mode: 0o644, content: Buffer.from(text) })
  for (const name of await readdir(join(here, 'guest'))) {
    if (name.endsWith('.ts') && !isStray(name))
      add(`${programs}/${name.replace(/\.ts$/, '.js')}`, compile(await readFile(join(here, 'guest', name), 'utf8')))
  }
  for (const [path, name] of Object.entries(shared)) add(`${programs}/${name}`, compile(await readFile(join(here, 'guest', path), 'utf8')))
  add('opt/golden/nginx/keeper.js', compile(await readFile(join(here, 'nginx', 'keeper.ts'), 'utf8')))
  add(`${programs}/package.json`, '{ "type": "module" }\n')
  for (const [name, dashboard] of Object.entries(dashboards()))
    add(`opt/golden/grafana/dashboards/${name}.json`, JSON.stringify(dashboard, null, 2) + '\n')
  return entries
}

/**
 * @param options.targetDir an existing folder
 * @param options.cacheDir where fetched packages are kept, e.g. `~/.cache/serena-golden`
 * @param options.extra further files, e.g. the image's record
 */
export async function stageRootfs(options: {
  targetDir: string
  cacheDir: string
  extra?: readonly TarEntry[]
  progress?: (line: string) => void
}): Promise<StagedRootfs> {
  const { dir } = await stageLanguageServers({ cacheDir: options.cacheDir, ...(options.progress ? { progress: options.progress } : {}) })
  const servers: TarEntry[] = []
  for (const path of await filesOf(dir)) {
    const file = join(dir, path)
    servers.push({ path: `opt/golden/${path}`, mode: modeOf(path), content: { file, size: (await stat(file)).size } })
  }
  const entries = [...(await guestFiles()), ...servers, ...(options.extra ?? [])]
  entries.sort((a, b) => (a.path < b.path ? -1 : 1))
  const file = join(options.targetDir, 'golden-rootfs.tar.gz')
  return { file, sha256: await writeTar(file, entries) }
}
