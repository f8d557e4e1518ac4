/** The fingerprint of a site and its lock is the same on every computer, and another one for anything that goes in. */
import { execFile } from 'node:child_process'
import { chmod, cp, mkdir, mkdtemp, readdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Lock } from '../../images/lock.ts'
import { guestFiles, rootfsOf } from '../../images/stage.ts'
import { languageServersDigest } from '../../images/language-servers/stage.ts'
import { collectInputs } from '../../packer/inputs.ts'
import { exampleSite, hash } from '../images/example.ts'

const project = resolve(import.meta.dirname, '../..')
const image = (letter: string) => ({ image: 'registry.example.org/x', digest: `sha256:${hash(letter)}` })
const lock: Lock = {
  schema: 2,
  packages: {
    archives: [{ url: 'http://deb.example.org/debian', components: ['main'], suites: { trixie: '2026-11-21T09:15:44Z' } }],
    asked: ['git'],
    complete: false,
    versions: { git: '1' },
  },
  services: { serena: image('1'), nginx: image('2') },
}
const site = exampleSite()

/** In this process, of this clone. */
const here = async (change: { site?: typeof site; lock?: Lock } = {}): Promise<string> => {
  const rootfs = rootfsOf(await guestFiles(), { sha256: await languageServersDigest(), find: async () => [] })
  return (await collectInputs(change.site ?? site, change.lock ?? lock, rootfs.sha256)).fingerprint
}

let clone: string
beforeAll(async () => {
  clone = await mkdtemp(join(tmpdir(), 'golden-clone-'))
  for (const room of ['core', 'images', 'packer', 'proxmox', 'settings', 'package.json'])
    await cp(join(project, room), join(clone, room), { recursive: true })
  await symlink(join(project, 'node_modules'), join(clone, 'node_modules'))
})
afterAll(() => rm(clone, { recursive: true, force: true }))

/** In the other clone, on what might be another computer. */
async function there(env: Record<string, string> = {}): Promise<string> {
  const script = `
    process.umask(0o077)
    const at = (path) => import('file://${clone}/' + path)
    const { guestFiles, rootfsOf } = await at('images/stage.ts')
    const { languageServersDigest } = await at('images/language-servers/stage.ts')
    const { collectInputs } = await at('packer/inputs.ts')
    const [site, lock] = JSON.parse(process.argv[1])
    const rootfs = rootfsOf(await guestFiles(), { sha256: await languageServersDigest(), find: async () => [] })
    console.log((await collectInputs(site, lock, rootfs.sha256)).fingerprint)`
  const options = { cwd: '/', env: { PATH: process.env.PATH, HOME: '/nonexistent', ...env } }
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--no-warnings', '--input-type=module', '-e', script, JSON.stringify([site, lock])],
    options,
  )
  return stdout.trim()
}

it('is the same in another clone, by another user, in another language and time, whatever the files look like there', async () => {
  const wanted = await here()
  for (const entry of await readdir(join(clone, 'images'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const file = join(entry.parentPath, entry.name)
    await chmod(file, 0o600)
    await utimes(file, 1, 1)
  }
  // Made anew, in the order in which another file system might list it.
  const guest = join(clone, 'images/guest')
  await mkdir(`${guest}.new`)
  for (const name of (await readdir(guest)).reverse()) await rename(join(guest, name), join(`${guest}.new`, name))
  await rm(guest, { recursive: true })
  await rename(`${guest}.new`, guest)
  await writeFile(join(clone, 'images/rootfs/.DS_Store'), 'a file manager was here')
  expect(await there({ LC_ALL: 'tr_TR.UTF-8', TZ: 'Pacific/Kiritimati' })).toBe(wanted)
})

it('is another one for each thing that goes in: a container, a state of an archive, a file, a base, the size of the disk', async () => {
  const changed = (change: (draft: any) => void): Lock => {
    const draft = structuredClone(lock)
    change(draft)
    return draft
  }
  const base = exampleSite((input) => (input.image.base.sha256 = hash('b')))
  const disk = exampleSite((input) => (input.image.build.diskGiB = 17))
  const all = [
    await here(),
    await here({ lock: changed((draft) => (draft.services.nginx = image('3'))) }),
    await here({ lock: changed((draft) => (draft.packages.archives[0].suites.trixie = '2026-11-22T09:15:44Z')) }),
    await here({ site: base }),
    await here({ site: disk }),
  ]
  await writeFile(join(clone, 'images/rootfs/etc/motd'), 'another file\n')
  all.push(await there())
  expect(new Set(all).size).toBe(all.length)
  // What a bake gives back to the lock is no new input.
  expect(
    await here({ lock: changed((draft) => (draft.packages = { ...draft.packages, complete: true, versions: { git: '1', perl: '5' } })) }),
  ).toBe(all[0])
})
