/** What the guest renders, read by the programs that it is for: nginx, Compose, Promtail, Loki, nft, systemd, sshd. */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { seedFiles } from '../../images/contract/files.ts'
import { otelcolArguments } from '../../images/guest/otelcol.ts'
import { owner, presentContainers, projectsOnDisk, type ServiceName } from '../../images/guest/places.ts'
import { renderFiles } from '../../images/guest/render.ts'
import { inRoot, rootPath, type Bind, type Root } from '../../lab/debian/root.ts'
import { ensureTools } from '../../tools/index.ts'
import { selfSigned } from './certificate.ts'
import { keeperBind } from './keeper-files.ts'
import { contents, image, imageWithoutGrafana, seeds } from './seed.ts'

const rootfs = join(import.meta.dirname, '..', '..', 'images', 'rootfs')
const rootFolder = await rootPath()
const root: Root = { folder: rootFolder }
const noRoot = process.getuid?.() !== 0 || !existsSync(rootFolder)
const users: Partial<Record<ServiceName, number>> = { nginx: owner.nginx, serena: owner.serena, loki: owner.loki, grafana: owner.grafana }
const isolated = ['unshare', '--net', '--']

const variants = Object.entries({ ...seeds, elsewhere: { ...seeds.both, containers: '10.200.0.0/22' } }).flatMap(([name, seed]) => [
  { name, seed, image },
  { name: `${name}, no Grafana`, seed, image: imageWithoutGrafana },
])

let folder = ''
let certificate = { pem: '', key: '' }

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'golden-guest-'))
  if (noRoot) return
  await inRoot(root, ['openssl', ...selfSigned('/made', 'serena.example.org')], { binds: [{ from: folder, to: '/made', writable: true }] })
  certificate = { pem: readFileSync(join(folder, 'pem'), 'utf8'), key: readFileSync(join(folder, 'key'), 'utf8') }
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Everything of a variant as it will lie under /run/golden, in a folder of its own. */
function lay(variant: (typeof variants)[number], files = contents(certificate.pem, certificate.key)): string {
  const place = mkdtempSync(join(folder, 'run-'))
  chmodSync(place, 0o755)
  for (const file of renderFiles(variant.seed, variant.image, files)) {
    const path = join(place, file.path)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, file.content, { mode: 0o600 })
    if (process.getuid?.() === 0) {
      chownSync(path, file.owner ?? 0, file.owner ?? 0)
      chmodSync(path, file.mode ?? 0o644)
    }
  }
  return join(place, 'run', 'golden')
}

describe.skipIf(noRoot)("in the lab's Debian root (needs root and that root in the cache)", () => {
  it.each(variants)('nginx accepts its configuration: $name', async (variant) => {
    const place = lay(variant)
    const binds: Bind[] = [{ from: join(place, 'nginx'), to: '/etc/golden/nginx' }, keeperBind(join(place, 'keeper'))]
    // Its log is a pipe, as Docker gives it one; Node's own "pipes" are sockets, which can't be opened by name.
    const { stdout } = await inRoot(root, ['sh', '-c', 'nginx -t -e stderr -c /etc/golden/nginx/nginx.conf 2>&1 | cat'], {
      binds,
      enter: isolated,
    })
    expect(stdout).toContain('test is successful')
    expect(stdout).not.toContain('[warn]')
  })

  it.each(variants.slice(0, 6))(
    'nginx accepts that of a seed of before there was a key of the slots: $name',
    async ({ seed, image: record }) => {
      const { [seedFiles.peerCertificate]: _certificate, [seedFiles.peerKey]: _key, ...before } = contents(certificate.pem, certificate.key)
      const place = lay({ name: 'before', seed, image: record }, before)
      expect(existsSync(join(place, 'nginx/tls/peer.pem'))).toBe(false)
      const { stdout } = await inRoot(root, ['sh', '-c', 'nginx -t -e stderr -c /etc/golden/nginx/nginx.conf 2>&1 | cat'], {
        binds: [{ from: join(place, 'nginx'), to: '/etc/golden/nginx' }, keeperBind(join(place, 'keeper'))],
        enter: isolated,
      })
      expect(stdout).toContain('test is successful')
    },
  )

  it('nginx as the bake tries it: with njs and the session keeper, by a user without rights', async () => {
    const folder = join(lay(variants[0]!), 'keeper')
    const binds: Bind[] = [keeperBind(folder)]
    copyFileSync(join(rootfs, 'opt/golden/nginx/trial.conf'), join(folder, 'trial.conf'))
    const program = ['setpriv', '--reuid=9904', '--regid=9904', '--clear-groups', 'nginx', '-e', 'stderr', '-t']
    const { stderr } = await inRoot(root, [...program, '-c', '/opt/golden/nginx/trial.conf'], { binds, enter: isolated })
    expect(stderr).toContain('test is successful')
  })

  it.each(variants)('Compose accepts its file and starts what the image has: $name', async (variant) => {
    const run = lay(variant)
    const binds: Bind[] = [
      { from: run, to: '/run/golden' },
      { from: join(rootfs, 'opt/golden/compose'), to: '/opt/golden/compose' },
    ]
    const asked = [
      '/usr/libexec/docker/cli-plugins/docker-compose',
      '--env-file',
      '/run/golden/compose.env',
      '-f',
      '/opt/golden/compose/compose.yaml',
      'config',
      '--format',
      'json',
    ]
    const { stdout } = await inRoot(root, asked, { binds })
    const { services } = JSON.parse(stdout) as { services: Record<string, Record<string, unknown>> }
    for (const container of presentContainers(variant.seed, variant.image)) {
      const service = services[container.name]
      expect(service).toMatchObject({
        container_name: container.name,
        image: variant.image.services[container.service],
        pull_policy: 'never',
        read_only: true,
        init: true,
        cap_drop: ['ALL'],
        ...(users[container.service] === undefined ? {} : { user: `${users[container.service]}:${users[container.service]}` }),
        security_opt: ['no-new-privileges:true'],
      })
      expect(service?.ports).toBeUndefined()
      expect(service?.mem_limit).toBeDefined()
      expect(service?.pids_limit).toBeDefined()
      const address = /(?:172\.30|10\.200)\.0\.\d+/.exec(container.probe)?.[0]
      if (address !== undefined) expect(JSON.stringify(service?.networks)).toContain(`"${address}"`)
    }
  })

  it('mounts and jail go by the numbers that the users have', () => {
    const text = (path: string): string => readFileSync(join(rootfs, path), 'utf8')
    const unit = (name: string): string => text(`usr/lib/systemd/system/${name}.mount`)
    expect(unit('run-golden-workspaces')).toContain(`X-mount.idmap=${projectsOnDisk}:${owner.serena}:1\n`)
    expect(unit('opt-golden-jail-srv-golden-projects')).toContain(`X-mount.idmap=${projectsOnDisk}:${owner.projects}:1\n`)
    expect(text('opt/golden/jail/etc/passwd')).toContain(`projects:x:${owner.projects}:${owner.projects}:`)
    expect(text('opt/golden/jail/etc/group')).toContain(`projects:x:${owner.projects}:`)
  })

  it('sshd accepts its drop-in', async () => {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, 'host')])
    const binds: Bind[] = [
      { from: join(rootfs, 'etc/ssh/sshd_config.d/10-golden.conf'), to: '/etc/ssh/sshd_config.d/10-golden.conf' },
      { from: join(folder, 'host'), to: '/run/golden/ssh/ssh_host_ed25519_key' },
    ]
    const shown = await inRoot(root, ['sh', '-c', 'mkdir -p /run/sshd && /usr/sbin/sshd -T -C user=projects,host=h,addr=10.0.0.9'], {
      binds,
    })
    const settings = shown.stdout.split('\n')
    for (const line of [
      'permitrootlogin no',
      'passwordauthentication no',
      'kbdinteractiveauthentication no',
      'allowtcpforwarding no',
      'permittty no',
      'forcecommand /usr/local/bin/golden-projects-shell',
      'chrootdirectory /opt/golden/jail',
      'hostkey /run/golden/ssh/ssh_host_ed25519_key',
      'authorizedkeysfile /run/golden/ssh/authorized_keys/%u',
    ]) {
      expect(settings).toContain(line)
    }
    expect(settings.filter((line) => line.startsWith('hostkey '))).toHaveLength(1)
    expect(settings.filter((line) => line.startsWith('allowusers '))).toEqual(['allowusers projects', 'allowusers admin'])
  })

  it('systemd finds nothing wrong with the units', async () => {
    const units = join(rootfs, 'usr/lib/systemd/system')
    const names = readdirSync(units).filter((name) => name.startsWith('golden-') || name.endsWith('.mount'))
    const place = mkdtempSync(join(folder, 'units-'))
    cpSync(units, place, { recursive: true })
    const binds: Bind[] = [
      { from: place, to: '/etc/systemd/system.attached' },
      ...['usr/local/sbin/golden-compose', 'usr/local/sbin/golden-firewall', 'usr/local/sbin/golden-release-address'].map((path) => ({
        from: join(rootfs, path),
        to: `/${path}`,
      })),
      { from: '/bin/true', to: '/opt/golden/node/bin/node' },
      ...['serena', 'logging'].map((name) => ({ from: join(rootfs, 'etc/docker/daemon.json'), to: `/run/golden/role/${name}` })),
    ]
    const checked = await inRoot(
      root,
      [
        'sh',
        '-c',
        'cp -r /etc/systemd/system.attached/. /etc/systemd/system/ && exec systemd-analyze verify --man=no --recursive-errors=one "$@"',
        'sh',
        ...names.map((name) => `/etc/systemd/system/${name}`),
      ],
      { binds, accept: [0, 1] },
    )
    expect(checked.stderr.split('\n').filter((line) => /golden|srv-/.test(line))).toEqual([])
    expect(checked.code).toBe(0)
  })

  // cloud-init takes a mount of the CD that it finds (its util.mount_cb), and we take ours away while it reads.
  it('the seed CD is mounted where cloud-init does not see it', () => {
    expect(readFileSync(join(rootfs, 'usr/lib/systemd/system/golden-seed.service'), 'utf8')).toMatch(/^PrivateMounts=yes$/m)
  })

  it('systemd makes the users and folders', async () => {
    const binds: Bind[] = ['usr/lib/sysusers.d/golden.conf', 'usr/lib/tmpfiles.d/golden.conf'].map((path) => ({
      from: join(rootfs, path),
      to: `/${path}`,
    }))
    // A base has a user of its own, who has the first number of all.
    const script =
      'useradd --uid 1000 ubuntu && systemd-sysusers golden.conf && systemd-tmpfiles --create golden.conf && id projects && id admin && id serena && id golden-nginx && stat -c "%n %a %U" /srv/golden'
    const made = await inRoot(root, ['sh', '-c', script], { binds })
    for (const [name, number] of Object.entries({ projects: owner.projects, serena: owner.serena, 'golden-nginx': owner.nginx }))
      expect(made.stdout).toContain(`uid=${number}(${name}) gid=${number}(${name}) groups=${number}(${name})\n`)
    expect(made.stdout).toMatch(/uid=9902\(admin\) .*\(sudo\)/)
    expect(made.stdout).toContain('/srv/golden 700 root')
  })

  it('dockerd accepts its settings', async () => {
    const binds: Bind[] = [{ from: join(rootfs, 'etc/docker/daemon.json'), to: '/etc/docker/daemon.json' }]
    const checked = await inRoot(root, ['/usr/sbin/dockerd', '--validate'], { binds })
    expect(checked.stderr + checked.stdout).toContain('configuration OK')
  })

  it('sudo accepts its rule', async () => {
    const checked = await inRoot(root, ['visudo', '-c', '-f', '/tmp/golden'], {
      binds: [{ from: join(rootfs, 'etc/sudoers.d/golden'), to: '/tmp/golden' }],
      accept: [0, 1],
    })
    expect(checked.stdout).toContain('parsed OK')
  })

  it("nft loads the table for emergencies, twice, and leaves others' tables alone", async () => {
    const script = 'nft add table ip docker && nft -f /closed.nft && nft -f /closed.nft && nft list ruleset'
    const loaded = await inRoot(root, ['sh', '-c', script], {
      binds: [{ from: join(rootfs, 'usr/local/lib/golden/closed.nft'), to: '/closed.nft' }],
      enter: isolated,
    })
    expect(loaded.stdout).toContain('table ip docker')
    expect(loaded.stdout.match(/policy drop/g)).toHaveLength(2)
  })
})

describe('Loki and the log agents', () => {
  it.each(variants)(
    'the collector reads its configuration: $name',
    async (variant) => {
      const { otelcol } = await ensureTools(['otelcol'])
      const run = lay(variant)
      // The folders it names are the guest's.
      const configuration = readFileSync(join(run, 'otelcol/otelcol.yaml'), 'utf8')
        .replaceAll('/etc/golden/otelcol', join(run, 'otelcol'))
        .replaceAll('/var/lib/golden/otelcol', run)
      const file = join(run, 'otelcol.yaml')
      writeFileSync(file, configuration)
      const checked = spawnSync(otelcol.path, ['validate', `--config=${file}`, ...otelcolArguments.slice(1)], { encoding: 'utf8' })
      expect({ status: checked.status, said: checked.stderr + checked.stdout }).toEqual({ status: 0, said: '' })
      const compose = parse(readFileSync(join(rootfs, 'opt/golden/compose/compose.yaml'), 'utf8')) as {
        services: { otelcol: { command: string[] } }
      }
      expect(compose.services.otelcol.command).toEqual(otelcolArguments)
    },
    60_000,
  )

  it.each(variants)(
    'Loki and Promtail read theirs: $name',
    async ({ seed, ...rest }) => {
      const tools = await ensureTools(['loki', 'promtail'])
      const variant = { ...rest, seed: { ...seed, loki: { ...seed.loki!, agent: 'promtail' as const } } }
      const run = lay(variant)
      if (variant.seed.roles.includes('logging')) {
        const checked = spawnSync(tools.loki.path, [`-config.file=${join(run, 'loki/loki.yaml')}`, '-verify-config'], { encoding: 'utf8' })
        expect({ status: checked.status, said: checked.stderr }).toEqual({ status: 0, said: '' })
      }
      // The files it names are the container's.
      const configuration = readFileSync(join(run, 'promtail/promtail.yaml'), 'utf8').replaceAll(
        '/etc/golden/promtail',
        join(run, 'promtail'),
      )
      const file = join(folder, 'promtail.yaml')
      writeFileSync(file, configuration)
      const checked = spawnSync(tools.promtail.path, [`-config.file=${file}`, '-check-syntax'], { encoding: 'utf8' })
      expect(checked.stderr + checked.stdout).toMatch(/Valid config file/i)
      expect(parse(configuration)).toMatchObject({ server: { http_listen_address: '127.0.0.1' } })
    },
    60_000,
  )
})
