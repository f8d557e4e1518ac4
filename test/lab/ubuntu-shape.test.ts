/**
 * A base shaped like Ubuntu 24.04's cloud image (lab/debian/base/ubuntu.sh) is baked by real Packer in a real guest, and
 * a clone of the image is booted with the seed of a slot. What is Ubuntu's own (kernel, systemd 255, its packages of
 * Docker and Compose) is not in it.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ssh2 from 'ssh2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startLab, type Lab } from '../../lab/index.ts'
import { bake } from '../../packer/bake.ts'
import type { Proxmox } from '../../proxmox/client.ts'
import { readSeedSecrets, uploadSeed } from '../../releases/seed.ts'
import { prepareImages } from '../../demo/images.ts'
import { initSecrets } from '../../scripts/init.ts'
import { labSite, projectsKeyFile, writeLabSite } from '../../demo/lab-site.ts'
import { newRelease, type Release } from '../../releases/deployment.ts'
import { loadSite } from '../../settings/load.ts'
import type { Site } from '../../settings/site.ts'
import { toolCache } from '../../tools/cache.ts'
import { toolEnvironment } from '../../tools/index.ts'
import { setUp } from '../set-up.ts'

const wanted = process.env.GOLDEN_TEST_GUEST === '1'
const minutes = 60_000

describe.skipIf(!wanted)('a base shaped like Ubuntu 24.04 (needs GOLDEN_TEST_GUEST=1, root and 30 minutes)', () => {
  let work: string
  let lab: Lab
  let site: Site
  let folder: string
  let proxmox: Proxmox
  let root: Proxmox
  let release: Release
  const shown: string[] = []
  const note = (text: string): void => {
    shown.push(text)
    console.log(`${new Date().toISOString().slice(11, 19)} ${text}`)
  }
  const progress = {
    step: async <T>(title: string, run: (note: (text: string) => void) => Promise<T>): Promise<T> => {
      note(title)
      return run(note)
    },
    info: note,
    warn: note,
  }
  const signal = new AbortController().signal
  const inGuest = async (command: string): Promise<string> => {
    const { stdout, stderr } = await proxmox.agentExec(site.proxmox.node, release.vm.vmid, ['/bin/sh', '-c', command], {
      timeoutMs: 2 * minutes,
    })
    return (stdout + stderr).trim()
  }

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'gu-'))
    const images = await prepareImages(progress, signal, 'ubuntu')
    lab = await startLab({ stateDir: join(work, 'lab'), driver: 'qemu', startRegistry: images.startRegistry })
    folder = join(work, 'site')
    await writeLabSite(
      folder,
      labSite(lab.connection, { name: 'like', layout: 'one-vm', base: images.base, isoPath: join(work, 'iso') }),
      lab.connection,
    )
    site = await loadSite(folder)
    await initSecrets(site, folder, new Date())
    await writeFile(join(folder, 'images.lock.json'), JSON.stringify(images.lock(lab.connection.registry?.host ?? '')))
  }, 60 * minutes)
  afterAll(async () => {
    proxmox?.close()
    root?.close()
    await lab?.close()
    await rm(work, { recursive: true, force: true })
  }, 2 * minutes)

  it(
    'is baked, past its upgrade that holds the locks and without a docker-init of its own',
    async () => {
      const ready = await setUp(lab, site, folder)
      proxmox = ready.proxmox
      root = ready.root
      const { outcome, template } = await bake({
        site,
        folder,
        proxmox,
        token: ready.token,
        caFile: ready.caFile,
        environment: await toolEnvironment(),
        cacheDir: toolCache(),
        progress,
        signal,
      })
      expect(outcome).toBe('baked')
      release = newRelease(site, 'all', 'blue', {
        id: '0123456789ab',
        created: new Date(),
        image: { vmid: template.vmid, name: template.name, fingerprint: template.fingerprint },
      })
      const text = shown.join('\n')
      const [, masked = ''] = /masking what this base brings: (.*)/.exec(text) ?? []
      for (const unit of [
        'fwupd-refresh.timer',
        'ua-timer.timer',
        'apport-autoreport.timer',
        'update-notifier-motd.timer',
        'sysstat-collect.timer',
        'cron.service',
        'iscsid.socket',
        'esm-cache.service',
        'vendor-inventory.timer',
        'vendor-updates.service',
      ])
        expect(masked.split(' ')).toContain(unit)
      expect(text).toMatch(/waiting: .*lock/)
      for (const service of ['serena', 'nginx', 'loki']) expect(text).toContain(`running ${service} once`)
      expect(text).toContain('SSH starts at boot (ssh.socket), and only with a seed')
      expect(shown.filter((line) => line.includes('golden-check') && !line.includes('golden-check ok'))).toEqual([])
    },
    90 * minutes,
  )

  it(
    'gives a slot that comes up with its seed: agent, address, firewall, nginx',
    async () => {
      const { vmid, node, name, mac, seed, cores, memoryMiB, bridge } = release.vm
      await uploadSeed(proxmox, release, await readSeedSecrets(site, folder, release))
      await proxmox.task(
        await proxmox.post<string>(`/nodes/${node}/qemu/${release.image.vmid}/clone`, {
          newid: vmid,
          name,
          pool: site.proxmox.pool,
          full: 0,
        }),
      )
      await proxmox.task(
        await proxmox.post<string>(`/nodes/${node}/qemu/${vmid}/config`, {
          cores,
          memory: memoryMiB,
          net0: `virtio=${mac},bridge=${bridge}`,
          scsi13: `${seed},media=cdrom`,
        }),
      )
      await proxmox.task(await proxmox.post<string>(`/nodes/${node}/qemu/${vmid}/status/start`))
      // Without a data disk it is a slot that waits; nginx answers for it. Its answer takes an emulated guest 10 to 30 s.
      await expect
        .poll(
          () =>
            inGuest('slotctl status')
              .then((said) => JSON.parse(said) as unknown)
              .catch(String),
          { timeout: 20 * minutes, interval: 20_000 },
        )
        .toMatchObject({ slot: 'blue', active: false, dataDisk: 'absent', services: { nginx_proxy: { state: 'running' } } })
      expect(await inGuest('cloud-init status --wait')).toMatch(/^status: done/)
      expect(await inGuest('systemctl list-units --failed --plain --no-legend')).toBe('')
      expect(await inGuest('ls /etc/netplan')).toBe('50-cloud-init.yaml')
      expect(await inGuest('nft list table inet golden > /dev/null && echo loaded')).toBe('loaded')
    },
    30 * minutes,
  )

  it(
    'runs nothing of what the base would, and leaves its people alone',
    async () => {
      const timers = await inGuest('systemctl list-units --state=active --type=timer --plain --no-legend')
      for (const line of timers.split('\n')) expect(line).toMatch(/^(systemd-\S+|fstrim|logrotate|e2scrub_all|dpkg-db-backup)\.timer /)
      expect(
        await inGuest(
          'systemctl is-active cron.service vendor-updates.service unattended-upgrades.service snapd.socket apt-daily-upgrade.service',
        ),
      ).not.toMatch(/^active$/m)
      expect(await inGuest('id -un 1000')).toBe('ubuntu')
      expect(await inGuest('for name in projects admin serena; do id -u $name; id -g $name; done; stat -c %u /home/ubuntu')).toBe(
        '9901\n9901\n9902\n9902\n9903\n9903\n1000',
      )
      expect(await inGuest('cat /sys/module/apparmor/parameters/enabled; docker inspect --format "{{.AppArmorProfile}}" nginx_proxy')).toBe(
        'Y\ndocker-default',
      )
    },
    5 * minutes,
  )

  it(
    'starts SSH by its socket, with the host key of the seed',
    async () => {
      expect(await inGuest('systemctl is-active ssh.socket')).toBe('active')
      const sock = await lab.network.dial(release.seed.address, 22)
      const client = new ssh2.Client()
      const hostKey = await new Promise<Buffer>((resolve, reject) => {
        let shownKey: Buffer = Buffer.alloc(0)
        client.once('error', reject).once('ready', () => resolve(shownKey))
        readFile(join(folder, projectsKeyFile)).then(
          (privateKey) =>
            client.connect({
              sock,
              username: 'projects',
              privateKey,
              readyTimeout: minutes,
              hostVerifier: (key: Buffer) => {
                shownKey = key
                return true
              },
            }),
          reject,
        )
      })
      client.end()
      expect(hostKey.toString('base64')).toBe((await readFile(join(folder, 'secrets/ssh/all_ed25519.pub'), 'utf8')).split(' ')[1])
    },
    5 * minutes,
  )
})
