/** What tests share that work with a site in a lab: what `golden setup` and `golden lock` leave behind, and what was shown. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Lock } from '../images/lock.ts'
import type { Lab } from '../lab/index.ts'
import { connect, type Proxmox } from '../proxmox/client.ts'
import type { Progress } from '../core/progress.ts'
import { applySetup, observeSetup, planSetup } from '../proxmox/setup.ts'
import { wantedSetup } from '../scripts/setup.ts'
import type { Site } from '../settings/site.ts'

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`
/** As `golden lock` writes it; fake guests pull whatever they are told to. Without Grafana, as in the lab. */
export const testLock: Lock = {
  schema: 2,
  services: {
    serena: { image: 'ghcr.io/oraios/serena', digest: digest('1') },
    nginx: { image: 'docker.io/library/nginx', digest: digest('2') },
    otelcol: { image: 'docker.io/otel/opentelemetry-collector-contrib', digest: digest('3') },
    loki: { image: 'docker.io/grafana/loki', digest: digest('4') },
  },
}

export interface SetUp {
  readonly caFile: string
  readonly token: { readonly id: string; readonly secret: string }
  /** With that token. */
  readonly proxmox: Proxmox
  /** With the lab's root token: for looking around, and for playing somebody else. */
  readonly root: Proxmox
}

/** Does for a new lab what `golden setup` does. `folder` is the site's. */
export async function setUp(lab: Lab, site: Site, folder: string): Promise<SetUp> {
  const caFile = join(folder, 'secrets', 'proxmox-ca.pem')
  const caPem = await readFile(caFile, 'utf8')
  const [id = '', secret = ''] = lab.connection.rootToken.split(/=(.*)/s)
  const root = connect({ url: lab.connection.apiUrl, caPem, auth: { id, secret } })
  const wanted = wantedSetup(site, { enableFirewall: false, replaceToken: false })
  const token = { id: site.proxmox.tokenId, secret: '' }
  await applySetup(
    root,
    planSetup(wanted, await observeSetup(root, wanted)),
    () => {},
    async (made) => {
      token.secret = made
    },
  )
  return { caFile, token, root, proxmox: connect({ url: lab.connection.apiUrl, caPem, auth: token }) }
}

/** Tells of every text as it is shown, before it is. */
export const watched = (progress: Progress, watch: (text: string) => void): Progress => ({
  step: (title, run) => {
    watch(title)
    return progress.step(title, (note) =>
      run((text) => {
        watch(text)
        note(text)
      }),
    )
  },
  info: (text) => {
    watch(text)
    progress.info(text)
  },
  warn: progress.warn,
})

/** A renderer that writes everything down, in order. */
export function recorder(): { readonly shown: string[]; readonly progress: Progress } {
  const shown: string[] = []
  return {
    shown,
    progress: {
      step: async (title, run) => {
        shown.push(title)
        return run((note) => {
          shown.push(`  ${note}`)
        })
      },
      info: (text) => {
        shown.push(text)
      },
      warn: (text) => {
        shown.push(`warning: ${text}`)
      },
    },
  }
}
