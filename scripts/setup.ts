/** `golden setup`: the administrator's one-time part on the Proxmox host, done or printed. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { connect, ProxmoxError, type Proxmox } from '../proxmox/client.ts'
import { firewallQuestion, firewallWarning, observeExposure } from '../proxmox/datacenter-firewall.ts'
import { Failure, together } from '../core/failure.ts'
import { orStopped } from '../core/or-stopped.ts'
import { setupScript } from '../proxmox/setup-script.ts'
import { applySetup, observeSetup, planSetup, type SetupPlan, type SetupWanted } from '../proxmox/setup.ts'
import { depotVmName, type Site } from '../settings/site.ts'
import { lockFile } from '../images/lock.ts'
import { adminHelp, administrator, askSecret, ofAdministrator, usualAdministrator } from './administrator.ts'
import { afterPlan, afterSetup, type SiteFolderState } from './after.ts'
import { agreeToFirewall } from './firewall-consent.ts'
import { openSite } from './open.ts'
import { requireHidden, writeSecret } from '../settings/secrets/files.ts'
import { secretFiles } from '../settings/secrets/places.ts'
import { firstContact, pin, type Trust } from './trust.ts'
import { pinsNow } from './pins-now.ts'
import type { Verb, VerbContext } from './verb.ts'

export const verb: Verb = {
  options: {
    plan: { type: 'boolean' },
    print: { type: 'boolean' },
    remove: { type: 'boolean' },
    admin: { type: 'string' },
    fingerprint: { type: 'string' },
    'new-token': { type: 'boolean' },
    'enable-datacenter-firewall': { type: 'boolean' },
    yes: { type: 'boolean' },
  },
  optionHelp: {
    plan: 'log in, say what would be done, and do nothing',
    print: 'print a shell script for the node instead; needs no login',
    admin: adminHelp,
    remove: 'take away what setup has made, but for what others use; refuses while VMs, data, images or seeds of the site are there',
    fingerprint: "SHA-256 fingerprint that the host's certificate must have, whatever else is trusted; for runs without a terminal",
    'new-token': 'make the token anew; whoever uses the old secret can do so no longer',
    'enable-datacenter-firewall': `turn Proxmox's datacenter firewall on, without which VM rules do nothing; shows first what that closes, and asks. ${firewallWarning}`,
    yes: 'do not ask: agree to what --enable-datacenter-firewall does, or to what --remove removes',
  },
  changes:
    "the Proxmox host: roles, a user with a token, two pools, the ISO storage, a depot VM for each group; in the site folder the token's secret and the pinned CA. With --remove all of that goes again; with --plan or --print nothing",
  examples: [
    ['npx golden setup', "asks for the password of root@pam, and for a look at the host's fingerprint"],
    ['npx golden setup --plan', 'only say what would be done'],
    ['npx golden setup --remove', 'the site is to go: shows what goes and what stays, and asks'],
    ["PROXMOX_ADMIN_TOKEN=SECRET npx golden setup --admin 'root@pam!setup'", 'without a terminal, or with a second factor'],
    ['npx golden setup --print > setup.sh', 'the same as a script, to read and run on the node'],
  ],
  async run(context) {
    const isRemoval = context.flags.remove === true
    if (isRemoval) refuseWithRemove(context)
    const { site, folder } = await openSite(context.env)
    const tokenFile = tokenFileOf(site, folder)
    const secretMissing = site.proxmox.token.kind !== 'file' || existsSync(tokenFile) ? undefined : tokenFile
    const wanted = {
      ...wantedSetup(site, {
        enableFirewall: context.flags['enable-datacenter-firewall'] === true,
        replaceToken: context.flags['new-token'] === true,
      }),
      secretMissing,
    }
    if (context.flags.print === true) {
      if (wanted.enableFirewall)
        await agreeToFirewall(firewallQuestion(wanted.management, { enabled: false, rules: [] }, undefined, undefined), context)
      const places = { tokenFile, caFile: resolve(folder, site.proxmox.caFile) }
      const script = setupScript(wanted, places)
      context.result(script.trimEnd(), { script, ...places })
      return 0
    }
    if (!isRemoval && (secretMissing !== undefined || wanted.replaceToken))
      requireHidden(folder, tokenFile, "the token's secret (proxmox.token)")
    const admitted = administrator(typeof context.flags.admin === 'string' ? context.flags.admin : usualAdministrator, context.env)
    const trust = await firstContact(site, folder, context)
    const auth = typeof admitted === 'string' ? await askSecret(admitted, context) : admitted
    const admin = connect({
      url: site.proxmox.url,
      auth,
      say: context.progress.info,
      signal: context.signal,
      ...(trust.caPem === undefined ? {} : { caPem: trust.caPem }),
    })
    try {
      if (!isRemoval) return await setup(admin, wanted, trust, site, folder, context)
      const { removeSetup } = await import('./remove-setup.ts')
      const own = site.proxmox.token.kind === 'file' ? tokenFile : undefined
      return await removeSetup(admin, wanted, { site, folder, tokenFile: own }, context)
    } catch (error) {
      throw error instanceof ProxmoxError ? ofAdministrator(error, auth, site.proxmox.url, 'setup') : error
    } finally {
      admin.close()
    }
  },
}

/** What goes has to be looked up first, so that there is no script for it; and it is the opposite of the others. @throws Failure `usage` */
function refuseWithRemove({ flags }: VerbContext): void {
  const other = ['print', 'new-token', 'enable-datacenter-firewall'].find((flag) => flags[flag] === true)
  if (other === undefined) return
  throw new Failure(
    'usage',
    `--remove does not go with --${other}`,
    other === 'print'
      ? 'Run "npx golden setup --remove --plan --json": it logs in, changes nothing, and has each step as a command for the node.'
      : 'Run "npx golden setup --help".',
  )
}

export function wantedSetup(site: Site, choices: { enableFirewall: boolean; replaceToken: boolean }): SetupWanted {
  const { proxmox } = site
  return {
    node: proxmox.node,
    pool: proxmox.pool,
    depotPool: proxmox.depotPool,
    disks: proxmox.storage.disks,
    iso: proxmox.storage.iso,
    isoPath: proxmox.storage.isoPath,
    bridge: proxmox.bridge,
    tokenId: proxmox.tokenId,
    depots: Object.entries(site.groups).map(([name, group]) => ({ vmid: group.depot, name: depotVmName(site, name) })),
    management: site.network.admin,
    ...choices,
  }
}

async function setup(admin: Proxmox, wanted: SetupWanted, trust: Trust, site: Site, folder: string, context: VerbContext): Promise<number> {
  const { progress, result, signal } = context
  const observed = await progress.step(`read what is there at ${site.proxmox.url}`, () => orStopped(observeSetup(admin, wanted), signal))
  const plan = planSetup(wanted, observed)
  if (context.flags.plan === true) return showPlan(plan, folder, context)
  await pin(admin, site, folder, trust, context)
  const [problem] = plan.problems
  if (problem !== undefined) {
    // Nothing is done while anything is wrong: a half-prepared host helps nobody.
    for (const other of plan.problems.slice(1)) progress.warn(`${other.message}. ${other.hint}`)
    throw together(new Failure(problem.code, problem.message, problem.hint), plan.problems.slice(1))
  }
  if (wanted.enableFirewall && !observed.firewall.enabled) {
    await agreeToFirewall(
      firewallQuestion(wanted.management, observed.firewall, await observeExposure(admin, wanted.node), trust.from),
      context,
    )
  }
  for (const note of plan.notes ?? []) progress.warn(note)
  let tokenFile: string | undefined
  if (plan.steps.length > 0) {
    await progress.step('prepare the host', async (note) => {
      await applySetup(
        admin,
        plan,
        (step) => {
          note(step.title)
          progress.info(step.title)
        },
        async (secret) => {
          tokenFile = await keepToken(site, folder, secret)
        },
        signal,
        async () => {
          note('an answer was lost: looking what there is')
          return planSetup(
            tokenFile === undefined ? wanted : { ...wanted, replaceToken: false, secretMissing: undefined },
            await observeSetup(admin, wanted),
          )
        },
      )
    })
  }
  const firewall = wanted.enableFirewall || observed.firewall.enabled
  if (!firewall)
    progress.warn(
      `the datacenter firewall of this Proxmox is off, so the VMs' rules in Proxmox are not in force; the guests' own firewalls are. "npx golden setup --enable-datacenter-firewall" shows what turning it on would close, and asks. ${firewallWarning}.`,
    )
  const text =
    plan.steps.length === 0
      ? 'Nothing to do: the host is prepared.'
      : `Done: ${plan.steps.length} steps.${tokenFile === undefined ? '' : ` The token's secret is in ${tokenFile}.`}`
  result(text, { steps: plan.steps.map((step) => step.title), tokenFile, datacenterFirewall: firewall }, afterSetup(await stateOf(folder)))
  return 0
}

/** With everything that is in the way, and how to mend it. @returns the exit code */
async function showPlan({ steps, problems, notes = [] }: SetupPlan, folder: string, { result }: VerbContext): Promise<number> {
  const lines = [
    ...problems.map(({ message, hint }) => `in the way: ${message}. ${hint}`),
    ...notes.map((note) => `note: ${note}`),
    ...(steps.length === 0 ? ['Nothing to do: the host is prepared.'] : steps.map(({ title }) => title)),
  ]
  const next = problems.length > 0 ? [] : steps.length > 0 ? afterPlan('setup', true) : afterSetup(await stateOf(folder))
  result(lines.join('\n'), { plan: { steps: steps.map(({ title, command }) => ({ title, command })), problems, notes } }, next)
  return problems.length === 0 ? 0 : 1
}

const stateOf = async (folder: string): Promise<Pick<SiteFolderState, 'hasLock' | 'deployment'>> => ({
  hasLock: existsSync(lockFile(folder)),
  deployment: await pinsNow(folder),
})

/** Where the secret is kept: where the site expects it, or in a file beside it when the site reads it from elsewhere. */
const tokenFileOf = (site: Site, folder: string): string =>
  resolve(folder, site.proxmox.token.kind === 'file' ? site.proxmox.token.path : secretFiles.newProxmoxToken)

async function keepToken(site: Site, folder: string, secret: string): Promise<string> {
  const file = tokenFileOf(site, folder)
  await writeSecret(file, `${secret}\n`)
  return file
}
