/** A fake guest in which a bake's own scripts are run, one at a time. */
import { readFile } from 'node:fs/promises'
import { references, type Lock } from '../../images/lock.ts'
import { guestFiles } from '../../images/stage.ts'
import { writeTar } from '../../core/formats/tar.ts'
import type { Machine } from '../../lab/compute/driver.ts'
import { collectInputs, inputFiles } from '../../packer/inputs.ts'
import { exampleSite } from '../images/example.ts'
import { key, type Ran, type Rig } from './fake-rig.ts'

const image = (name: string, letter: string) => ({ image: `10.77.0.3:5000/${name}`, digest: `sha256:${letter.repeat(64)}` })
const lock: Lock = {
  schema: 2,
  services: { serena: image('serena', 'a'), nginx: image('nginx', 'b'), promtail: image('promtail', 'c'), loki: image('loki', 'd') },
}
/** By service, what goes into its image. */
export const services = references(lock)

export interface BuildVm {
  readonly machine: Machine
  /** As root. */
  run(command: string): Promise<Ran>
  /** One of packer/provision, as Packer runs it. */
  script(name: string): Promise<Ran>
}

/** Boots it as VM 110 from a copy of the base, `image.qcow2`, and brings what a bake does before packages.sh. */
export async function startBuildVm(rig: Rig): Promise<BuildVm> {
  await rig.driver.volumes.copy(rig.path('base.qcow2'), rig.path('image.qcow2'), { format: 'qcow2' })
  const userData = `#cloud-config\n${JSON.stringify({ hostname: 'golden-build', ssh_pwauth: false, users: [{ name: 'bake', uid: 2999, lock_passwd: true, shell: '/bin/sh', sudo: ['ALL=(ALL) NOPASSWD:ALL'], ssh_authorized_keys: [key.public.trim()] }] })}`
  const machine = await rig.start({ vmid: 110, address: '10.77.0.20', disk: 'image.qcow2', userData })
  const client = await rig.connect('10.77.0.20', { username: 'bake' })
  const sftp = await new Promise<import('ssh2').SFTPWrapper>((resolve, reject) =>
    client.sftp((error, session) => (error ? reject(error) : resolve(session))),
  )
  const upload = (path: string, data: string | Buffer): Promise<void> =>
    new Promise((resolve, reject) => sftp.writeFile(path, data, (error) => (error ? reject(error) : resolve())))
  const script = async (name: string, folder = '/run/golden-bake'): Promise<Ran> => {
    const path = `${folder}/script-${name}`
    await upload(path, await readFile(`packer/provision/${name}`))
    return rig.run(client, `sudo -n sh ${path}`)
  }
  const waited = await script('wait.sh', '/tmp')
  if (waited.exitCode !== 0) throw new Error(`wait.sh exited with ${waited.exitCode}\n${waited.stdout}${waited.stderr}`)
  const inputs = await inputFiles(await collectInputs(exampleSite(), lock, 'f00'), '2026-11-24T00:00:00Z', [
    { host: '10.77.0.3:5000', caPem: 'a CA\n' },
  ])
  for (const [name, text] of inputs) await upload(`/run/golden-bake/${name}`, text)
  await writeTar(rig.path('rootfs.tar.gz'), [
    ...(await guestFiles()),
    { path: 'opt/golden/node/bin/node', mode: 0o755, content: Buffer.from('\x7fELF stand-in') },
    { path: 'opt/golden/language-servers/bin/pyright-langserver', mode: 0o755, content: Buffer.from('#!/bin/sh\n') },
  ])
  await upload('/var/tmp/golden-bake/golden-rootfs.tar.gz', await readFile(rig.path('rootfs.tar.gz')))
  return { machine, script, run: (command) => rig.run(client, `sudo -n sh -c '${command.replaceAll("'", `'\\''`)}'`) }
}
