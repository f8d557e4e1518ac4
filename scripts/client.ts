/** `golden client NAME`: ready-made settings for an AI coding client. */
import { homedir } from 'node:os'
import { resolve } from 'node:path'
import { basic, placeholder, variable } from '../clients/credential.ts'
import { accessOf, differsFromSite, lanNotes, notGiven, type Access } from '../clients/deployed.ts'
import { clientNames, clients, type ClientName, type Wanted } from '../clients/known.ts'
import type { Place } from '../clients/place.ts'
import { renderClient } from '../clients/render.ts'
import { pathOf, publicUrl } from '../clients/url.ts'
import { Failure } from '../core/failure.ts'
import { shellWord } from '../core/shell-word.ts'
import { readPins } from '../releases/pins.ts'
import { nameSecret, resolveSecret } from '../settings/resolve.ts'
import { secretFiles } from '../settings/secrets/places.ts'
import { afterClient } from './after.ts'
import { findUser } from './find-user.ts'
import { openSite } from './open.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  operands: `[${clientNames.join('|')}]`,
  options: {
    user: { type: 'string' },
    'show-password': { type: 'boolean' },
    check: { type: 'boolean' },
    write: { type: 'boolean' },
    plan: { type: 'boolean' },
    file: { type: 'string' },
    name: { type: 'string' },
    replace: { type: 'boolean' },
  },
  optionHelp: {
    user: 'which of serena.users; default the first',
    'show-password': 'put the real credentials in, instead of telling where they are',
    check: 'do what a client does, from this computer, and say which step fails and why; by what is deployed',
    write: "merge it into the client's own file, with a backup beside it; what is there stays as it is, comments too",
    plan: 'with --write: show what would be changed, and change nothing',
    file: "another file than the client's own for all projects, e.g. .mcp.json or .vscode/mcp.json of a project",
    name: 'what the server is called there; default serena',
    replace: 'with --write: take the place of another server of that name',
  },
  changes: "nothing; with --write the client's own file, whose former content stays beside it",
  examples: [
    ['npx golden client claude-code', 'what to put where, and where the password is'],
    ['npx golden client cursor --write', "merged into the client's own file"],
    ['npx golden client vscode --write --plan --file .vscode/mcp.json', "what would be changed in a project's own file"],
    ['npx golden client --check', 'what a client sees from this computer'],
  ],
  completes: { operands: clientNames, options: { file: 'file' } },
  async run(context) {
    const { flags, env, progress, result } = context
    const { site, folder } = await openSite(env)
    // Its libraries take their time to load.
    if (flags.check === true) return (await import('./check-client.ts')).checkFromHere({ site, folder }, context)
    const name = nameOf(context.arguments[0])
    const client = clients[name]
    const access = accessOf(site, await readPins(folder))
    const user = findUser(site, flags.user)
    const password = flags['show-password'] === true ? await resolveSecret(user.password, 'serena.users', folder, env) : undefined
    const stale = password === undefined ? undefined : await notGiven(folder, access, user.name, password)
    const isOther = access.ownCertificate || access.acme !== undefined
    const root = isOther ? access.acme?.rootFile : secretFiles.ca
    const caFile = root === undefined ? undefined : resolve(folder, root)
    const wanted: Wanted = {
      ...wayIn(name, access),
      ...(password === undefined ? {} : { credential: basic(user.name, password) }),
      ...(caFile === undefined ? {} : { caFile }),
    }
    const deployed = access.deployed !== undefined
    const file = fileOf(name, flags.file, { platform: process.platform, home: homedir(), env })
    const secret = user.password.kind === 'file' ? `"$(cat ${shellWord(resolve(folder, user.password.path))})"` : 'PASSWORD'
    const encode = `printf '%s:%s' ${shellWord(user.name)} ${secret} | base64 | tr -d '\\n'`
    const notes = [
      ...(stale === undefined ? [] : [stale]),
      ...differsFromSite(access, site),
      ...(password === undefined
        ? [
            {
              variable: `${client.title} takes the password from its environment: export ${variable}="Basic $(${encode})"`,
              prompt: `${client.title} asks for the credentials when it first connects; this prints them: ${encode}`,
              placeholder: `${placeholder} stands for Basic, a blank, and what this prints: ${encode}; --show-password puts it in.`,
            }[client.without],
            ...(user.password.kind === 'file' ? [] : [`The password of ${user.name} is in ${nameSecret(user.password)}.`]),
          ]
        : []),
      ...(caFile === undefined
        ? []
        : [`The certificate is by ${isOther ? 'a CA that systems do not know' : "the site's own CA"}. ${client.trust(caFile)}.`]),
      ...lanNotes(access),
    ]
    const say = (): void => {
      for (const note of notes) (note === stale ? progress.warn : progress.info)(note)
    }
    if (flags.write === true || flags.plan === true) {
      if (file === undefined) throw new Failure('usage', `there is no file of ${client.title} that is known`, 'Name it with --file.')
      const { writeClient } = await import('./write-client.ts')
      return writeClient({ name, wanted, file, deployed, notes, say }, context)
    }
    const { text, document } = renderClient(name, wanted, typeof flags.name === 'string' ? flags.name : undefined)
    progress.info(file === undefined ? 'It goes where the client has its MCP servers.' : `It goes into ${file}; --write merges it in.`)
    say()
    result(text, { client: name, file: file ?? null, settings: document, notes }, afterClient(name, { deployed, file, did: 'print' }))
    return 0
  },
}

function nameOf(word: string | undefined): ClientName {
  const name = clientNames.find((known) => known === word)
  if (name !== undefined) return name
  throw new Failure(
    'client-unknown',
    word === undefined ? 'which client?' : `there are no settings for "${word}"`,
    `Say one of: ${clientNames.join(', ')}; json is for every other.`,
    word === undefined ? {} : { unknown: { said: word, known: clientNames } },
  )
}

/** Streamable HTTP where it is deployed: it survives a rollout. @throws Failure `client-without-sse` */
function wayIn(name: ClientName, access: Access): Pick<Wanted, 'url' | 'transport'> {
  const { title, transports = ['streamable-http', 'sse'] } = clients[name]
  const transport = (['streamable-http', 'sse'] as const).find((one) => access.transports.includes(one) && transports.includes(one))
  if (transport !== undefined) return { transport, url: publicUrl(access, pathOf(transport)) }
  throw new Failure(
    'client-without-sse',
    `${title} does not speak SSE, and nothing else is deployed`,
    `Add 'streamable-http' to serena.transports, then "npx golden rollout".`,
  )
}

function fileOf(name: ClientName, given: unknown, place: Place): string | undefined {
  if (typeof given !== 'string') return clients[name].file?.(place)
  return resolve(given)
}
