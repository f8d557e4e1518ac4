/** A disk as the bake leaves it, made without a bake: the modelled Debian with what packages.sh installs and the image's own files. */
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { ImageRecord } from '../../images/contract/record.ts'
import { imageRecordFile, node, programsFolder } from '../../images/guest/places.ts'
import { debianRoot, enableUnit } from '../../lab/compute/fake/debian.ts'
import { Filesystem, fileNode, storeTree } from '../../lab/compute/fake/filesystem.ts'
import { ROOT, Vfs } from '../../lab/compute/fake/vfs.ts'
import type { StoredContent } from '../../lab/compute/fake/volumes.ts'
import { testLock } from '../set-up.ts'
import { references } from '../../images/lock.ts'

const rootfs = join(import.meta.dirname, '../../images/rootfs')
const packages = ['qemu-guest-agent', 'nftables', 'iputils-arping', 'docker.io', 'docker-compose', 'git']

/** @param fingerprint what the image says that it is @param change what else is on its disk */
export async function slotImage(fingerprint: string, change: (root: Filesystem) => void = () => {}): Promise<StoredContent> {
  const root = new Filesystem('ext4', { root: debianRoot(packages), label: 'root' })
  const vfs = new Vfs(root, '/dev/sda')
  for (const entry of await readdir(rootfs, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile()) root.put(relative(rootfs, path), fileNode(await readFile(path), /\/s?bin\//.test(path) ? 0o755 : 0o644))
  }
  // udev is late, as on a busy host: what activates a disk is slotctl.
  const rules = '/etc/udev/rules.d/90-golden-data.rules'
  vfs.write(rules, vfs.readText(rules).replaceAll(/, *ENV\{SYSTEMD_WANTS\}\+?="[^"]*"/g, ''))
  // Who runs the lab brings the programs; a file has to be there.
  for (const name of ['boot', 'prepare', 'clone', 'restore-point', 'slotctl', 'unit', 'watch', 'auth'])
    root.put(`${programsFolder}/${name}.js`, fileNode(''))
  root.put(node, fileNode('', 0o755))
  // What its containers mount besides.
  for (const path of ['nginx/keeper.js', 'grafana/dashboards.json', 'language-servers/bin/pyright-langserver'])
    root.put(`opt/golden/${path}`, fileNode(''))
  const services = references(testLock)
  const record: ImageRecord = { schema: 1, fingerprint, built: '2026-11-23T12:00:00.000Z', services }
  root.put(imageRecordFile, fileNode(JSON.stringify(record)))
  const images = Object.entries(services).map(([name, reference]) => {
    const [repository = '', digest = ''] = reference.split('@')
    return { id: `sha256:${name}`, repository, digest, tags: [] }
  })
  root.put('/var/lib/docker/fake-store.json', fileNode(JSON.stringify({ images, containers: [] }), 0o600))
  for (const [, unit = ''] of vfs.readText('/usr/lib/systemd/system-preset/10-golden.preset').matchAll(/^enable (\S+)$/gm))
    enableUnit(vfs, unit)
  for (const [, name = '', id = ''] of vfs.readText('/usr/lib/sysusers.d/golden.conf').matchAll(/^u!? (\S+) (\d+)/gm)) {
    vfs.write('/etc/passwd', `${name}:x:${id}:${id}::/:/usr/sbin/nologin\n`, ROOT, { append: true })
    vfs.write('/etc/group', `${name}:x:${id}:\n`, ROOT, { append: true })
  }
  change(root)
  const blobs = new Map<string, Buffer>()
  const tree = storeTree(root.root, { save: (sha256, data) => void blobs.set(sha256, data), load: () => Buffer.alloc(0) })
  if (tree === undefined || blobs.size > 0) throw new Error(`a disk of small files holds large ones: ${blobs.size}`)
  return { kind: 'filesystem', type: 'ext4', uuid: root.uuid, label: root.label, tree }
}
