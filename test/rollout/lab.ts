/** A lab whose guests run the image's programs, a site in it that is set up, and an image that needed no bake. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { listImages } from '../../images/catalog.ts'
import { newImageTags } from '../../images/channels.ts'
import { renderRecord } from '../../images/record.ts'
import { seedForm } from '../../images/contract/seed.ts'
import { vouch } from '../../images/vouch.ts'
import type { Filesystem } from '../../lab/compute/fake/filesystem.ts'
import { saveContent } from '../../lab/compute/fake/volumes.ts'
import { startLab, type Lab } from '../../lab/index.ts'
import type { Proxmox } from '../../proxmox/client.ts'
import type { DeployOptions } from '../../rollout/options.ts'
import { initSecrets } from '../../scripts/init.ts'
import { emptyBase, labSite, writeLabSite, type LabSiteOptions } from '../../demo/lab-site.ts'
import { loadSite } from '../../settings/load.ts'
import type { Site } from '../../settings/site.ts'
import { recorder, setUp } from '../set-up.ts'
import { slotImage } from './slot-image.ts'
import { createSlotDriver, newWorld, type SlotWorld } from './slot-world.ts'

export interface RolloutLab {
  /** Another one after `restart`. */
  readonly lab: Lab
  readonly world: SlotWorld
  readonly site: Site
  readonly folder: string
  /** With the token that setup made. */
  readonly proxmox: Proxmox
  /** With the lab's root token. */
  readonly root: Proxmox
  /** Everything that was shown, in order. */
  readonly shown: string[]
  options(change?: Partial<DeployOptions>): DeployOptions
  /** Where the lab keeps a volume of the site's disks, e.g. `local-lvm:vm-9001-disk-0`. */
  fileOf(volume: string): string
  /** Makes a template that counts as an image. @param change what else is on its disk @param lateUdev as slotImage has it */
  addImage(vmid: number, built?: string, seed?: number, change?: (root: Filesystem) => void, lateUdev?: boolean): Promise<void>
  /** The host is switched off at once, with all that runs on it, and on again. What starts with the host starts. */
  restart(): Promise<void>
  close(): Promise<void>
}

/** @param environment variables for the engine; none are needed by tests that do not run it */
export async function startRolloutLab(
  environment: Record<string, string> = {},
  layout: LabSiteOptions['layout'] = 'two-vms',
): Promise<RolloutLab> {
  const work = await mkdtemp(join(tmpdir(), 'gr-'))
  const world = newWorld()
  const switchOn = (): Promise<Lab> =>
    startLab({ stateDir: join(work, 'lab'), driver: 'fake', authDelayMs: 1, createDriver: (options) => createSlotDriver(options, world) })
  let lab = await switchOn()
  const folder = join(work, 'site')
  await writeLabSite(
    folder,
    labSite(lab.connection, { name: 'home', layout, base: await emptyBase(join(work, 'base.qcow2')), isoPath: join(work, 'iso') }),
    lab.connection,
  )
  const site = await loadSite(folder)
  await initSecrets(site, folder, new Date())
  const { caFile, token, root, proxmox } = await setUp(lab, site, folder)
  await writeFile(join(folder, 'secrets', 'proxmox-token'), `${token.secret}\n`, { mode: 0o600 })
  const { shown, progress } = recorder()
  const fileOf = (volume: string): string => {
    const name = basename(volume.replace(/^.*:/, ''))
    const images = join(dirname(lab.connectionFile), 'storage', site.proxmox.storage.disks, 'images')
    return join(images, /^(?:vm|base)-(\d+)-/.exec(name)?.[1] ?? '', name)
  }
  const base: DeployOptions = { site, folder, proxmox, token, caFile, environment, progress, signal: new AbortController().signal }
  return {
    get lab() {
      return lab
    },
    world,
    site,
    folder,
    proxmox,
    root,
    shown,
    fileOf,
    options: (change = {}) => ({ ...base, ...change }),
    async addImage(vmid, built = '2026-11-23T12:00:00.000Z', seed = seedForm, change, lateUdev = true) {
      const { node, pool, storage, bridge } = site.proxmox
      const fingerprint = String(vmid).padStart(12, '0').padEnd(64, '0')
      await proxmox.task(
        await proxmox.post<string>(`/nodes/${node}/qemu`, {
          vmid,
          name: `golden-home-${fingerprint.slice(0, 12)}`,
          pool,
          cores: 1,
          memory: 512,
          scsihw: 'virtio-scsi-pci',
          scsi0: `${storage.disks}:1`,
          net0: `virtio,bridge=${bridge}`,
          agent: 1,
          ostype: 'l26',
          boot: 'order=scsi0',
        }),
      )
      const { scsi0 } = await proxmox.get<{ scsi0: string }>(`/nodes/${node}/qemu/${vmid}/config`)
      saveContent(fileOf(scsi0.split(',')[0] ?? ''), await slotImage(fingerprint, change, lateUdev))
      const description = renderRecord({
        schema: 1,
        kind: 'image',
        site: site.name,
        fingerprint,
        lock: 'b'.repeat(64),
        base: { os: site.image.base.os, sha256: site.image.base.sha256 },
        built,
        seed,
        services: {},
      })
      await proxmox.put(`/nodes/${node}/qemu/${vmid}/config`, { tags: newImageTags, description })
      await proxmox.task(await proxmox.post<string>(`/nodes/${node}/qemu/${vmid}/template`))
      const made = (await listImages(proxmox, site)).images.find((one) => one.vmid === vmid)
      if (made === undefined) throw new Error(`template ${vmid} is no image`)
      await vouch({ site, folder, proxmox }, made)
    },
    async restart() {
      await lab.close()
      lab = await switchOn()
      for (const { vmid, template } of await root.get<{ vmid: number; template?: number }[]>('/cluster/resources', { type: 'vm' })) {
        if (template === 1) continue
        const path = `/nodes/${site.proxmox.node}/qemu/${vmid}`
        const { onboot } = await root.get<{ onboot?: number }>(`${path}/config`)
        if (onboot === 1) await root.task(await root.post<string>(`${path}/status/start`))
      }
    },
    async close() {
      proxmox.close()
      root.close()
      await lab.close()
      await rm(work, { recursive: true, force: true })
    },
  }
}
