/** Turns what Proxmox and Packer say into what a user can do about it. */
import { Failure } from '../core/failure.ts'
import type { FailureCode } from '../core/failures.ts'
import { deniedIn, saysFull, storageTrouble } from '../proxmox/conditions.ts'
import type { Site } from '../settings/site.ts'

/** Storage trouble by its own name; every other error stays as it is. */
export function explainStorage(site: Site, error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { disks, iso } = site.proxmox.storage
  const missing = storageTrouble(error.message)
  if (missing) {
    const setting = missing.storage === iso ? 'iso' : 'disks'
    return new Failure(
      'storage-missing',
      `storage ${missing.storage} ${missing.trouble} on node ${site.proxmox.node}`,
      `Correct proxmox.storage.${setting} in site.ts, or run "npx golden setup".`,
      { cause: error },
    )
  }
  // A token has no rights on a storage that setup has not seen: PVE says so before it says that there is none.
  const refused = /^\/storage\/([^/]+)/.exec(deniedIn(error.message)?.path ?? '')?.[1]
  if (refused === disks || refused === iso) {
    return new Failure(
      'storage-missing',
      `storage ${refused} is not there on node ${site.proxmox.node}, or the token may not use it`,
      `Correct proxmox.storage.${refused === iso ? 'iso' : 'disks'} in site.ts, or run "npx golden setup" again.`,
      { cause: error },
    )
  }
  if (saysFull(error.message)) {
    const message = error instanceof Failure && error.code === 'storage-full' ? error.message : `a storage is full: ${error.message}`
    return new Failure(
      'storage-full',
      message,
      `Make room on ${disks} or ${iso}: remove images that are no longer needed, then run the same command again.`,
      { cause: error },
    )
  }
  return error
}

export interface BuildOutcome {
  readonly exitCode: number
  /** Lines of the guest and of Packer, oldest first, secrets taken out. */
  readonly lines: readonly string[]
  /** Packer's own error messages. */
  readonly errors: readonly string[]
  /** Every package that was there in the end, as dpkg told (packages.sh). */
  readonly packages: Readonly<Record<string, string>>
  /** What they take together (`packages`), and each container image by its service, in bytes (sizes.sh). */
  readonly sizes: Readonly<Record<string, number>>
  /** Lines of the checks in the guest that failed: `NAME: what was found`. */
  readonly failedChecks: readonly string[]
  /** `CODE: text` of a script that knows what went wrong. */
  readonly failure: { readonly code: string; readonly text: string } | undefined
}

/** What scripts in the build VM know by a word of theirs (packer/provision). */
const ofScripts: Readonly<Record<string, { readonly code: FailureCode; readonly hint: string }>> = {
  'first-boot': {
    code: 'bake-first-boot',
    hint: 'See the lines above; does the base image have cloud-init, and is image.build.address free?',
  },
  'package-lock': {
    code: 'bake-package-lock',
    hint: 'See the lines above for which one it is. Bake again; if it happens every time, the base image upgrades itself by something that packer/provision/unwanted.sh does not know: name its unit in images/packages.json.',
  },
  'packages-differ': {
    code: 'bake-packages-differ',
    hint: 'An archive without snapshots has moved on, or apt decides otherwise. "npx golden lock" takes what there is now; "npx golden lock --packages" also where nothing is newer. Then bake again.',
  },
  'packages-gone': {
    code: 'bake-packages-gone',
    hint: '"npx golden lock --packages" takes what there is now, then bake again. Or name a service that still has it in image.archives of site.ts.',
  },
  'archive-signature': {
    code: 'bake-archive-signature',
    hint: 'Somebody may have altered it on the way: nothing of it was installed. Find out who; image.archives in site.ts names other servers.',
  },
  'image-altered': { code: 'bake-image-altered', hint: 'Do not use this registry until you know why.' },
  'container-run': {
    code: 'bake-container-run',
    hint: 'Whatever compose.yaml wants of an image it has to give: another tag in images.lock.json ("npx golden lock"), or another base image if it is this VM that lacks something (a program of Docker\'s, a feature of the kernel).',
  },
  'mapped-mount': {
    code: 'bake-mapped-mount',
    hint: 'It takes a Linux kernel from 5.12 and util-linux from 2.39, as in Ubuntu 24.04 and Debian 13: use such a base image (image.base).',
  },
  inventory: {
    code: 'bake-inventory',
    hint: 'See the lines above: it is Docker or tar in the build VM that says so. Bake again; if it happens every time, another tag in images.lock.json ("npx golden lock").',
  },
  'image-pull': {
    code: 'bake-image-pull',
    hint: 'Is the image still in its registry, and does the build VM reach it (network.gateway, network.nameservers)? "npx golden lock" looks up the digests again.',
  },
}

/** Why Packer did not end well. */
export function explainBuild(site: Site, outcome: BuildOutcome): Failure {
  const { build } = site.image
  if (outcome.failedChecks.length > 0) {
    const list = outcome.failedChecks.map((line) => `  ${line}`).join('\n')
    return new Failure(
      'bake-check-failed',
      `the image failed ${outcome.failedChecks.length === 1 ? 'a check' : `${outcome.failedChecks.length} checks`} and was thrown away:\n${list}`,
      'Mend what the check names: a package, the base image, or a file of images/rootfs. Then bake again.',
    )
  }
  const said = outcome.errors.join('\n')
  // In the guest, not on Proxmox: a script's own words, or a file that Packer could not put there.
  const inGuest =
    outcome.failure !== undefined ||
    /Script (exited with non-zero exit status|disconnected)|upload failed|error uploading|scp: /i.test(said)
  const full = inGuest ? outcome.lines.find((line) => saysFull(line) || /enough free space/i.test(line)) : undefined
  if (full !== undefined) {
    return new Failure(
      'bake-disk-full',
      `the build VM's disk of ${build.diskGiB} GiB is full: ${full}`,
      `Set image.build.diskGiB in site.ts to more than ${build.diskGiB}, then bake again.`,
    )
  }
  if (outcome.failure !== undefined) {
    const known = ofScripts[outcome.failure.code]
    const marker = outcome.lines.findIndex((line) => line.includes('golden-failure '))
    const before = outcome.lines
      .slice(0, marker === -1 ? undefined : marker)
      .slice(-8)
      .map((line) => `  ${line}`)
      .join('\n')
    return new Failure(
      known?.code ?? 'bake-script-failed',
      `${outcome.failure.text}; before that the build VM said:\n${before}`,
      known?.hint ?? 'See the lines above.',
    )
  }
  if (/Timeout waiting for SSH|timeout waiting for SSH/i.test(said)) {
    return new Failure(
      'bake-no-ssh',
      `the build VM did not answer by SSH at ${build.address} within ${build.sshTimeoutMinutes} minutes`,
      `Is ${build.address} free and reachable from here (proxmox.bridge, proxmox.vlan, network.gateway, proxmox.socksProxy)? A slow host may need a larger image.build.sshTimeoutMinutes.`,
    )
  }
  // What Packer says after a script's own last words is about its cleaning up.
  const end = outcome.lines.findIndex((line) => line.startsWith('Provisioning step had errors'))
  const last = outcome.lines
    .slice(0, end === -1 ? undefined : end)
    .slice(-12)
    .map((line) => `  ${line}`)
    .join('\n')
  if (/Script exited with non-zero exit status|Script disconnected/i.test(said)) {
    return new Failure(
      'bake-script-failed',
      `a step in the build VM failed:\n${last}`,
      'Mend what its last lines say (a package mirror that does not answer is the usual reason), then bake again.',
    )
  }
  const translated = explainStorage(site, new Error(said))
  if (translated instanceof Failure) return translated
  if (
    /connection refused|connection reset|no route to host|i\/o timeout|TLS handshake timeout|broken pipe|server closed idle connection|(^|: |unexpected )EOF\b|\b(50[234]|59[5679]) [A-Z]/m.test(
      said,
    )
  ) {
    return new Failure(
      'proxmox-unreachable',
      `Proxmox did not answer Packer, which does not wait for it: ${said.trim()}`,
      'Once it answers again, as after an update of Proxmox, run "npx golden bake" again. What this one had begun is removed.',
    )
  }
  if (outcome.exitCode > 128 && said === '') {
    return new Failure(
      'packer-killed',
      `Packer was ended from outside (exit code ${outcome.exitCode})${last === '' ? '' : `:\n${last}`}`,
      'If nobody did that, the computer may have run out of memory. Run the same command again.',
    )
  }
  return new Failure(
    'packer-failed',
    `Packer ended with exit code ${outcome.exitCode}:\n${(said === '' ? last : said).trim()}`,
    'Mend what it says, then run the same command again.',
  )
}
