/** `golden init`: a first site folder and every secret that the site needs and that can be made here. */
import { randomBytes, X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { peerName } from '../images/contract/files.ts'
import { allowedSigners, signerLine } from '../images/signature.ts'
import { makeFolder } from '../core/folders.ts'
import { Failure } from '../core/failure.ts'
import { isCertificate } from '../proxmox/identity.ts'
import { lookAtHandedIn, refuseHandedIn } from '../settings/handed-in.ts'
import { readPins } from '../releases/pins.ts'
import { loadSite, siteFolder } from '../settings/load.ts'
import { groupWithRole, ownCertificateOf, slotNames, type Site } from '../settings/site.ts'
import { isKeyOf, makeAuthority, makeSelfSigned, makeServerCertificate, stillServes } from '../settings/secrets/certificates.ts'
import { namesOutside, permittedNames } from '../settings/secrets/name-constraints.ts'
import { requireHidden, writeSecret, writeSecretOnce } from '../settings/secrets/files.ts'
import { generateSshKey } from '../settings/secrets/generate-ssh-key.ts'
import { hostKeyFile, peerFiles, secretFiles, secretsFolder } from '../settings/secrets/places.ts'
import { lockFile } from '../images/lock.ts'
import { usualAdministrator } from './administrator.ts'
import { afterInit } from './after.ts'
import { asksForSite, firstFlags, firstFlagsHelp } from './first-flags.ts'
import type { FirstSite } from './first-site.ts'
import { pinsNow } from './pins-now.ts'
import type { Verb, VerbContext } from './verb.ts'

export const verb: Verb = {
  options: { ...firstFlags, example: { type: 'boolean' }, 'new-ca': { type: 'boolean' } },
  optionHelp: {
    ...firstFlagsHelp,
    example: 'ask nothing: the first site.ts is the example, to be edited, as it is without a terminal',
    'new-ca': "make a new CA for the site's names; every client then has to trust it anew",
  },
  changes:
    'the site folder on this computer (GOLDEN_SITE, or site/): site.ts if there is none, and what is missing below secrets/; no password or key is ever replaced. Of the host it only reads',
  examples: [
    ['npx golden init', 'the first time it asks; later, after every change of names, groups or users in site.ts'],
    ['npx golden init --host 192.168.1.5 --public-host serena.example.org --one-vm', 'the same with answers given: the rest is proposed'],
    ['GOLDEN_SITE=~/homelab/serena npx golden init', 'a site folder of its own, e.g. another repository'],
    ['npx golden init --new-ca', 'the site has other names than its CA may sign for'],
  ],
  async run(context) {
    const { env, flags, progress, result } = context
    const folder = siteFolder(env)
    const isNew = !existsSync(join(folder, 'site.ts'))
    const first = isNew ? await fromHost(folder, context) : undefined
    if (!isNew && asksForSite(context))
      progress.warn(`${join(folder, 'site.ts')} is there, and stays as it is: what the flags say of a new one does nothing`)
    const made = [...(first?.made ?? []), ...(await initFolder(folder))]
    const site = await loadSite(folder)
    const file = join(folder, secretFiles.ca)
    const hadAuthority = existsSync(file)
    made.push(...(await initSecrets(site, folder, new Date(), { newAuthority: flags['new-ca'] === true })))
    refuseHandedIn((await lookAtHandedIn({ site, folder, env, onlyWhatIsHere: true })).problems)
    const before = !made.includes(file) ? 'same' : hadAuthority ? 'replaced' : 'none'
    const notes = authorityNotes(file, await readFile(file, 'utf8'), before)
    const list = made.map((file) => relative(folder, file))
    const text =
      list.length === 0
        ? `Nothing to do: ${folder} has all that the site names.`
        : `Made in ${folder}:\n${list.map((file) => `  ${file}`).join('\n')}`
    const state = {
      folder,
      isExample: (await readFile(join(folder, 'site.ts'), 'utf8')) === (await readFile(exampleFile, 'utf8')),
      hasToken: site.proxmox.token.kind !== 'file' || existsSync(resolve(folder, site.proxmox.token.path)),
      hasLock: existsSync(lockFile(folder)),
      deployment: await pinsNow(folder),
      ...(first === undefined || first.admin === usualAdministrator ? {} : { administrator: first.admin }),
    }
    result(
      [text, ...notes].join('\n\n'),
      { folder, made: list, ...(notes.length === 0 ? {} : { notes }) },
      afterInit(state, list.length > 0),
    )
    return 0
  },
}

const exampleFile = resolve(import.meta.dirname, '../site.example.ts')

/** With somebody to ask, or with flags; else the example is the first site. */
async function fromHost(folder: string, context: VerbContext): Promise<FirstSite | undefined> {
  const isTerminal = process.stdin.isTTY === true && process.stderr.isTTY === true
  if (context.flags.example === true && asksForSite(context))
    throw new Failure('usage', '--example excludes what a site is made of otherwise', 'Leave it out, or the others.')
  if (context.flags.example === true || (!isTerminal && !asksForSite(context))) return undefined
  const [{ firstSite }, { promptsOn }, { realLan }] = await Promise.all([
    import('./first-site.ts'),
    import('./prompts.ts'),
    import('./ask-lan.ts'),
  ])
  const terminal = { input: process.stdin, output: process.stderr }
  const prompts = isTerminal ? promptsOn(terminal, context.signal, 'Nothing was written. Run the same command again.') : undefined
  return firstSite(folder, context, { prompts, lan: realLan })
}

/** What there is to know about the CA, besides that it is there. */
function authorityNotes(file: string, certificate: string, before: 'none' | 'replaced' | 'same'): string[] {
  const fingerprint = `Its SHA-256 fingerprint, to compare with what http://SERVICE/ca shows: ${new X509Certificate(certificate).fingerprint256}`
  if (before === 'none') return [`Clients are to trust ${file}. ${fingerprint}`]
  if (before === 'replaced')
    return [
      `The CA is a new one, because one signs for the names that it was made for alone. Let every client trust ${file} instead of the one before (kept as ca-before.pem). VMs show their new certificates after "npx golden rollout"; logs wait until all are made anew. ${fingerprint}`,
    ]
  if (permittedNames(certificate) === undefined)
    return [
      `${file} may sign for every name there is: it is from an earlier version. "npx golden init --new-ca" makes one for this site's names alone.`,
    ]
  return []
}

/** The folder with a first site file. @returns what was made, absolute paths */
export async function initFolder(folder: string): Promise<string[]> {
  const made: string[] = []
  await makeFolder(folder, 0o700)
  const site = join(folder, 'site.ts')
  if (!existsSync(site)) {
    await copyFile(exampleFile, site)
    made.push(site)
  }
  // In the folders themselves: a .gitignore of the site folder may be somebody's own, and say anything.
  for (const name of [secretsFolder, 'state']) {
    const ignore = join(folder, name, '.gitignore')
    if (existsSync(ignore)) continue
    await makeFolder(join(folder, name), 0o700)
    await writeFile(ignore, '*\n', { mode: 0o600 })
    made.push(ignore)
  }
  return made
}

/**
 * Makes what is missing: the site's CA, certificates for the names in the site, passwords, host keys, what a group's slots know each other by,
 * the key that images are signed with.
 * Never replaces a password or key; a certificate is replaced when the site's names changed or it is about to end, the CA
 * when these names are not its own and nothing runs yet, or on demand.
 * @returns what was made, absolute paths
 */
export async function initSecrets(
  site: Site,
  folder: string,
  now: Date,
  { newAuthority = false }: { readonly newAuthority?: boolean } = {},
): Promise<string[]> {
  const at = (path: string): string => join(folder, path)
  const made: string[] = []
  const once = async (path: string, content: () => string | Promise<string>): Promise<void> => {
    if (await writeSecretOnce(path, content)) made.push(path)
  }
  const wanted = certificateNames(site)
  const before = existsSync(at(secretFiles.ca)) ? await readFile(at(secretFiles.ca), 'utf8') : undefined
  if (before !== undefined && !newAuthority && !isCertificate(before))
    throw new Failure('ca-unreadable', `${at(secretFiles.ca)} is no certificate`, `Put it back from your backup. Without it, ${renewal}`)
  const outside = before === undefined || newAuthority ? [] : namesOutside(before, Object.values(wanted).flat())
  // People trust it: a new one is theirs to ask for. Before anything runs nobody does yet.
  if (outside.length > 0 && (await isDeployed(folder)))
    throw new Failure(
      'ca-too-narrow',
      `the site's CA may not sign for ${outside.join(', ')}: it was made for ${permittedNames(before ?? '')?.join(', ')}`,
      `If the site is to have these names, ${renewal} Then "npx golden rollout": a running VM keeps its certificate.`,
    )
  if (before === undefined || newAuthority || outside.length > 0) {
    const fresh = await makeAuthority(`${site.name} serena-golden CA`, now, authorityNames(site))
    if (before !== undefined) await writeSecret(at(secretFiles.caBefore), before)
    await writeSecret(at(secretFiles.caKey), fresh.key)
    await writeSecret(at(secretFiles.ca), fresh.certificate)
    made.push(at(secretFiles.ca), at(secretFiles.caKey))
  }
  const authority = await readFile(at(secretFiles.ca), 'utf8')
  const certificate = async (path: string, key: string, names: readonly [string, ...string[]]): Promise<void> => {
    if (existsSync(path) && existsSync(key) && stillServes(await readFile(path, 'utf8'), authority, names, now)) return
    // The CA's key is needed only here: who keeps it elsewhere brings it back for this.
    const pair = await makeServerCertificate(
      { certificate: authority, key: await authorityKey(at(secretFiles.caKey), authority, at(secretFiles.ca)) },
      names,
      now,
    )
    await writeSecret(key, pair.key)
    await writeSecret(path, pair.certificate)
    made.push(path, key)
  }
  if (wanted.public) await certificate(at(secretFiles.publicCertificate), at(secretFiles.publicKey), wanted.public)
  if (wanted.logging) {
    await certificate(at(secretFiles.loggingCertificate), at(secretFiles.loggingKey), wanted.logging)
    await once(at(secretFiles.lokiPushPassword), password)
    await once(at(secretFiles.grafanaAdminPassword), password)
  }
  for (const user of site.serena.users) {
    if (user.password.kind !== 'file') continue
    const path = resolve(folder, user.password.path)
    if (!existsSync(path)) requireHidden(folder, path, `the password of ${user.name} (serena.users)`)
    await once(path, password)
  }
  for (const group of Object.keys(site.groups)) {
    const path = at(hostKeyFile(group))
    if (existsSync(path)) continue
    const pair = generateSshKey(`${site.name}-${group}`)
    await writeSecret(`${path}.pub`, pair.publicKey)
    await writeSecret(path, pair.privateKey)
    made.push(path, `${path}.pub`)
  }
  if (site.image.signed) made.push(...(await makeImageKey(site, folder)))
  for (const group of Object.keys(site.groups)) {
    const { certificate, key } = peerFiles(group)
    // One without the other is of no use.
    if (existsSync(at(certificate)) && existsSync(at(key))) continue
    const pair = await makeSelfSigned(peerName, now)
    await writeSecret(at(certificate), pair.certificate)
    await writeSecret(at(key), pair.key)
    made.push(at(certificate), at(key))
  }
  return made
}

/**
 * The key that images are signed with, and the list of those whose signatures count. Whom people have taken off that list
 * stays off it: only with a key that is made here, or without a list, is it written.
 */
async function makeImageKey(site: Site, folder: string): Promise<string[]> {
  const key = resolve(folder, site.image.signingKey)
  const made: string[] = []
  // One that is kept elsewhere is its owner's affair.
  if (!existsSync(key) && site.image.signingKey === secretFiles.imageKey) {
    const pair = generateSshKey(`${site.name}-images`)
    await writeSecret(`${key}.pub`, pair.publicKey)
    await writeSecret(key, pair.privateKey)
    made.push(key, `${key}.pub`)
  }
  const list = join(folder, allowedSigners)
  const before = existsSync(list) ? await readFile(list, 'utf8') : ''
  if ((before !== '' && made.length === 0) || !existsSync(`${key}.pub`)) return made
  const line = signerLine(site.name, await readFile(`${key}.pub`, 'utf8'))
  await writeSecret(list, `${before}${before === '' || before.endsWith('\n') ? '' : '\n'}${line}`)
  return [...made, list]
}

const renewal = '"npx golden init --new-ca" makes a new CA, which every client has to trust anew.'

type Names = readonly [string, ...string[]]

/** The certificates that are made here, and what for. */
function certificateNames(site: Site): { readonly public?: Names; readonly logging?: Names } {
  const serena = groupWithRole(site, 'serena')
  const logging = groupWithRole(site, 'logging')
  return {
    ...(serena && ownCertificateOf(site.public) === undefined ? { public: [site.public.host, serena.group.service] } : {}),
    ...(logging ? { logging: [logging.group.service, ...slotNames.map((slot) => logging.group.slots[slot].address)] } : {}),
  }
}

/** All that the site is called by: more than its certificates have today, and nothing else. */
const authorityNames = (site: Site): string[] => [
  site.public.host,
  ...Object.values(site.groups).flatMap((group) => [group.service, ...slotNames.map((slot) => group.slots[slot].address)]),
]

const isDeployed = async (folder: string): Promise<boolean> =>
  Object.values((await readPins(folder)).groups).some((group) => Object.keys(group.slots).length > 0)

/** @throws Failure when there is none, or another one's */
async function authorityKey(file: string, certificate: string, certificateFile: string): Promise<string> {
  const unusable = (why: string): Failure =>
    new Failure(
      'ca-key-unusable',
      `a certificate has to be signed, but the CA's key ${file} ${why}`,
      `Put it back from your backup. If it is lost, ${renewal}`,
    )
  if (!existsSync(file)) throw unusable('is not there')
  const key = await readFile(file, 'utf8')
  if (!isKeyOf(key, certificate)) throw unusable(`is no key, or not that of ${certificateFile}`)
  return key
}

/** 144 bits; only letters, digits, hyphen and underscore, so that it can be pasted anywhere. */
const password = (): string => `${randomBytes(18).toString('base64url')}\n`
