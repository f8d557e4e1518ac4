/** The scripts of a bake, in a fake guest whose base has what other bases have. */
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defaultContainers } from '../../settings/containers.ts'
import type { Lock } from '../../images/lock.ts'
import { readInventory } from '../../images/sbom/inventory.ts'
import { distributionOf, packagesIn } from '../../images/sbom/packages.ts'
import { explainBuild } from '../../packer/explain.ts'
import { collectInputs, inputFiles } from '../../packer/inputs.ts'
import { Listener } from '../../packer/run.ts'
import { readCompose, trialFiles } from '../../packer/trial.ts'
import { exampleSite } from '../images/example.ts'
import { services, startBuildVm, type BuildVm } from '../lab/build-vm.ts'
import { Rig, type Ran } from '../lab/fake-rig.ts'

const names = (ran: Ran): string[] =>
  ran.stdout
    .split('\n')
    .filter((line) => line !== '')
    .sort()

/** What a user would be told of it. */
function told(ran: Ran): { readonly code: string; readonly message: string; readonly hint: string } {
  const heard = new Listener({ note: () => {}, token: { secret: 'not-a-secret' } })
  for (const line of `${ran.stdout}${ran.stderr}`.split('\n')) heard.line(line)
  return explainBuild(exampleSite(), heard.outcome(ran.exitCode))
}

describe('in a build VM', () => {
  let rig: Rig
  let vm: BuildVm
  const done = async (script: string): Promise<Ran> => {
    const ran = await vm.script(script)
    expect(ran.exitCode, ran.stdout + ran.stderr).toBe(0)
    return ran
  }
  /** A service and a timer, running. */
  const plant = async (name: string, exec: string, folder = '/usr/lib/systemd/system'): Promise<void> => {
    await vm.run(`printf '[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=%s\\n[Install]\\nWantedBy=multi-user.target\\n' '${exec}' > ${folder}/${name}.service
printf '[Timer]\\nOnCalendar=daily\\n[Install]\\nWantedBy=timers.target\\n' > ${folder}/${name}.timer
systemctl daemon-reload; systemctl enable --now ${name}.timer; systemctl enable --now ${name}.service`)
  }

  beforeAll(async () => {
    rig = await Rig.create()
    vm = await startBuildVm(rig)
  })
  afterAll(() => rig.close())

  it('masks and stops what upgrades, tells, takes disks or goes by the clock, whatever its name and wherever its file is', async () => {
    await plant('fwupd-refresh', '/usr/bin/true')
    await plant('vendor-check', '/usr/bin/true')
    await plant('vendor-agent', '/usr/bin/apt-get check')
    await plant('own-job', '/usr/bin/true', '/etc/systemd/system')
    await plant('fstrim', '/usr/bin/true')
    expect((await vm.run('systemctl is-active fwupd-refresh.service vendor-check.timer vendor-agent.service own-job.timer')).stdout).toBe(
      'active\n'.repeat(4),
    )
    await done('packages.sh')
    const gone = [
      'fwupd-refresh.service',
      'fwupd-refresh.timer',
      'vendor-check.timer',
      'vendor-agent.service',
      'vendor-agent.timer',
      'own-job.timer',
      'apt-daily.timer',
    ]
    expect((await vm.run(`systemctl is-enabled ${gone.join(' ')}`)).stdout).toBe('masked\n'.repeat(gone.length))
    expect((await vm.run(`systemctl is-active ${gone.join(' ')}`)).stdout).toBe('inactive\n'.repeat(gone.length))
    expect((await vm.run('systemctl is-enabled fstrim.timer fstrim.service vendor-check.service ssh.service')).stdout).toBe(
      'enabled\n'.repeat(4),
    )
    expect(names(await vm.run('cd /run/golden-bake && sh unwanted.sh'))).toEqual([])
  })

  it('finds what comes back, or runs although it is masked', async () => {
    await plant('vendor-nightly', '/usr/bin/true')
    await vm.run(
      'systemctl unmask ua-timer.timer; systemctl unmask apt-daily.timer; systemctl start apt-daily.timer; systemctl mask --quiet apt-daily.timer',
    )
    expect(names(await vm.run('cd /run/golden-bake && sh unwanted.sh'))).toEqual(['apt-daily.timer', 'vendor-nightly.timer'])
    await vm.run('systemctl stop apt-daily.timer; systemctl mask --now --quiet vendor-nightly.timer')
  })

  it('runs each container image once, and nothing stays of it', async () => {
    // Debian's docker.io brings the program for `init: true` by way of tini; another may not.
    await vm.run('rm /usr/bin/docker-init')
    // Ubuntu's cloud image has an empty group of this name, with a number of a service's; and the first person has 1000.
    await vm.run('groupadd --system admin; useradd -u 1000 -m ubuntu')
    await done('files.sh')
    expect((await vm.run('id -g admin; id -u admin; id -un 1000')).stdout).toBe('9902\n9902\nubuntu\n')
    expect((await vm.run('readlink /usr/local/bin/docker-init')).stdout).toBe('/usr/bin/tini-static\n')
    await done('images.sh')
    const { stdout } = await done('trial.sh')
    for (const service of Object.keys(services)) expect(stdout).toContain(`golden: running ${service} once`)
    expect(
      (
        await vm.run(
          'docker ps --all --quiet; docker network ls --quiet; ls -d /run/golden /srv/golden /var/lib/golden /var/tmp/golden-bake/projects /run/golden-bake/mapped',
        )
      ).stdout,
    ).toBe('')
  })

  it('brings what says what is in the machine and in each container image, and nothing stays of that', async () => {
    await done('inventory.sh')
    const archive = await vm.run('base64 -w 0 /run/golden-bake/inventory.tar.gz')
    const { machine, containers } = readInventory(Buffer.from(archive.stdout, 'base64'))
    expect(packagesIn(machine)).toContainEqual({
      type: 'deb',
      name: 'git',
      version: '1:2.47.3-0+deb13u1',
      architecture: 'amd64',
      licences: ['GPL-2.0-only'],
    })
    expect(distributionOf(machine)).toEqual({ id: 'debian', version: '13' })
    expect([...containers.keys()].sort()).toEqual(Object.keys(services).sort())
    expect(packagesIn(containers.get('loki') ?? new Map()).map(({ name }) => name)).toEqual([
      'libcrypto3',
      'musl',
      'example.org/program',
      'golang.org/x/net',
      'stdlib',
      'pyyaml',
    ])
    expect([...(containers.get('loki')?.keys() ?? [])]).not.toContain('usr/bin/program')
    expect((await vm.run('docker ps --all --quiet; ls -d /var/tmp/golden-bake/inventory')).stdout).toBe('')
  })

  it.each([
    ['with a word', 'unexpected EOF'],
    ['without a word', 'the archive ends in the middle'],
  ] as const)('takes no half of what is in a container image, whose copy ends %s', async (copyFails, message) => {
    rig.driver.behave({ match: 110, copyFails })
    const ran = await vm.script('inventory.sh')
    rig.driver.behave({ match: 110, copyFails: undefined })
    expect(told(ran)).toMatchObject({ code: 'bake-inventory', message: expect.stringContaining(message) })
    expect((await vm.run('docker ps --all --quiet')).stdout).toBe('')
  })

  it('says which container image does not run, and why', async () => {
    rig.driver.behave({ match: 110, broken: ['loki'] })
    const ran = await vm.script('trial.sh')
    rig.driver.behave({ match: 110, broken: [] })
    expect(ran.exitCode).toBe(1)
    expect(told(ran)).toMatchObject({
      code: 'bake-container-run',
      message: expect.stringMatching(/image of loki does not run as loki in compose\.yaml: loki: exec format error/),
      hint: expect.stringContaining('golden lock'),
    })
    expect((await vm.run('docker ps --all --quiet; docker network ls --quiet; ls -d /run/golden')).stdout).toBe('')
  })

  describe('with packages in the lock', () => {
    const versionsOf = (ran: Ran): Record<string, string> => {
      const heard = new Listener({ note: () => {}, token: { secret: 'not-a-secret' } })
      for (const line of ran.stdout.split('\n')) heard.line(line)
      return { ...heard.outcome(ran.exitCode).packages }
    }
    /** Runs packages.sh with this lock, and takes it away again. */
    const locked = async (versions: Readonly<Record<string, string>>, complete: boolean): Promise<Ran> => {
      const lines = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
      await vm.run(
        `cd /run/golden-bake; printf '%s\\n' ${lines.join("' '").replace(/^|$/g, "'")} > locked-packages; echo 'Types: deb' > archive.sources; ${complete ? 'echo yes > lock-complete' : 'rm -f lock-complete'}`,
      )
      const ran = await vm.script('packages.sh')
      await vm.run('cd /run/golden-bake && rm -f locked-packages lock-complete archive.sources')
      return ran
    }
    let there: Record<string, string>
    beforeAll(async () => {
      there = versionsOf(await done('packages.sh'))
    })

    it('a bake tells every package with its version, and shows nobody', () => {
      expect(Object.keys(there).length).toBeGreaterThan(30)
      expect(there).toMatchObject({ 'docker.io': '26.1.5+dfsg1-9+b9', git: '1:2.47.3-0+deb13u1' })
    })

    it('takes what is as the lock says, all of it, or as far as it says', async () => {
      expect(versionsOf(await locked(there, true))).toEqual(there)
      expect((await locked({ git: there.git ?? '', 'gone-by-now': '1' }, false)).exitCode).toBe(0)
    })

    it.each<[string, (versions: Record<string, string>) => Record<string, string>, boolean, RegExp]>([
      ['another version', (versions) => ({ ...versions, git: '1:2.48' }), true, /git is 1:2\.47\.3-0\+deb13u1, locked is 1:2\.48/],
      [
        'another version, of an incomplete lock',
        () => ({ 'docker.io': '27.0' }),
        false,
        /docker\.io is 26\.1\.5\+dfsg1-9\+b9, locked is 27\.0/,
      ],
      ['one too many', ({ git: _, ...versions }) => versions, true, /git is 1:2\.47\.3-0\+deb13u1, locked is absent/],
      ['one that is not there', (versions) => ({ ...versions, jq: '1.7' }), true, /jq is absent, locked is 1\.7/],
    ])(
      'refuses %s by name',
      async (_what, change, complete, message) => {
        expect(told(await locked(change(there), complete))).toMatchObject({
          code: 'bake-packages-differ',
          message: expect.stringMatching(message),
          hint: expect.stringContaining('golden lock'),
        })
      },
      60_000,
    )

    it('lets the base have something newer than the archive, as long as the lock does not know the base', async () => {
      const older = { sudo: '1.9.16p2-2' }
      expect((await locked(older, false)).exitCode).toBe(0)
      expect(told(await locked({ ...there, ...older }, true)).code).toBe('bake-packages-differ')
    })

    it('refuses what the archive has by now instead of what is locked', async () => {
      rig.driver.behave({ match: 110, archive: { sudo: '1.9.17-1' } })
      const ran = await locked(there, true)
      rig.driver.behave({ match: 110, archive: { sudo: there.sudo ?? '' } })
      await done('packages.sh')
      expect(told(ran)).toMatchObject({
        code: 'bake-packages-differ',
        message: expect.stringContaining('sudo is 1.9.17-1, locked is 1.9.16p2-3'),
      })
    })

    it.each([
      [
        'bake-archive-signature',
        'W: GPG error: http://deb.example.org stable InRelease: The following signatures were invalid: BADSIG 78DBA3BC47EF2265',
      ],
      ['bake-archive-signature', 'E: Failed to fetch store:/x  Hash Sum mismatch'],
      [
        'bake-packages-gone',
        "E: The repository 'https://snapshot.example.org/debian/20261129T120000Z trixie Release' does not have a Release file.",
      ],
    ])(
      "says %s in apt's words: %s",
      async (code, words) => {
        rig.driver.behave({ match: 110, updateFails: words })
        const ran = await locked(there, true)
        rig.driver.behave({ match: 110, updateFails: undefined })
        expect(told(ran)).toMatchObject({ code, message: expect.stringContaining(words) })
      },
      60_000,
    )

    it('refuses what a registry serves instead of a locked digest', async () => {
      rig.driver.behave({ match: 110, pullsAltered: ['/loki'] })
      const ran = await vm.script('images.sh')
      rig.driver.behave({ match: 110, pullsAltered: [] })
      expect(told(ran)).toMatchObject({
        code: 'bake-image-altered',
        message: expect.stringMatching(/loki@sha256:d+: .*verification failed/),
      })
    })
  })

  it('says so when nobody brings the program for init', async () => {
    await vm.run('rm /usr/local/bin/docker-init')
    expect(told(await vm.script('trial.sh'))).toMatchObject({
      code: 'bake-container-run',
      message: expect.stringMatching(/image of serena .*docker-init.*not found/),
    })
  })
})

describe('the lists of units', () => {
  // From a boot of Ubuntu 24.04.4's cloud image, and from the sources of ubuntu-pro-client.
  const not = [
    'apport-autoreport.path',
    'apport-autoreport.timer',
    'apport-forward@.service',
    'apport.service',
    'apt-daily-upgrade.timer',
    'apt-news.service',
    'esm-cache.service',
    'cron.service',
    'fwupd-refresh.timer',
    'iscsid.socket',
    'lxd-installer.socket',
    'man-db.timer',
    'ModemManager.service',
    'motd-news.timer',
    'multipathd.socket',
    'open-iscsi.service',
    'pollinate.service',
    'snapd.apparmor.service',
    'snapd.autoimport.service',
    'snapd.seeded.service',
    'snapd.snap-repair.timer',
    'snapd.socket',
    'sysstat-collect.timer',
    'sysstat.service',
    'ua-reboot-cmds.service',
    'ua-timer.timer',
    'ubuntu-advantage.service',
    'udisks2.service',
    'ufw.service',
    'unattended-upgrades.service',
    'update-notifier-download.timer',
    'update-notifier-motd.timer',
    'wpa_supplicant.service',
    'xfs_scrub_all.timer',
  ]
  const fine = [
    'apparmor.service',
    'blk-availability.service',
    'cloud-init-hotplugd.socket',
    'cloud-init.service',
    'containerd.service',
    'dbus.socket',
    'docker.socket',
    'dpkg-db-backup.timer',
    'e2scrub_all.timer',
    'e2scrub_reap.service',
    'fstrim.timer',
    'getty@tty1.service',
    'grub-initrd-fallback.service',
    'golden-watch.service',
    'logrotate.timer',
    'networkd-dispatcher.service',
    'polkit.service',
    'qemu-guest-agent.service',
    'rsyslog.service',
    'ssh.socket',
    'systemd-networkd.service',
    'systemd-resolved.service',
    'systemd-timesyncd.service',
    'systemd-tmpfiles-clean.timer',
    'uuidd.socket',
    'snap-core22-1621.mount',
  ]

  it('tell those that Ubuntu 24.04 starts apart', async () => {
    const packages = JSON.parse(await readFile('images/packages.json', 'utf8')) as Record<'unwanted' | 'timers', string[]>
    const matches = (list: readonly string[], name: string): boolean => list.some((pattern) => new RegExp(`^(?:${pattern})$`).test(name))
    const unwanted = (name: string): boolean =>
      matches(packages.unwanted, name) || (name.endsWith('.timer') && !matches(packages.timers, name))
    expect(not.filter((name) => !unwanted(name))).toEqual([])
    expect(fine.filter(unwanted)).toEqual([])
  })
})

describe('the container images', () => {
  it('are run with words of their own for each service, and folders that belong to its user', async () => {
    const compose = await readCompose()
    for (const [name, spec] of Object.entries(compose.services)) expect(spec['x-trial']?.length, name).toBeGreaterThan(0)
    const every = Object.fromEntries(
      Object.values(compose.services)
        .map(({ image }) => /^\$\{(\w+)_IMAGE:-/.exec(image)?.[1]?.toLowerCase() ?? '')
        .map((service) => [service, `registry.lan/${service}@sha256:${'a'.repeat(64)}`]),
    )
    const files = new Map(trialFiles(compose, every, defaultContainers))
    const trials = (files.get('trials') ?? '')
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
    expect(trials.map(([service]) => service).sort()).toEqual(Object.keys(every).sort())
    for (const [, name = ''] of trials) expect(compose.services).toHaveProperty(name)
    expect(files.get('compose.env')).toContain(`SERENA_IMAGE="registry.lan/serena@sha256:${'a'.repeat(64)}"\n`)
    const sources = Object.values(compose.services).flatMap(({ volumes = [] }) => volumes.map(({ source }) => source))
    expect(
      (files.get('trial-folders') ?? '')
        .trim()
        .split('\n')
        .map((line) => line.split(' ')[1])
        .sort(),
    ).toEqual([...new Set(sources)].sort())
    expect(files.get('trial-folders')).toContain(`${compose.services.loki?.user} /srv/golden/loki\n`)
  })

  it('are only those of the lock', async () => {
    const files = new Map(trialFiles(await readCompose(), services, defaultContainers))
    expect(files.get('trials')).not.toContain('grafana')
  })

  it('have the networks of the site, as in its VMs, and the image is the same in each', async () => {
    const image = { image: 'registry.lan/x', digest: `sha256:${'a'.repeat(64)}` }
    const lock: Lock = { schema: 2, services: { serena: image, nginx: image } }
    const bakes = await Promise.all(
      [defaultContainers, '10.99.0.0/23'].map(async (containers) => {
        const site = exampleSite()
        const inputs = await collectInputs({ ...site, network: { ...site.network, containers } }, lock, 'f00')
        return { fingerprint: inputs.fingerprint, env: (await inputFiles(inputs, '2026-11-24T00:00:00Z', [])).get('compose.env') ?? '' }
      }),
    )
    const [usual, other] = bakes
    expect(other?.fingerprint).toBe(usual?.fingerprint)
    // Each that compose.yaml asks for: what is not set would be its default.
    const asked = [...JSON.stringify(await readCompose()).matchAll(/\$\{(\w+_(?:NETWORK|ADDRESS)):-/g)].map(([, name]) => name).sort()
    expect(asked.length).toBeGreaterThan(0)
    const values = (env = ''): Record<string, string> =>
      Object.fromEntries([...env.matchAll(/^(\w+_(?:NETWORK|ADDRESS))="(.*)"$/gm)].map(([, name = '', value = '']) => [name, value]))
    expect(Object.keys(values(other?.env)).sort()).toEqual(asked)
    expect(other?.env).not.toContain('172.30.')
    expect(values(other?.env)).toMatchObject({ SERENA_NETWORK: '10.99.0.0/28', LOKI_ADDRESS: '10.99.0.21' })
    expect(values(usual?.env)).toMatchObject({ SERENA_NETWORK: '172.30.0.0/28', LOKI_ADDRESS: '172.30.0.21' })
  })
})
