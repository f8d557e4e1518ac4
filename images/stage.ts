/**
 * Everything of this project that goes into the guest's file system, as one archive: the files of images/rootfs, the
 * guest's programs without their types, the dashboards, and the language servers with their Node.
 */
import { readFile, readdir, stat } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { join, relative, sep } from 'node:path'
import { dashboards } from './dashboards/dashboards.ts'
import { languageServersDigest, stageLanguageServers } from './language-servers/stage.ts'
import { canonical, sha256 } from '../core/canonical.ts'
import { writeTar, type TarEntry } from '../core/formats/tar.ts'

const here = import.meta.dirname
const programs = 'usr/local/lib/golden'

/** A small file, with its content at hand. */
export type SmallFile = TarEntry & { readonly content: Buffer }

export interface Rootfs {
  /** Of all that is in it: the same inputs, the same value. Known before there is an archive, which takes a while. */
  readonly sha256: string
  /** What is in it, by path: mode and SHA-256; without the language servers. */
  readonly files: Readonly<Record<string, string>>
  /** Of those. */
  readonly languageServers?: string
  /**
   * Writes `golden-rootfs.tar.gz`, to be unpacked at `/` after the packages are installed.
   * @param targetDir an existing folder
   * @returns the file
   */
  write(targetDir: string, progress?: (line: string) => void): Promise<string>
}

/** What the guest's programs import from outside of their folder, and what it is called beside them. */
const shared: Readonly<Record<string, string>> = {
  '../contract/files.ts': 'seed-files.js',
  '../../settings/containers.ts': 'containers.js',
  '../../settings/parking.ts': 'parking.js',
}

/** What nginx runs (images/nginx). */
export const nginxScripts = ['keeper', 'gate', 'certificate'] as const

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
export async function guestFiles(): Promise<SmallFile[]> {
  const entries: SmallFile[] = []
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
  for (const name of nginxScripts) add(`opt/golden/nginx/${name}.js`, compile(await readFile(join(here, 'nginx', `${name}.ts`), 'utf8')))
  add(`${programs}/package.json`, '{ "type": "module" }\n')
  for (const [name, dashboard] of Object.entries(dashboards()))
    add(`opt/golden/grafana/dashboards/${name}.json`, JSON.stringify(dashboard, null, 2) + '\n')
  return entries
}

/**
 * An archive of these files and of more that are found when it is written.
 * @param more digest of those further files, and how they are found
 */
export function rootfsOf(
  entries: readonly SmallFile[],
  more?: { readonly sha256: string; find(progress?: (line: string) => void): Promise<readonly TarEntry[]> },
): Rootfs {
  const digests = entries.map(({ path, mode, content }) => [path, mode, sha256(content)] as const)
  return {
    files: Object.fromEntries(digests.map(([path, mode, digest]) => [path, `${mode.toString(8)} ${digest}`])),
    ...(more === undefined ? {} : { languageServers: more.sha256 }),
    sha256: sha256(
      canonical({ files: digests.sort(([a], [b]) => (a < b ? -1 : 1)), ...(more === undefined ? {} : { more: more.sha256 }) }),
    ),
    write: async (targetDir, progress) => {
      const all = [...entries, ...((await more?.find(progress)) ?? [])].sort((a, b) => (a.path < b.path ? -1 : 1))
      const file = join(targetDir, 'golden-rootfs.tar.gz')
      await writeTar(file, all)
      return file
    },
  }
}

/** @param cacheDir where fetched packages are kept, e.g. `~/.cache/serena-golden` */
export async function collectRootfs(cacheDir: string): Promise<Rootfs> {
  return rootfsOf(await guestFiles(), {
    sha256: await languageServersDigest(),
    find: async (progress) => {
      const { dir } = await stageLanguageServers({ cacheDir, ...(progress ? { progress } : {}) })
      const servers: TarEntry[] = []
      for (const path of await filesOf(dir)) {
        const file = join(dir, path)
        servers.push({ path: `opt/golden/${path}`, mode: modeOf(path), content: { file, size: (await stat(file)).size } })
      }
      return servers
    },
  })
}
