/** What the tour tells, in its order: why, what one would type, and what of it is real. */
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { lockFile, renderLock, type Lock } from '../images/lock.ts'
import { emptyBase, labSite, type LabEndpoint } from './lab-site.ts'

export interface TourPlace {
  /** Of the site. */
  readonly folder: string
  readonly connection: LabEndpoint & { readonly admin: { readonly username: string; readonly password: string } }
  /** Of the certificate that the lab's API shows. */
  readonly fingerprint: string
  readonly isoPath: string
  /** File of the base image. */
  readonly base: string
}

export interface Chapter {
  readonly title: string
  /** In a sentence or two. */
  readonly why: readonly string[]
  /** What a person does before with an editor. */
  readonly prepare?: () => Promise<void>
  readonly commands: readonly Command[]
}

export interface Command {
  readonly shown: string
  readonly words: readonly string[]
  /** So much of its output is shown. */
  readonly lines: number
}

const typed = (...words: string[]): Command => ({ shown: `npx golden ${words.join(' ')}`, words, lines: words[0] === 'init' ? 6 : 40 })

export function chapters(place: TourPlace): Chapter[] {
  const { folder, connection, fingerprint } = place
  return [
    {
      title: 'A site folder',
      why: [
        'Everything about your installation is in one folder: site.ts, which you write, and what golden makes:',
        'a CA, certificates, passwords, SSH keys and the key that images are signed with. git ignores the secrets.',
      ],
      commands: [typed('init')],
    },
    {
      title: 'site.ts: addresses, storage, names',
      why: [
        'You fill in your network; here the tour does, for its lab. The second init makes certificates for these names, and no others.',
      ],
      prepare: () => writeSite(place),
      commands: [typed('init')],
    },
    {
      title: "The administrator's part, once",
      why: [
        'Roles, a token that may do only what is needed, two pools, a storage for seeds, and the depots: protected VMs that own the data',
        'while nobody uses it. You compare the fingerprint on the host. Afterwards no password of an administrator is needed any more.',
      ],
      commands: [
        {
          shown: `npx golden setup --admin ${connection.admin.username} --fingerprint ${fingerprint.slice(0, 8)}…`,
          words: ['setup', '--admin', connection.admin.username, '--fingerprint', fingerprint],
          lines: 40,
        },
      ],
    },
    {
      title: 'One image for every VM',
      why: [
        '"golden lock" would ask registries and archives now, check signatures, and write what goes in into a file; the tour brings a ready one.',
        'Then the real Packer clones a base, provisions it over SSH and makes a template of it. Nothing in it is secret.',
      ],
      prepare: () => writeFile(lockFile(folder), renderLock(tourLock)),
      commands: [typed('bake')],
    },
    {
      title: 'Does it do all that a slot has to do?',
      why: [
        'Clones of the image boot, serve, hand over and restart, are asked about it, and are gone again. Your site can insist on that.',
      ],
      commands: [typed('verify')],
    },
    {
      title: 'Two VMs',
      why: [
        'What each is to run is pinned in deployment.json; real OpenTofu with the real provider makes the VMs, with their firewalls.',
        'Secrets come on a seed CD; the data disk moves from its depot to the slot.',
      ],
      commands: [typed('deploy')],
    },
    {
      title: 'Your coding client',
      why: [
        'One URL and one password. "--write" would put it into the client\'s own file, "--check" go the whole way in as a client does.',
      ],
      commands: [typed('client', 'claude-code')],
    },
    {
      title: 'A change: nothing that runs is edited',
      why: [
        "Say, Serena's VM is to have more memory. A new one with that setting, of the newest image, stands by, gets the data and the address,",
        'and takes over, while calls of clients wait. First the plan, then the thing itself.',
      ],
      prepare: () => editSite(folder),
      commands: [typed('rollout', '--plan'), typed('rollout')],
    },
    {
      title: 'And back',
      why: ['The slot before is still there, shut down: its image, its settings, its secrets. The data goes back to it in the same way.'],
      commands: [typed('rollback', 'serena')],
    },
    { title: 'What runs now', why: ['Slots, images, addresses, where the passwords are, and the way back.'], commands: [typed('status')] },
  ]
}

/** As one fills in the example; without a pinned certificate, which is setup's. */
async function writeSite({ folder, connection, isoPath, base }: TourPlace): Promise<void> {
  const site = labSite(connection, { name: 'tour', layout: 'two-vms', base: await emptyBase(base), isoPath })
  const text = JSON.stringify({ ...site, rollout: { soakMinutes: 0 } }, null, 2)
  await writeFile(join(folder, 'site.ts'), `import { defineSite } from 'serena-golden'\n\nexport default defineSite(${text})\n`)
}

async function editSite(folder: string): Promise<void> {
  const file = join(folder, 'site.ts')
  // Of the group: what the site says of Serena has lists before its own.
  await writeFile(file, (await readFile(file, 'utf8')).replace(/(?<="serena": \{[^}]*"memoryMiB": )\d+/, '4096'))
}

const image = (name: string): { image: string; digest: string } => ({
  image: name,
  digest: `sha256:${createHash('sha256').update(name).digest('hex')}`,
})

/** Models of guests have whatever they are told to pull. Without Grafana, as in the lab. */
const tourLock: Lock = {
  schema: 2,
  services: {
    serena: image('ghcr.io/oraios/serena'),
    nginx: image('docker.io/library/nginx'),
    otelcol: image('docker.io/otel/opentelemetry-collector-contrib'),
    loki: image('docker.io/grafana/loki'),
  },
}

/** What of it was real. */
export const endLines: readonly string[] = [
  'What was real here                 | What "npm run demo" adds                | What only your Proxmox shows',
  '-----------------------------------+-----------------------------------------+--------------------------------------',
  'every verb, as you would type it   | real VMs: QEMU, Debian, systemd, Docker | its own API, versions, cluster',
  'Packer, OpenTofu, the provider     | packages and containers in the image    | LVM-thin, ZFS, Ceph: disks that move',
  "Proxmox's API: parameters, rights, | Serena, nginx, Loki and their answers   | Ubuntu as base, Grafana",
  '  tasks, disks (a model of it)     | the firewalls, with real packets        | your router, your DNS, your name',
  "the image's own programs in slots  | clients under whose hands slots change  | how fast it is",
  '-----------------------------------+-----------------------------------------+--------------------------------------',
  'Not real here: the guests (models that know files, units, disks and containers by name), the language servers, and the',
  'lock, whose digests nobody has published.',
]
