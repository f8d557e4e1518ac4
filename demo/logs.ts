/** Log lines on their way: Serena, nginx and the journal of the Serena VM → the log agent → Loki, found by LogQL. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { groupWithRole, type Site } from '../settings/site.ts'
import { secretFiles } from '../settings/secrets/places.ts'
import { ask } from '../clients/web.ts'
import { publicUrl } from '../clients/url.ts'
import { leaveMark, type OutsideAccess } from './access.ts'
import { eventually, expectThat, type Checks } from './checks.ts'
import { inGuest, slotctl, type Guest } from './survive.ts'

export interface LogPlace {
  readonly site: Site
  readonly guests: Readonly<Record<string, Guest>>
  readonly access: OutsideAccess
  readonly signal: AbortSignal
}

export async function checkLogs(checks: Checks, { site, guests, access, signal }: LogPlace, label: string): Promise<void> {
  const logging = guests[groupWithRole(site, 'logging')?.name ?? '']
  const serena = guests[groupWithRole(site, 'serena')?.name ?? '']
  if (logging === undefined || serena === undefined) return
  const find = async (query: string): Promise<void> => {
    // Measured from the line's being written; what Serena and nginx write is buffered nowhere for longer.
    await eventually(
      async () => {
        const answer = await slotctl(logging, 'logs', query)
        expectThat(
          Array.isArray(answer.streams) && answer.streams.length > 0,
          `nothing found for ${query}: ${JSON.stringify(answer).slice(0, 300)}`,
        )
      },
      { timeoutMs: 30_000, everyMs: 1000, signal },
    )
  }
  const mark = `l${Date.now().toString(36)}`
  await checks.check(`${label}: a line of Serena is found by LogQL within 30 s`, async () => {
    await leaveMark(access, mark)
    await find(`{container_name="serena_mcp"} |= "check_${mark}"`)
  })
  await checks.check(`${label}: a line of nginx is found by LogQL within 30 s`, async () => {
    await ask(publicUrl(site, `/golden-${mark}`), { caPem: await readFile(join(access.folder, secretFiles.ca), 'utf8') })
    await find(`{container_name="nginx_proxy"} |= "/golden-${mark}"`)
  })
  await checks.check(`${label}: a line of the journal is found by LogQL within 30 s`, async () => {
    await inGuest(serena, `logger -t golden-check ${mark}`)
    await find(`{job="journal"} |= "${mark}"`)
  })
}
