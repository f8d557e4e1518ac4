/** `golden client NAME`: ready-made settings for an AI coding client. */
import { resolve } from 'node:path'
import { Failure } from '../core/failure.ts'
import { digestOf, isComparable, passwordOf, readGivenKey } from '../releases/given.ts'
import { readPins } from '../releases/pins.ts'
import { resolveSecret } from '../settings/resolve.ts'
import { groupWithRole, type Site } from '../settings/site.ts'
import { secretFiles } from '../settings/secrets/places.ts'
import { openSite } from './open.ts'
import type { Verb } from './verb.ts'

export const clientNames = ['cline', 'claude-code', 'cursor'] as const
export type ClientName = (typeof clientNames)[number]

export const verb: Verb = {
  operands: `[${clientNames.join('|')}]`,
  options: { user: { type: 'string' }, 'show-password': { type: 'boolean' } },
  optionHelp: {
    user: 'which of serena.users; default the first',
    'show-password': 'put the real credentials in, instead of telling where they are',
  },
  async run({ arguments: [client], flags, env, progress, result }) {
    const { site, folder } = await openSite(env)
    const name = clientNames.find((known) => known === client)
    if (name === undefined)
      throw new Failure(
        'client-unknown',
        client === undefined ? 'which client?' : `there are no settings for "${client}"`,
        `Say one of: ${clientNames.join(', ')}.`,
      )
    const user = site.serena.users.find((entry) => flags.user === undefined || entry.name === flags.user)
    if (user === undefined)
      throw new Failure(
        'user-unknown',
        `serena.users has no "${String(flags.user)}"`,
        `Say one of: ${site.serena.users.map((entry) => entry.name).join(', ')}.`,
      )
    const password = flags['show-password'] === true ? await resolveSecret(user.password, 'serena.users', folder, env) : undefined
    const credentials = password === undefined ? undefined : Buffer.from(`${user.name}:${password}`).toString('base64')
    const settings = clientSettings(site, name, credentials)
    const stale = password === undefined ? undefined : await notGiven(folder, user.name, password)
    if (stale !== undefined) progress.warn(stale)
    const notes = [
      ...(stale === undefined ? [] : [stale]),
      ...(password === undefined
        ? [`BASE64 stands for the base64 of "${user.name}:PASSWORD"; "npx golden client ${name} --show-password" puts it in.`]
        : []),
      ...(site.public.certificate
        ? []
        : [
            `The certificate is signed by the site's own CA: ${resolve(folder, secretFiles.ca)}. Let the client trust it, e.g. NODE_EXTRA_CA_CERTS=${resolve(folder, secretFiles.ca)}.`,
          ]),
      ...lanNotes(site),
    ]
    result([settings.text, '', ...notes.map((note) => `# ${note}`)].join('\n'), { client: name, settings: settings.document, notes })
    return 0
  },
}

/** For a LAN whose router does not lead people inside to its public address. */
export function lanNotes(site: Site): string[] {
  const service = groupWithRole(site, 'serena')?.group.service
  if (service === undefined || service === site.public.host) return []
  const how = site.public.certificate
    ? `let its DNS, or the hosts file, lead ${site.public.host} to ${service}`
    : `put ${service} in the place of ${site.public.host}${site.public.httpsPort === 443 ? '' : `:${site.public.httpsPort}`}`
  return [`In the site's own LAN, if the public name does not lead anywhere there: ${how}.`]
}

/** A password that is new in the site folder is not the VM's before its next release. @returns what to say about that */
async function notGiven(folder: string, user: string, password: string): Promise<string | undefined> {
  const [group, pins] =
    Object.entries((await readPins(folder)).groups).find(
      ([, { active, slots }]) => active !== undefined && slots[active]?.seed.roles.includes('serena'),
    ) ?? []
  const release = pins?.active === undefined ? undefined : pins.slots[pins.active]
  if (group === undefined || release === undefined) return undefined
  const mend = `"npx golden rollout ${group}" gives it to a new VM.`
  if (release.access !== undefined && !release.access.users.includes(user)) return `The VM does not know user ${user} yet: ${mend}`
  const key = await readGivenKey(folder)
  const { given } = release
  if (key === undefined || given === undefined || !isComparable(given, key)) return undefined
  return given.digests[passwordOf(user)] === digestOf(key, release.id, passwordOf(user), password)
    ? undefined
    : `This password of ${user} is not the one that the VM has, which was given another one: ${mend}`
}

/** The URL that people's clients use, for one transport. */
export function publicUrl(site: Site, path: string): string {
  const port = site.public.httpsPort === 443 ? '' : `:${site.public.httpsPort}`
  return `https://${site.public.host}${port}${path}`
}

/** @param credentials base64 of `user:password`; without it a placeholder stands there */
export function clientSettings(site: Site, client: ClientName, credentials: string | undefined): { text: string; document: unknown } {
  const streamable = site.serena.transports.includes('streamable-http')
  const url = publicUrl(site, streamable ? '/mcp' : '/sse')
  const authorization = `Basic ${credentials ?? 'BASE64'}`
  const json = (document: unknown): { text: string; document: unknown } => ({ text: JSON.stringify(document, null, 2), document })
  switch (client) {
    case 'cline':
      // Without a type Cline means SSE.
      return json({
        mcpServers: {
          serena: { type: streamable ? 'streamableHttp' : 'sse', url, headers: { Authorization: authorization }, timeout: 300 },
        },
      })
    case 'cursor':
      return json({ mcpServers: { serena: { url, headers: { Authorization: authorization } } } })
    case 'claude-code': {
      const text = `claude mcp add --transport ${streamable ? 'http' : 'sse'} serena ${url} --header "Authorization: ${authorization}"`
      return { text, document: { command: text } }
    }
  }
}
