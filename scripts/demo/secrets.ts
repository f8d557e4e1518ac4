/** No secret of the site in the image, nor in anything that a deployment writes. */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { listImages } from '../../images/catalog.ts'
import type { Proxmox } from '../../proxmox/client.ts'
import type { Site } from '../../stacks/site.ts'
import { expectThat, type Checks } from './checks.ts'
import { searchDisk, searchFiles, searchFolder } from './template.ts'

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
  await checks.check('the template\'s disk holds no secret of the site (the search finds what the bake did put there)', async (note) => {
    const [image] = (await listImages(place.proxmox, place.site)).images
    if (image === undefined) throw new Error('there is no image')
    const config = await place.proxmox.get<Record<string, string>>(`/nodes/${place.site.proxmox.node}/qemu/${image.vmid}/config`)
    const volume = (config['scsi0'] ?? '').split(',')[0]?.split(':')[1] ?? ''
    note(volume)
    const secrets = await secretsOf(place.folder)
    const found = await searchDisk(join(place.stateDir, 'storage', place.site.proxmox.storage.disks, 'images', volume), [image.record.fingerprint, ...secrets], place.scratch)
    expectThat(found.has(image.record.fingerprint), 'the search does not even find the fingerprint that the bake wrote')
    expectThat(found.size === 1, `${found.size - 1} secrets of the site are on the template's disk`)
  })
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
