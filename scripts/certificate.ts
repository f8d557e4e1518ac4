/** `golden certificate`: has the slot that serves ask its ACME server at once. */
import { askForCertificate, releaseWithAcme } from '../rollout/ask-certificate.ts'
import { readPins } from '../releases/pins.ts'
import { openProxmox } from './open.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  options: {},
  changes: 'what the slot that serves shows to clients, and its account and certificate on the data disk; nothing in the site folder',
  examples: [['npx golden certificate', 'at once, after what was in the way has been mended; within the limits of the server']],
  async run({ env, progress, signal, result }) {
    const { proxmox, folder } = await openProxmox(env, { progress, signal })
    try {
      const release = releaseWithAcme(await readPins(folder))
      const certificate = await progress.step(`${release.vm.name} asks ${release.seed.acme?.server ?? ''}`, () =>
        askForCertificate(proxmox, release, signal),
      )
      const { shown, lastError, nextTry } = certificate
      const has =
        shown === undefined ? "People see the one by the site's own CA" : `People see one by ${shown.issuer}, until ${shown.until}`
      result(
        lastError === undefined
          ? `${has}; the server is asked again at ${nextTry ?? 'its time'}.`
          : `There is no other certificate: ${lastError}\n${has}. The next try is at ${nextTry ?? 'its time'}; docs/certificates.md has what mends it.`,
        { vm: release.vm.name, certificate },
      )
      return lastError === undefined ? 0 : 1
    } finally {
      proxmox.close()
    }
  },
}
