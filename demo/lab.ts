/** `golden lab`: a Proxmox-compatible API over local guests, prepared by the ordinary setup, until Ctrl-C. */
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { stateFolder } from '../core/folders.ts'
import type { QemuDriver } from '../lab/compute/qemu/driver.ts'
import { startLab, type Lab } from '../lab/index.ts'
import { claimFolder } from '../lab/state/claim.ts'
import { connect } from '../proxmox/client.ts'
import { Failure } from '../core/failure.ts'
import { applySetup, observeSetup, planSetup } from '../proxmox/setup.ts'
import { loadSite } from '../settings/load.ts'
import { groupWithRole } from '../settings/site.ts'
import { initSecrets } from '../scripts/init.ts'
import { startAcmeServer } from './acme-server.ts'
import { guestContents } from './guest-contents.ts'
import { emptyBase, labSite, writeLabSite } from './lab-site.ts'
import { askedFile } from './recording.ts'
import { servePackages, type PackageServer } from './package-server.ts'
import { prepareImages, type LabImages } from './images.ts'
import { ofLab } from './lab-failure.ts'
import { wantedSetup } from '../scripts/setup.ts'
import { writeSecret } from '../settings/secrets/files.ts'
import { secretFiles } from '../settings/secrets/places.ts'
import type { Verb } from '../scripts/verb.ts'

export const verb: Verb = {
  options: {
    state: { type: 'string' },
    port: { type: 'string' },
    driver: { type: 'string', default: 'qemu' },
    bare: { type: 'boolean' },
    'for-replay': { type: 'boolean' },
    record: { type: 'boolean' },
  },
  optionHelp: {
    state: `folder that keeps everything; default ${labFolder(process.env)}`,
    port: 'port of the API on 127.0.0.1; default the last one, or a free one',
    driver: 'qemu (real guests; root) or fake (models of guests)',
    bare: 'without base image, container images and registry: starts in seconds',
    'for-replay': 'set up what the recorded answers of a real Proxmox are compared with',
    record: `note in ${askedFile} there what guests are asked and answer, without secrets`,
  },
  changes:
    'this computer: the folder of the lab, and with real guests VMs, a network namespace and its firewall, which are gone at the end',
  examples: [
    ['npx golden lab --driver fake', 'models of guests, in a second, without root'],
    ['npx golden lab', 'real guests, as root'],
  ],
  completes: { options: { driver: ['qemu', 'fake'], state: 'folder' } },
  async run({ flags, env, progress, signal, result }) {
    const stateDir = resolve(typeof flags.state === 'string' ? flags.state : labFolder(env))
    const driver = flags.driver
    if (driver !== 'qemu' && driver !== 'fake') throw new Failure('usage', `--driver is "${String(driver)}"`, 'Say qemu or fake.')
    const port = Number(flags.port ?? 0)
    if (!Number.isInteger(port) || port < 0 || port > 65535)
      throw new Failure('usage', `--port is "${String(flags.port)}"`, 'Say a port number, 0 for a free one.')
    const forReplay = flags['for-replay'] === true
    // Before the images, which may take minutes: until then a killed lab's connection.json would look like a ready one.
    const claim = await ofLab(() => claimFolder(stateDir))
    let images: LabImages | undefined
    try {
      if (driver === 'qemu' && flags.bare !== true && !forReplay) images = await prepareImages(progress, signal)
      signal.throwIfAborted()
    } catch (error) {
      await claim.release()
      throw error
    }
    const lab = await progress.step(`start the lab (${driver} guests) in ${stateDir}`, (note) =>
      ofLab(() =>
        startLab({
          stateDir,
          driver,
          port,
          forReplay,
          claim,
          contents: guestContents,
          log: note,
          ...(flags.record === true ? { record: join(stateDir, askedFile) } : {}),
          ...(images ? { startRegistry: images.startRegistry } : {}),
        }),
      ),
    )
    let packages: (PackageServer & { readonly host: string }) | undefined
    let acme: Awaited<ReturnType<typeof startAcmeServer>> | undefined
    const ended = new Promise<string>((done) => {
      if (signal.aborted) done('stopped')
      signal.addEventListener('abort', () => done('stopped by a signal'))
      void lab.stopRequested.then(() => done('stopped through the control socket'))
    })
    try {
      const token = await progress.step('set up as on any Proxmox', () => prepareLab(lab, stateDir, images))
      // The API is in the LAN too, as a node's would be: so that what keeps guests away from it is a firewall.
      if (lab.driver.kind === 'qemu') {
        const { network } = lab.driver as QemuDriver
        await network.publish(network.layout.admin, 8006, Number(new URL(lab.connection.apiUrl).port))
        const host = `${network.layout.registry}:${packagesPort}`
        const served = await servePackages(join(stateDir, packagesFolder), host)
        packages = { ...served, host }
        await network.publish(network.layout.registry, packagesPort, served.port)
      }
      // What a person does on their router.
      const site = await loadSite(join(stateDir, 'site'))
      const service = groupWithRole(site, 'serena')?.group.service
      await lab.network.setForwards({ target: service ?? null })
      if (images !== undefined && lab.driver.kind === 'qemu') {
        const { enter, layout } = (lab.driver as QemuDriver).network
        const hosts = service === undefined ? {} : { [site.public.host]: service }
        acme = await startAcmeServer({ pebble: images.pebble, enter, address: layout.registry, stateDir, hosts, log: progress.info })
      }
      const connection = {
        ...lab.connection,
        token,
        site: join(stateDir, 'site'),
        ...(acme === undefined ? {} : { acme: { directory: acme.directory, management: acme.management, caFile: acme.caFile } }),
        // What somebody puts into the folder is an archive of packages, for guests by its address, for this computer by the proxy.
        ...(packages === undefined
          ? {}
          : {
              packages: {
                folder: join(stateDir, packagesFolder),
                url: `http://${packages.host}`,
                proxy: `http://127.0.0.1:${packages.port}`,
              },
            }),
      }
      await writeSecret(join(stateDir, 'connection.json'), `${JSON.stringify(connection, null, 2)}\n`)
      result(describe(connection, join(stateDir, 'connection.json')), connection)
      progress.info(`the lab is ${await ended}`)
    } finally {
      await acme?.close()
      await packages?.close()
      await progress.step('stop the lab', () => lab.close())
    }
    return 0
  },
}

/** Of the packages that the lab itself offers. */
const packagesPort = 8080
const packagesFolder = 'packages'

/** Where a lab lives unless told otherwise. */
export function labFolder(env: NodeJS.ProcessEnv): string {
  return join(stateFolder(env), 'lab')
}

/** A site folder for this lab, and the administrator's part of it with the lab's root token. @returns the least-privilege token, `id=secret` */
async function prepareLab(lab: Lab, stateDir: string, images: LabImages | undefined): Promise<string> {
  const folder = join(stateDir, 'site')
  const base = images?.base ?? (await emptyBase(join(stateDir, 'base.qcow2')))
  // A port that is taken by now is another one, so the site is written anew; its secrets and pins stay.
  await writeLabSite(
    folder,
    labSite(lab.connection, {
      name: 'lab',
      layout: 'two-vms',
      base,
      isoPath: join(stateDir, 'golden-iso'),
      ...(images === undefined ? {} : { archives: images.archives }),
    }),
    lab.connection,
  )
  const site = await loadSite(folder)
  await initSecrets(site, folder, new Date())
  if (images)
    await writeFile(join(folder, 'images.lock.json'), `${JSON.stringify(images.lock(lab.connection.registry?.host ?? ''), null, 2)}\n`)
  const [id, secret] = lab.connection.rootToken.split(/=(.*)/s) as [string, string]
  const admin = connect({ url: lab.connection.apiUrl, caPem: await readFile(lab.connection.caFile, 'utf8'), auth: { id, secret } })
  try {
    const tokenFile = join(folder, secretFiles.proxmoxToken)
    const wanted = wantedSetup(site, { enableFirewall: false, replaceToken: !existsSync(tokenFile) })
    const plan = planSetup(wanted, await observeSetup(admin, wanted))
    const [problem] = plan.problems
    if (problem) throw new Failure(problem.code, problem.message, problem.hint)
    await applySetup(
      admin,
      plan,
      () => {},
      (made) => writeSecret(tokenFile, `${made}\n`),
    )
    return `${site.proxmox.tokenId}=${(await readFile(tokenFile, 'utf8')).trim()}`
  } finally {
    admin.close()
  }
}

function describe(connection: { apiUrl: string; caFile: string; site: string }, file: string): string {
  return [
    `The lab answers at ${connection.apiUrl} (CA: ${connection.caFile}).`,
    `Tokens, storages, proxy and ports: ${file}`,
    `A site for it:  export GOLDEN_SITE=${connection.site}`,
    'Ctrl-C ends it; what it holds stays for the next start.',
  ].join('\n')
}
