/** The Proxmox host: whether it answers, is the right one, lets the token in, and is of a version that works. */
import { readFile } from 'node:fs/promises'
import { Failure } from '../core/failure.ts'
import { verifiedBy } from '../proxmox/handshake.ts'
import { identityProblem, isCertificate } from '../proxmox/identity.ts'
import { releaseOf, requireAnswer } from '../proxmox/nodes.ts'
import { nodeProblem } from '../proxmox/place.ts'
import { isOnline } from '../proxmox/pool-members.ts'
import { requireRelease } from '../proxmox/version.ts'
import { pinnedCa } from '../settings/connect.ts'
import type { Check } from './check.ts'
import { fine, ofError, warn } from './line.ts'

/** Proxmox takes three seconds to refuse a token. */
const tokenMs = 6000
/** Clocks that differ by more are wrong: certificates and signatures have their times, and claims on groups theirs. */
const clockSeconds = 60
/** Proxmox renews its own certificates a fortnight before they end (pveupdate). */
const renewedByDays = 10
const day = 86_400_000

export const hostChecks: readonly Check[] = [
  {
    id: 'api',
    section: 'Proxmox',
    looks: 'something answers at `proxmox.url`, and speaks TLS',
    mends: '`proxmox.url`, the network, the host',
    needs: ['site'],
    limit: 'api',
    async run(facts) {
      const { url } = (await facts.site()).site.proxmox
      const { from } = await facts.presented()
      return fine(`${url} answers; this computer comes from ${from.replace(/^::ffff:/, '')}`)
    },
  },
  {
    id: 'certificate',
    section: 'Proxmox',
    looks: 'its certificate is for the name in `proxmox.url`, is verified by what is pinned or trusted, and has days left',
    mends: '`npx golden setup`, or one of the names that the line lists',
    needs: ['api'],
    limit: 'api',
    async run(facts) {
      const { site, folder } = await facts.site()
      const { url } = site.proxmox
      const { chain, trusted } = await facts.presented()
      const wrong = identityProblem(url, chain[0])
      if (wrong !== undefined) return ofError(wrong)
      const file = pinnedCa(site, folder)
      const pem = file === undefined ? undefined : await readFile(file, 'utf8')
      if (!(pem === undefined ? trusted : isCertificate(pem) && (await verifiedBy(url, pem, facts.signal))))
        return ofError(
          new Failure(
            'certificate-not-trusted',
            pem === undefined
              ? `nothing is pinned for ${url} yet, and this computer trusts nobody who has signed its certificate`
              : `what is pinned in ${file ?? ''} does not verify the certificate of ${url}`,
            pem === undefined
              ? 'Run "npx golden setup": it shows the fingerprint, and pins what signed it.'
              : 'If the host or its certificate changed on purpose, remove that file and run "npx golden setup" to see and pin the new one; otherwise somebody may be in between.',
          ),
        )
      const daysLeft = Math.floor((chain[0].validToDate.getTime() - facts.now().getTime()) / day)
      const how = pem === undefined ? 'by a CA that this computer trusts' : 'by what is pinned'
      return daysLeft < renewedByDays
        ? warn(
            `verified ${how}, but it ends in ${daysLeft} days, and Proxmox has not renewed it`,
            '"pvecm updatecerts --force" on the node makes its own anew; another one is renewed where it came from (Proxmox, node, System, Certificates).',
          )
        : fine(`verified ${how}, ${daysLeft} days left`)
    },
  },
  {
    id: 'token',
    section: 'Proxmox',
    looks: "the API token's secret is there, and Proxmox accepts it",
    mends: '`npx golden setup`, or with `--new-token`',
    needs: ['certificate'],
    limit: tokenMs,
    async run(facts) {
      await requireAnswer(await facts.proxmox())
      return fine((await facts.site()).site.proxmox.tokenId)
    },
  },
  {
    id: 'version',
    section: 'Proxmox',
    looks: 'Proxmox VE is 8.4 or newer, and the cluster is not between two versions',
    mends: 'an upgrade of all nodes',
    needs: ['token'],
    limit: 'api',
    async run(facts) {
      const { node } = (await facts.site()).site.proxmox
      const api = await facts.release()
      requireRelease(api, undefined)
      if (isOnline(await facts.nodes(), node)) requireRelease(api, await releaseOf(await facts.proxmox(), node))
      return api === undefined
        ? warn('it does not say its version', 'See what answers at proxmox.url.')
        : fine(`Proxmox VE ${api.major}.${api.minor}`)
    },
  },
  {
    id: 'clock',
    section: 'Proxmox',
    looks: `this computer's clock and the host's differ by ${clockSeconds} s at most: certificates, signatures and claims on groups go by them`,
    mends: '`timedatectl set-ntp true` where it is wrong',
    needs: ['token'],
    limit: 'api',
    async run(facts) {
      const proxmox = await facts.proxmox()
      await requireAnswer(proxmox)
      const seconds = Math.round((facts.now().getTime() - proxmox.now().getTime()) / 1000)
      if (Math.abs(seconds) <= clockSeconds) return fine(`to ${Math.max(2, Math.abs(seconds))} s as this computer's`)
      return warn(
        `this computer's clock is ${Math.abs(seconds)} s ${seconds < 0 ? 'behind' : 'ahead of'} the host's`,
        'Set the one that is wrong: "timedatectl set-ntp true" here, or on the node, where chrony keeps it.',
      )
    },
  },
  {
    id: 'node',
    section: 'Proxmox',
    looks: '`proxmox.node` is in the cluster, and on',
    mends: '`proxmox.node`, or the node',
    needs: ['token'],
    limit: 'api',
    async run(facts) {
      const { node } = (await facts.site()).site.proxmox
      const problem = nodeProblem(node, await facts.nodes())
      return problem === undefined ? fine(`${node} is online`) : ofError(problem)
    },
  },
]
