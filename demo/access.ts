/** Checks from outside of the VMs, through the lab's router as from the internet. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { checkClient, getsIn } from '../clients/check.ts'
import { accessOf } from '../clients/deployed.ts'
import { openMcp } from '../clients/mcp.ts'
import { ask } from '../clients/web.ts'
import type { Site } from '../settings/site.ts'
import { secretFiles, secretsFolder } from '../settings/secrets/places.ts'
import { expectEqual, expectThat, type Checks } from './checks.ts'
import { publicUrl } from '../clients/url.ts'
import { readPins } from '../releases/pins.ts'
import { trustOf } from '../clients/look-at-certificate.ts'
import { renderSteps } from '../scripts/check-client.ts'
import { workOnProject } from './work-on-project.ts'

/** An emulated guest takes its time for a first session. */
const slowMs = 300_000

export interface OutsideAccess {
  readonly site: Site
  readonly folder: string
  /** Whom clients trust. @default the site's own CA */
  readonly caPem?: string
}

export async function credentials({ site, folder, caPem }: OutsideAccess): Promise<{ user: string; password: string; caPem: string }> {
  const user = site.serena.users[0]?.name ?? ''
  return {
    user,
    password: (await readFile(join(folder, secretsFolder, 'users', user), 'utf8')).trim(),
    caPem: caPem ?? (await readFile(join(folder, secretFiles.ca), 'utf8')),
  }
}

export async function checkAccess(checks: Checks, access: OutsideAccess, label: string): Promise<void> {
  const { site } = access
  const { user, password, caPem } = await credentials(access)
  const url = publicUrl(site, '/mcp')
  const basic = (secret: string): Record<string, string> => ({
    Authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`,
  })
  await checks.check(`${label}: no and wrong passwords are refused with 401`, async () => {
    expectEqual('without', (await ask(url, { caPem, method: 'POST' })).status, 401)
    expectEqual('wrong', (await ask(url, { caPem, method: 'POST', headers: basic('wrong') })).status, 401)
    // A transport that the site does not have is not there, whoever asks.
    const sse = site.serena.transports.includes('sse') ? 401 : 404
    expectEqual('wrong, on /sse', (await ask(publicUrl(site, '/sse'), { caPem, headers: basic('wrong') })).status, sse)
  })
  await checks.check(`${label}: plain HTTP is sent to HTTPS with 301`, async () => {
    const answer = await ask(`http://${site.public.host}:${site.public.httpPort}/mcp`)
    expectEqual('status', answer.status, 301)
    expectEqual('location', answer.headers.location, url)
  })
  await checks.check(`${label}: golden client --check goes all the way in`, async (note) => {
    const found = accessOf(site, await readPins(access.folder))
    const trust = await trustOf(access.folder, found)
    const steps = await checkClient({ access: found, trust, user, password }, { timeoutMs: slowMs, onStep: ({ name }) => note(name) })
    expectThat(getsIn(steps), renderSteps(steps))
  })
  for (const transport of site.serena.transports) {
    await checks.check(
      `${label}: an MCP client works over ${transport}: initialize, tools/list, write, read, find a symbol`,
      async (note) => {
        const session = await openMcp({ url: publicUrl(site, transport === 'sse' ? '/sse' : '/mcp'), transport, user, password, caPem })
        try {
          expectThat(session.tools.length > 15, `only ${session.tools.length} tools: ${session.tools.join(', ')}`)
          note(`${session.tools.length} tools`)
          await workOnProject(
            session,
            site.serena.projects[0]?.name ?? 'playground',
            `${transport.replace('-', '_')}_${Date.now().toString(36)}`,
          )
        } finally {
          await session.close()
        }
      },
    )
  }
}

/** Writes a file through Serena whose content is looked for again later. */
export async function leaveMark(access: OutsideAccess, mark: string): Promise<void> {
  const session = await openMcp({ url: publicUrl(access.site, '/mcp'), transport: 'streamable-http', ...(await credentials(access)) })
  try {
    await workOnProject(session, access.site.serena.projects[0]?.name ?? 'playground', mark)
  } finally {
    await session.close()
  }
}

export async function findMark(access: OutsideAccess, mark: string): Promise<void> {
  const text = await readProjectFile(access, `check_${mark}.py`)
  expectThat(text.includes(mark), `the file written before says ${JSON.stringify(text.slice(0, 200))}`)
}

/** A file of the first project, as Serena gives it to a client. */
export async function readProjectFile(access: OutsideAccess, path: string): Promise<string> {
  const session = await openMcp({ url: publicUrl(access.site, '/mcp'), transport: 'streamable-http', ...(await credentials(access)) })
  try {
    await session.call('activate_project', { project: access.site.serena.projects[0]?.name ?? 'playground', session: 'golden-check' })
    return await session.call('read_file', { relative_path: path })
  } finally {
    await session.close()
  }
}
