/** The checks of an image, run by a real shell in the lab's Debian root, on things planted for them to find. */
import { webcrypto } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import 'reflect-metadata'
import { cryptoProvider, X509CertificateGenerator } from '@peculiar/x509'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defaultContainers } from '../../settings/containers.ts'
import { inRoot, rootPath } from '../../lab/debian/root.ts'
import { inputFiles, type Inputs } from '../../packer/inputs.ts'

const root = { folder: await rootPath() }
const noRoot = process.getuid?.() !== 0 || !existsSync(root.folder)
const why = "(needs root and the lab's Debian root in the cache: node lab/debian/build.ts root)"
const digest = (letter: string): string => `sha256:${letter.repeat(64)}`
const references = {
  serena: `registry.lan:5000/serena@${digest('1')}`,
  nginx: `10.77.0.3:5000/nginx@${digest('2')}`,
  loki: `docker.io/grafana/loki@${digest('3')}`,
}

let work: string
let ca: string
/** What the scripts of a bake read. */
let bake: string
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'golden-check-'))
  if (noRoot) return
  cryptoProvider.set(webcrypto as typeof globalThis.crypto)
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  ca = (
    await X509CertificateGenerator.createSelfSigned({
      name: 'CN=registry.lan',
      keys: keys as Required<typeof keys>,
      signingAlgorithm: algorithm,
    })
  ).toString('pem')
  // A registry may have a certificate of a CA that everybody trusts: there it is no trace.
  const usual = join(root.folder, 'tree/usr/share/ca-certificates/mozilla')
  const [name = ''] = await readdir(usual)
  bake = join(work, 'bake')
  await mkdir(bake)
  const inputs: Inputs = {
    fingerprint: 'f'.repeat(64),
    references,
    packages: undefined,
    containers: defaultContainers,
    image: {
      base: { os: 'debian-13', sha256: 'a'.repeat(64) },
      diskGiB: 16,
      staged: {},
      lock: 'b'.repeat(64),
      packages: ['docker.io'],
      masked: ['apt-daily.timer'],
      enabled: ['docker.service'],
      sources: {},
    },
  }
  for (const [file, text] of await inputFiles(inputs, '2026-11-24T01:00:00Z', [
    { host: 'registry.lan:5000', caPem: ca },
    { host: 'usual.lan', caPem: await readFile(join(usual, name), 'utf8') },
  ]))
    await writeFile(join(bake, file), text)
  const stub = async (program: string, script: string): Promise<void> =>
    writeFile(join(work, program), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  await stub(
    'docker',
    `[ ! -e /run/no-docker ] || exit 1
case "$1 $2" in
  'image inspect') echo "[\\"$5\\"]" ;;
  'network ls') cat /run/networks 2> /dev/null || true ;;
  'image ls') printf '%s\\n' ${Object.values(references)
    .map((one) => one.split('@')[1])
    .join(' ')}; cat /run/other-images 2> /dev/null || true ;;
esac`,
  )
  await stub('ss', '[ ! -e /run/no-ss ] || exit 127; echo "LISTEN 0 128 0.0.0.0:22 0.0.0.0:*"')
  await stub('dpkg', '[ ! -e /run/no-dpkg ] || exit 2')
  await stub(
    'systemctl',
    `[ ! -e /run/no-systemctl ] || exit 1
case "$1 $2" in
  'list-unit-files '*) printf 'docker.service enabled enabled\\nfstrim.timer enabled enabled\\napt-daily.timer masked enabled\\nua-timer.service masked -\\n'; cat /run/more-units 2> /dev/null || true ;;
  'list-units '*) cat /run/running-units 2> /dev/null || true ;;
  'is-active qemu-guest-agent.service') cat /run/agent 2> /dev/null || echo active ;;
  'is-enabled ssh.service') cat /run/ssh-service 2> /dev/null || echo enabled ;;
  'is-enabled ssh.socket') cat /run/ssh-socket 2> /dev/null || echo disabled ;;
  'cat ssh.socket') cat /run/ssh-socket-file 2> /dev/null || echo 'ConditionPathExists=/run/golden/ssh/ssh_host_ed25519_key' ;;
  'cat ssh.service') echo 'ConditionPathExists=/run/golden/ssh/ssh_host_ed25519_key' ;;
  'is-enabled docker.service') echo enabled ;;
  *) echo masked ;;
esac`,
  )
})
afterAll(() => rm(work, { recursive: true, force: true }))

/** Runs the checks in a root of their own; what each said, by its name. */
async function check(prepare: string): Promise<Map<string, { ok: boolean; found: string[] }>> {
  const programs = ['docker', 'ss', 'dpkg', 'systemctl'].map((name) => ({ from: join(work, name), to: `/stub/${name}` }))
  const { stdout } = await inRoot(root, ['sh', '-c', `set -e\n${prepare}\nPATH=/stub:$PATH exec sh /run/golden-bake/check.sh`], {
    binds: [{ from: bake, to: '/run/golden-bake' }, { from: join(import.meta.dirname, '../../images/rootfs'), to: '/rootfs' }, ...programs],
    accept: [0, 1],
  })
  return new Map(
    [...stdout.matchAll(/^golden-check (ok|FAILED) ([a-z-]+): (.*)$/gm)].map(([, state, name = '', text = '']) => [
      name,
      { ok: state === 'ok', found: /(?:there is|is not so): ?(.*)$/.exec(text)?.[1]?.split(' ') ?? [] },
    ]),
  )
}

const plant = (files: Readonly<Record<string, string>>): string =>
  Object.entries(files)
    .map(([path, text]) => `mkdir -p '${path.slice(0, path.lastIndexOf('/'))}'\ncat >> '${path}' << 'END OF FILE'\n${text}\nEND OF FILE`)
    .join('\n')

describe.skipIf(noRoot)(`the checks of an image ${why}`, () => {
  const proxies: Record<string, string> = {
    '/etc/apt/apt.conf.d/10a': 'Acquire::http { Proxy "http://u:secret@p:1"; };',
    '/etc/apt/apt.conf.d/10b': 'Acquire { http::Proxy "http://p:1"; };',
    '/etc/apt/apt.conf.d/10c': 'Acquire {\n  https {\n    Proxy "http://p:1";\n  };\n};',
    '/etc/apt/apt.conf.d/10d': 'acquire::HTTP::proxy-auto-detect "/usr/local/bin/find-proxy";',
    '/etc/environment': 'https_proxy=http://p:1',
    '/etc/environment.d/p.conf': 'NO_PROXY=a',
    '/etc/profile.d/p.sh': '  export http_proxy=http://p:1',
    '/etc/bash.bashrc': 'export ALL_PROXY="socks5://p:1"',
    '/etc/skel/.profile': 'HTTP_PROXY=http://p:1',
    '/etc/security/pam_env.conf': 'http_proxy DEFAULT=http://p:1',
    '/etc/systemd/system.conf.d/p.conf': '[Manager]\nDefaultEnvironment="HTTP_PROXY=http://p:1"',
    '/etc/systemd/system/docker.service.d/p.conf': '[Service]\nEnvironment=HTTPS_PROXY=http://p:1',
    '/usr/lib/systemd/system/docker.service.d/p.conf': '[Service]\nEnvironment="A=b" "HTTP_PROXY=http://p:1"',
    '/etc/docker/daemon.json': '{ "proxies": { "http-proxy": "http://p:1" } }',
    '/etc/default/docker': 'DOCKER_OPTS="--http-proxy=http://p:1"',
    '/etc/wgetrc': 'https_proxy = http://p:1',
    '/root/.curlrc': 'proxy = http://p:1',
    '/root/.npmrc': 'https-proxy=http://p:1',
    '/home/somebody/.gitconfig': '[http]\n  proxy = http://p:1',
    '/home/somebody/.docker/config.json': '{ "proxies": { "default": { "httpProxy": "http://p:1" } } }',
  }
  const mirrors: Record<string, string> = {
    '/etc/docker/daemon.json': '{ "registry-mirrors": ["https://m"] }',
    '/etc/default/docker': 'DOCKER_OPTS="--insecure-registry m:5000"',
    '/etc/systemd/system/docker.service.d/m.conf': '[Service]\nExecStart=/usr/sbin/dockerd --registry-mirror=https://m',
    '/usr/lib/systemd/system/docker.service.d/m.conf': '[Service]\nExecStart=/usr/sbin/dockerd --registry-mirror https://m',
    '/etc/containerd/config.toml': '[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]\n  endpoint = ["https://m"]',
    '/etc/containers/registries.conf.d/m.conf': '[[registry]]\nlocation = "m"',
  }
  const logins: Record<string, string> = {
    '/root/.docker/config.json': '{}',
    '/home/somebody/.docker/config.json': '{}',
    '/etc/skel/.dockercfg': '{}',
    '/root/.config/containers/auth.json': '{}',
    '/etc/containers/auth.json': '{}',
  }
  const names: Record<string, string> = {
    '/etc/hosts': '10.77.0.9 registry.lan',
    '/etc/systemd/system/pull.service': '[Service]\nExecStart=/usr/bin/docker pull 10.77.0.3:5000/x',
    '/usr/local/bin/pull': 'docker pull docker.io/x',
    '/home/somebody/.profile': 'REGISTRY=registry.lan',
  }

  it('find nothing of a registry where nothing is, nor in comments and in what the distribution brings', async () => {
    const said = await check(
      `chmod a-x /etc/update-motd.d/*\n${plant({
        '/etc/golden/image.json': JSON.stringify(references),
        '/etc/apt/apt.conf.d/10p': '// Acquire::http::Proxy "http://p:1";\n# Proxy',
        '/etc/default/docker': '#export http_proxy="http://127.0.0.1:3128/"\n#DOCKER_OPTS="--registry-mirror=https://m"',
        '/etc/profile.d/p.sh': '# http_proxy=http://p:1',
        '/etc/docker/daemon.json': '{ "userland-proxy": false }',
        '/etc/systemd/system/nginx_proxy.service': '[Service]\nExecStart=/usr/bin/docker start nginx_proxy',
        '/etc/hostname': 'xregistry.lan',
      })}`,
    )
    for (const name of [
      'checks',
      'registry-ca',
      'registry-ca-content',
      'registry-login',
      'apt-login',
      'registry-mirror',
      'registry-host',
      'hosts',
      'proxy',
      'images',
      'other-images',
      'containers',
      'layers',
      'packages',
      'units',
      'masked-units',
      'unwanted-units',
      'motd',
      'ssh',
      'agent',
      'networks',
      'broken-packages',
      'listening',
      'leases',
      'known-hosts',
    ]) {
      expect(said.get(name), name).toEqual({ ok: true, found: [] })
    }
  })

  it.each([
    ['proxy', proxies],
    ['registry-mirror', mirrors],
    ['registry-login', logins],
    ['registry-host', names],
  ])('find each %s, and show no line of it', async (name, files) => {
    const said = (await check(plant(files))).get(name)
    expect(said?.ok).toBe(false)
    for (const path of Object.keys(files))
      expect(
        said?.found.some((found) => found === path || path.startsWith(`${found}/`)),
        path,
      ).toBe(true)
    expect(said?.found.join(' ')).not.toContain('secret')
  })

  it("find a registry's CA under any name, and in the bundle", async () => {
    const said = await check(
      `${plant({ '/etc/pki/x': ca, '/srv/y.pem': ca })}\ncat >> /etc/ssl/certs/ca-certificates.crt << 'END OF FILE'\n${ca}\nEND OF FILE`,
    )
    expect(said.get('registry-ca-content')?.found.sort()).toEqual(['/etc/pki/x', '/etc/ssl/certs/ca-certificates.crt', '/srv/y.pem'])
    expect((await check(plant({ '/etc/docker/certs.d/registry.lan:5000/ca.crt': 'x' }))).get('registry-ca')?.ok).toBe(false)
  })

  it.each<[string, string, string]>([
    ['apt-login', plant({ '/etc/apt/auth.conf.d/m.conf': 'machine m login u password p' }), '/etc/apt/auth.conf.d/m.conf'],
    ['apt-login', plant({ '/etc/apt/sources.list.d/m.list': 'deb https://u:p@m/debian trixie main' }), '/etc/apt/sources.list.d/m.list'],
    ['leases', plant({ '/var/lib/dhcpcd/duid': '00:01' }), '/var/lib/dhcpcd/duid'],
    ['known-hosts', plant({ '/home/somebody/.ssh/known_hosts': 'host key' }), '/home/somebody/.ssh/known_hosts'],
    ['swap', ': > /swapfile', '/swapfile'],
    ['swap', plant({ '/etc/fstab': '/dev/vda2 none swap sw 0 0' }), '/etc/fstab'],
    ['random-seed', plant({ '/var/lib/systemd/credential.secret': 'x' }), '/var/lib/systemd/credential.secret'],
    ['other-images', `echo ${digest('9')} > /run/other-images`, digest('9')],
    ['containers', ': > /run/no-docker', 'Docker'],
    ['layers', plant({ '/var/lib/docker/image/overlay2/layerdb/mounts/0123/mount-id': 'ab' }), '/layerdb/mounts/0123'],
    ['other-images', ': > /run/no-docker', 'Docker'],
    ['images', ': > /run/no-docker', `serena=${references.serena}`],
    ['networks', 'echo golden-serena > /run/networks', 'golden-serena'],
    ['broken-packages', ': > /run/no-dpkg', 'dpkg'],
    ['unwanted-units', ': > /run/no-systemctl', 'systemctl'],
    [
      'motd',
      `${plant({ '/etc/update-motd.d/91-release-upgrade': '#!/bin/sh' })}\nchmod 755 /etc/update-motd.d/91-release-upgrade`,
      '91-release-upgrade',
    ],
    ['ssh', 'echo disabled > /run/ssh-service', 'ssh.service'],
    ['ssh', 'echo enabled > /run/ssh-socket; echo "[Socket]" > /run/ssh-socket-file', 'ssh.socket'],
    ['agent', 'echo inactive > /run/agent', 'inactive'],
    ['listening', ': > /run/no-ss', 'ss'],
  ])('%s finds what was prepared (%#)', async (name, prepare, found) => {
    const said = (await check(prepare)).get(name)
    expect(said?.ok).toBe(false)
    expect(said?.found.join(' ')).toContain(found)
  })

  it('find each unit that upgrades, tells or goes by the clock: by its name, what it runs, or that it runs although it is masked', async () => {
    const commands = [
      '/usr/bin/apt-get -y upgrade',
      '-/usr/bin/env FOO=1 /usr/bin/unattended-upgrade',
      '/bin/sh -c "curl -s https://example.org"',
      '/usr/bin/snap refresh',
      '/usr/bin/python3 /usr/lib/ubuntu-advantage/x.py',
    ]
    const services = commands.map((_, index) => `vendor-${index}.service`)
    const named = [
      'fwupd-refresh.service',
      'apport-forward@.service',
      'apport-autoreport.path',
      'iscsid.socket',
      'backup-home.timer',
      'esm-cache.service',
    ]
    const said =
      await check(`printf '%s enabled enabled\\n' ${[...services, ...named].join(' ')} > /run/more-units; echo 'ua-timer.service loaded activating start Ubuntu Pro' > /run/running-units
${plant(Object.fromEntries(commands.map((exec, index) => [`/etc/systemd/system/${services[index]}`, `[Service]\nExecStart=${exec}`])))}`)
    expect(said.get('unwanted-units')).toEqual({ ok: false, found: [...services, ...named, 'ua-timer.service'].sort() })
  })

  it('leave alone what is none of this, and SSH that its socket starts', async () => {
    const services = {
      'dpkg-db-backup.service': '/usr/libexec/dpkg/dpkg-db-backup',
      'golden-edge.service': '/usr/local/sbin/golden-compose up',
      'apparmor.service': '/lib/apparmor/apparmor.systemd reload',
      'vendor.service': '/usr/bin/aptly-proxy --snapshot now',
    }
    const said =
      await check(`printf '%s static -\\n' ${Object.keys(services).join(' ')} systemd-tmpfiles-clean.timer golden-x.timer > /run/more-units; echo disabled > /run/ssh-service; echo enabled > /run/ssh-socket
${plant(Object.fromEntries(Object.entries(services).map(([name, exec]) => [`/usr/lib/systemd/system/${name}`, `[Service]\nExecStart=${exec}`])))}`)
    for (const name of ['unwanted-units', 'ssh']) expect(said.get(name), name).toEqual({ ok: true, found: [] })
  })

  it.each<[string, string, readonly string[]]>([
    ['a base with a user of its own', 'useradd --uid 1000 ubuntu', []],
    ['a base that has one of the numbers', 'useradd --uid 9901 --no-user-group --gid 100 somebody', ['projects:', 'somebody:9901:100']],
    ["a base that has one of the groups' numbers", 'groupadd --gid 9903 staffers', ['serena:']],
    ['a base that has one of the names', 'useradd --uid 1000 admin', ['admin:1000:1000']],
  ])('users: %s', async (_what, prepare, found) => {
    const said = (
      await check(
        `${prepare}\nmkdir -p /usr/lib/sysusers.d && cp /rootfs/usr/lib/sysusers.d/golden.conf /usr/lib/sysusers.d/ && systemd-sysusers golden.conf`,
      )
    ).get('users')
    expect(said?.ok).toBe(found.length === 0)
    for (const one of found) expect(said?.found.join(' ')).toContain(one)
  })

  it('fail when a list that they go by is missing', async () => {
    const kept = await readFile(join(bake, 'images'))
    await writeFile(join(bake, 'images'), '')
    const said = (await check(':')).get('checks')
    await writeFile(join(bake, 'images'), kept)
    expect(said).toEqual({ ok: false, found: ['images'] })
  })
})
