/** golden-seed.service's program: the seed CD's folder `golden` into memory, and what the units look for from it. */
import type { Filesystem, Node } from '../filesystem.ts'
import { fail, ok, type Program } from '../shell.ts'
import { ROOT, type Vfs } from '../vfs.ts'
import { partsOf, SEED_FOLDER, type ImageRecord, type SlotSeed } from './slot.ts'

const RUN = '/run/golden'

function copyIn(vfs: Vfs, node: Node, path: string): void {
  if (node.kind === 'directory') {
    vfs.mkdir(path, ROOT, { parents: true, mode: 0o700 })
    vfs.chmod(path, 0o700)
    for (const [name, child] of node.entries) copyIn(vfs, child, `${path}/${name}`)
  } else if (node.kind === 'file') {
    vfs.write(path, node.data)
    vfs.chmod(path, 0o600)
  }
}

function put(vfs: Vfs, path: string, text: string, mode = 0o644): void {
  vfs.mkdir(path.slice(0, path.lastIndexOf('/')), ROOT, { parents: true })
  vfs.write(path, text)
  vfs.chmod(path, mode)
}

export const boot: Program = (_args, run) => {
  const { vfs, devices } = run.guest
  vfs.mkdir(RUN, ROOT, { parents: true })
  const cd = devices
    .all()
    .map(({ disk, content }): Filesystem | undefined =>
      disk.media === 'cdrom' && content.kind === 'filesystem' && content.filesystem.label.toLowerCase() === 'cidata'
        ? content.filesystem
        : undefined,
    )
    .find(Boolean)
  if (!cd) return ok('no seed CD: nothing to do\n')
  const golden = cd.root.entries.get('golden')
  if (golden?.kind !== 'directory' || !golden.entries.has('seed.json')) return ok('the CD has no folder golden: nothing to do\n')
  copyIn(vfs, golden, SEED_FOLDER)
  const seed = JSON.parse(vfs.readText(`${SEED_FOLDER}/seed.json`)) as SlotSeed
  if (seed.schema !== 1) return fail(`seed.json has schema ${String(seed.schema)}; this image knows 1`)
  const image = JSON.parse(vfs.readText('/etc/golden/image.json')) as ImageRecord
  const wanted = [
    'nftables.nft',
    'ssh/ssh_host_ed25519_key',
    ...(seed.roles.includes('serena') ? ['tls/public.pem', 'tls/public.key', 'htpasswd/serena'] : []),
    ...(seed.roles.includes('logging') ? ['tls/logging.pem', 'tls/logging.key', 'htpasswd/loki', 'secrets/grafana-admin-password'] : []),
    ...(seed.loki ? ['secrets/loki-push-password', 'tls/site-ca.pem'] : []),
  ]
  const missing = wanted.find((name) => !vfs.exists(`${SEED_FOLDER}/${name}`))
  if (missing !== undefined) return fail(`the seed has no file golden/${missing}, which the roles ${seed.roles.join(', ')} need`)

  const present = partsOf(seed).filter((part) => image.services[part.service] !== undefined)
  const of = (unit: string): string =>
    present
      .filter((part) => part.unit === unit)
      .map((part) => part.name)
      .join(' ')
  const values: Record<string, string> = { GOLDEN_EDGE: of('edge'), GOLDEN_SERENA: of('serena'), GOLDEN_LOGGING: of('logging') }
  for (const [service, reference] of Object.entries(image.services)) values[`${service.toUpperCase()}_IMAGE`] = reference
  put(
    vfs,
    `${RUN}/compose.env`,
    Object.entries(values)
      .map(([name, value]) => `${name}="${value}"\n`)
      .join(''),
    0o600,
  )
  put(vfs, `${RUN}/address.env`, `SERVICE_ADDRESS=${seed.service}\n`)
  for (const role of seed.roles) put(vfs, `${RUN}/role/${role}`, '')
  put(vfs, `${RUN}/nginx/nginx.conf`, '# rendered\n', 0o400)
  put(vfs, `${RUN}/ssh/ssh_host_ed25519_key`, vfs.readText(`${SEED_FOLDER}/ssh/ssh_host_ed25519_key`), 0o600)
  for (const [name, keys] of [
    ['projects', seed.ssh?.projectKeys],
    ['admin', seed.ssh?.adminKeys],
  ] as const)
    put(vfs, `${RUN}/ssh/authorized_keys/${name}`, (keys ?? []).map((key) => `${key.trim()}\n`).join(''))
  return ok(`release ${seed.release}: slot ${seed.slot} of ${seed.group}, ${seed.roles.join(' and ')}\n`)
}
