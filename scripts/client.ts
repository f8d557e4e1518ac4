/** `golden client NAME`: ready-made settings for an AI coding client. */
import { resolve } from 'node:path'
import { Failure } from '../core/failure.ts'
import { accessOf, lanNotes, notGiven } from '../clients/deployed.ts'
import { publicUrl } from '../clients/url.ts'
import { readPins } from '../releases/pins.ts'
import { resolveSecret } from '../settings/resolve.ts'
import type { Site } from '../settings/site.ts'
import { secretFiles } from '../settings/secrets/places.ts'
import { findUser } from './find-user.ts'
import { openSite } from './open.ts'
import type { Verb } from './verb.ts'

export const clientNames = ['cline', 'claude-code', 'cursor'] as const
export type ClientName = (typeof clientNames)[number]

export const verb: Verb = {
  operands: `[${clientNames.join('|')}]`,
  options: { user: { type: 'string' }, 'show-password': { type: 'boolean' }, check: { type: 'boolean' } },
  optionHelp: {
    user: 'which of serena.users; default the first',
    check: 'do what a client does, from this computer, and say which step fails and why; by what is deployed',
    'show-password': 'put the real credentials in, instead of telling where they are',
  },
  async run(context) {
    const {
      arguments: [client],
      flags,
      env,
      progress,
      result,
    } = context
    const { site, folder } = await openSite(env)
    // Its libraries take their time to load.
    if (flags.check === true) return (await import('./check-client.ts')).checkFromHere({ site, folder }, context)
    const name = clientNames.find((known) => known === client)
    if (name === undefined)
      throw new Failure(
        'client-unknown',
        client === undefined ? 'which client?' : `there are no settings for "${client}"`,
        `Say one of: ${clientNames.join(', ')}.`,
      )
    const user = findUser(site, flags.user)
    const password = flags['show-password'] === true ? await resolveSecret(user.password, 'serena.users', folder, env) : undefined
    const credentials = password === undefined ? undefined : Buffer.from(`${user.name}:${password}`).toString('base64')
    const settings = clientSettings(site, name, credentials)
    const stale = password === undefined ? undefined : await notGiven(folder, accessOf(site, await readPins(folder)), user.name, password)
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
      ...lanNotes(accessOf(site, await readPins(folder))),
    ]
    result([settings.text, '', ...notes.map((note) => `# ${note}`)].join('\n'), { client: name, settings: settings.document, notes })
    return 0
  },
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
