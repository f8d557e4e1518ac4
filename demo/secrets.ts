/** No secret of the site in the image, nor in anything that a deployment writes. */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { listImages, type Image } from '../images/catalog.ts'
import { readLock, references } from '../images/lock.ts'
import type { Proxmox } from '../proxmox/client.ts'
import type { Site } from '../settings/site.ts'
import { secretFiles, secretsFolder } from '../settings/secrets/places.ts'
import { expectEqual, expectThat, type Checks } from './checks.ts'
import { askedFile } from './recording.ts'
import { withDisk, type Disk } from './disk.ts'
import { searchFiles, searchFolder } from './search.ts'
import { templateDisk } from './template-disk.ts'

/** The site's own secrets are the canaries: random, so that finding one is no accident. */
async function secretsOf(folder: string): Promise<string[]> {
  const { proxmoxToken, lokiPushPassword, grafanaAdminPassword, caKey, imageKey } = secretFiles
  const [users, keys, tls] = ['users', 'ssh', 'tls'].map((name) => join(secretsFolder, name)) as [string, string, string]
  const all: string[] = [proxmoxToken, lokiPushPassword, grafanaAdminPassword, caKey, imageKey]
  for (const name of await readdir(join(folder, tls))) if (name.endsWith('.key')) all.push(join(tls, name))
  for (const name of await readdir(join(folder, users))) all.push(join(users, name))
  for (const name of await readdir(join(folder, keys))) if (!name.endsWith('.pub')) all.push(join(keys, name))
  const texts = await Promise.all(all.map((name) => readFile(join(folder, name), 'utf8')))
  // Of a key the second line is enough, and PEM files of one kind begin alike.
  return texts.map((text) => (text.startsWith('-----') ? (text.split('\n').at(-3) ?? '') : text.trim())).filter((text) => text.length >= 16)
}

export async function checkTemplate(
  checks: Checks,
  place: { site: Site; folder: string; proxmox: Proxmox; scratch: string; signal: AbortSignal },
): Promise<void> {
  const { site, proxmox } = place
  const open = async <T>(work: (disk: Disk, image: Image) => Promise<T>): Promise<T> => {
    const [image] = (await listImages(proxmox, site)).images
    if (image === undefined) throw new Error('there is no image')
    const path = await templateDisk(proxmox, site.proxmox.node, image.vmid)
    return withDisk(path, place.scratch, (disk) => work(disk, image), place.signal)
  }
  await checks.check('the template: no secret, host key, machine id, seed, password or history; all container images by digest', () =>
    open(async (disk, image) => {
      const secrets = await secretsOf(place.folder)
      const canaries = [randomBytes(12).toString('hex'), randomBytes(12).toString('hex')] as const
      await disk.plant('/canary', `before ${canaries[0]} after`)
      await disk.plant('/etc/canary', Buffer.from(`before ${canaries[1]} after`).toString('base64'))
      const found = await disk.search([image.record.fingerprint, ...canaries, ...secrets])
      for (const planted of [image.record.fingerprint, ...canaries])
        expectThat(found.delete(planted), 'the search does not even find what the bake wrote, or canaries put there on purpose')
      expectThat(found.size === 0, `${found.size} secrets of the site are on the template's disk`)
      const names = await disk.folder('/etc/ssh')
      expectThat(names.includes('sshd_config'), "the folder /etc/ssh can't even be read")
      expectEqual(
        'SSH host keys',
        names.filter((name) => name.startsWith('ssh_host_')),
        [],
      )
      expectEqual('machine id', (await disk.file('/etc/machine-id'))?.trim(), '')
      expectEqual("cloud-init's instances", await disk.folder('/var/lib/cloud/instances'), [])
      const hashes = ((await disk.file('/etc/shadow')) ?? '')
        .split('\n')
        .filter((line) => /^[^:]+:\$/.test(line))
        .map((line) => line.split(':')[0])
      expectEqual('accounts with a password', hashes, [])
      for (const path of ['/root/.bash_history', '/etc/docker/certs.d', '/root/.docker', '/home/bake'])
        expectThat((await disk.file(path)) === undefined, `${path} is there`)
      const repositories = (await disk.file('/var/lib/docker/image/overlay2/repositories.json')) ?? ''
      for (const wanted of Object.values(references(await readLock(place.folder))))
        expectThat(repositories.includes(wanted), `${wanted} is not there`)
    }),
  )
}

/** State, plans and `cdktf.out` are below the site folder; the lab's folder has its log, the tasks and the serial consoles. */
export async function checkSecrets(checks: Checks, place: { folder: string; labLog: string; labFolder: string }): Promise<void> {
  await checks.check('state, plans, pins, logs and consoles hold no secret (each search finds one that is put there)', async () => {
    const secrets = await secretsOf(place.folder)
    const below =
      (folder: string) =>
      (path: string): boolean =>
        path.startsWith(`${folder}/`)
    const serial = join(place.labFolder, 'serial')
    const beside = join(place.labFolder, 'canary')
    const search = async (): Promise<string[]> => [
      ...(await searchFolder(place.folder, secrets, below(join(place.folder, secretsFolder)))),
      ...(await searchFolder(serial, secrets)),
      ...(await searchFiles(
        [place.labLog, ...['tasks.jsonl', askedFile].map((name) => join(place.labFolder, name)), ...(existsSync(beside) ? [beside] : [])],
        secrets,
      )),
    ]
    // One beside the pins, one in the state, one in what was synthesised, one with each kind of log; in turn in each form.
    const canaries = [
      join(place.folder, 'canary'),
      join(place.folder, 'state', 'canary'),
      join(place.folder, 'state', 'cdktf.out', 'canary'),
      join(serial, 'canary'),
      beside,
    ]
    const planted = canaries.map((path, index) => ({ path, secret: secrets[index % secrets.length] ?? '' }))
    try {
      for (const [index, { path, secret }] of planted.entries()) {
        const text = `before ${secret} after`
        await writeFile(path, index % 2 === 0 ? text : Buffer.from(text).toString('base64'), { mode: 0o600 })
      }
      const found = await search()
      for (const { path } of planted)
        expectThat(
          found.some((hit) => hit.startsWith(`${path}:`)),
          `the search does not even find the secret put into ${path} on purpose`,
        )
    } finally {
      for (const path of canaries) await rm(path, { force: true })
    }
    const hits = await search()
    expectThat(hits.length === 0, hits.join('; '))
  })
}
