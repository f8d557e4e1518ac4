/** No secret of the site in the image, nor in anything that a deployment writes. */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { listImages, type Image } from '../../images/catalog.ts'
import { readLock, references } from '../../images/lock.ts'
import type { Proxmox } from '../../proxmox/client.ts'
import type { Site } from '../../stacks/site.ts'
import { expectEqual, expectThat, type Checks } from './checks.ts'
import { searchFiles, searchFolder, withDisk, type Disk } from './template.ts'

/** The site's own secrets are the canaries: random, so that finding one is no accident. */
async function secretsOf(folder: string): Promise<string[]> {
  const files = ['proxmox-token', 'loki-push-password', 'grafana-admin-password', 'ca.key', 'tls/public.key', 'tls/logging.key']
  const users = await readdir(join(folder, 'secrets/users'))
  const hostKeys = (await readdir(join(folder, 'secrets/ssh'))).filter((name) => !name.endsWith('.pub'))
  const all = [...files, ...users.map((name) => join('users', name)), ...hostKeys.map((name) => join('ssh', name))]
  const texts = await Promise.all(all.map((name) => readFile(join(folder, 'secrets', name), 'utf8')))
  // Of a key the second line is enough, and PEM files of one kind begin alike.
  return texts.map((text) => text.startsWith('-----') ? (text.split('\n').at(-3) ?? '') : text.trim()).filter((text) => text.length >= 16)
}

export async function checkTemplate(checks: Checks, place: { site: Site; folder: string; proxmox: Proxmox; stateDir: string; scratch: string }): Promise<void> {
  const { site, proxmox } = place
  const open = async <T>(work: (disk: Disk, image: Image) => Promise<T>): Promise<T> => {
    const [image] = (await listImages(proxmox, site)).images
    if (image === undefined) throw new Error('there is no image')
    const config = await proxmox.get<Record<string, string>>(`/nodes/${site.proxmox.node}/qemu/${image.vmid}/config`)
    const volume = (config['scsi0'] ?? '').split(',')[0]?.split(':')[1] ?? ''
    return withDisk(join(place.stateDir, 'storage', site.proxmox.storage.disks, 'images', volume), place.scratch, (disk) => work(disk, image))
  }
  await checks.check('the template: no secret, host key, machine id, seed, password or history; all container images by digest', () => open(async (disk, image) => {
    const found = await disk.search([image.record.fingerprint, ...await secretsOf(place.folder)])
    expectThat(found.has(image.record.fingerprint), 'the search does not even find the fingerprint that the bake wrote')
    expectThat(found.size === 1, `${found.size - 1} secrets of the site are on the template's disk`)
    const names = await disk.folder('/etc/ssh')
    expectThat(names.includes('sshd_config'), 'the folder /etc/ssh can\'t even be read')
    expectEqual('SSH host keys', names.filter((name) => name.startsWith('ssh_host_')), [])
    expectEqual('machine id', (await disk.file('/etc/machine-id'))?.trim(), '')
    expectEqual('cloud-init\'s instances', await disk.folder('/var/lib/cloud/instances'), [])
    const hashes = ((await disk.file('/etc/shadow')) ?? '').split('\n').filter((line) => /^[^:]+:\$/.test(line)).map((line) => line.split(':')[0])
    expectEqual('accounts with a password', hashes, [])
    for (const path of ['/root/.bash_history', '/etc/docker/certs.d', '/root/.docker', '/home/bake']) expectThat((await disk.file(path)) === undefined, `${path} is there`)
    const repositories = (await disk.file('/var/lib/docker/image/overlay2/repositories.json')) ?? ''
    for (const wanted of Object.values(references(await readLock(place.folder)))) expectThat(repositories.includes(wanted), `${wanted} is not there`)
  }))
}

/** State, plans and `cdktf.out` are below the site folder; the lab's folder has its log, the tasks and the serial consoles. */
export async function checkSecrets(checks: Checks, place: { folder: string; labLog: string; labFolder: string }): Promise<void> {
  await checks.check('state, plans, pins, logs and consoles hold no secret (the search finds one that is put there)', async () => {
    const secrets = await secretsOf(place.folder)
    const below = (folder: string) => (path: string): boolean => path.startsWith(`${folder}/`)
    const search = async (): Promise<string[]> => [
      ...await searchFolder(place.folder, secrets, below(join(place.folder, 'secrets'))),
      ...await searchFolder(join(place.labFolder, 'serial'), secrets),
      ...await searchFiles([place.labLog, join(place.labFolder, 'tasks.jsonl')], secrets)
    ]
    const canary = join(place.folder, 'state', 'canary')
    await writeFile(canary, `before ${secrets[0]} after`, { mode: 0o600 })
    try {
      expectThat((await search()).some((hit) => hit.startsWith(canary)), 'the search does not even find a secret put there on purpose')
    } finally {
      await rm(canary)
    }
    const hits = await search()
    expectThat(hits.length === 0, hits.join('; '))
  })
}
