/** `golden setup --remove`: what setup has made on the host goes, once nothing of the site is there any more. */
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { Failure, type FailureFacts } from '../core/failure.ts'
import type { RangeVm } from '../images/catalog.ts'
import { applySetup } from '../proxmox/apply-setup.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { observeRemoval, planRemoval, sharingOf, type RemovalPlan, type RemovalSeen } from '../proxmox/remove-setup.ts'
import { poolOf } from '../proxmox/pool-members.ts'
import type { SetupWanted } from '../proxmox/setup-host.ts'
import { nodeProblem } from '../proxmox/place.ts'
import { readGivenKey } from '../releases/given.ts'
import { readPins } from '../releases/pins.ts'
import { claimSite } from '../rollout/claim.ts'
import { afterPlan } from './after.ts'
import { confirm } from './confirm.ts'
import { step } from './next-step.ts'
import type { OpenSite } from './open.ts'
import { ownVms, remainsOf } from './remains.ts'
import { orStopped } from '../core/or-stopped.ts'
import type { VerbContext } from './verb.ts'

interface Look {
  readonly plan: RemovalPlan
  /** What has to be ended first. */
  readonly remains: readonly FailureFacts[]
}

/** @param tokenFile of the token's secret; undefined: the site has it elsewhere */
export async function removeSetup(
  admin: Proxmox,
  wanted: SetupWanted,
  open: OpenSite & { readonly tokenFile: string | undefined },
  context: VerbContext,
): Promise<number> {
  const { site, folder, tokenFile } = open
  const { progress, signal, result, flags } = context
  const seen = await progress.step(`read what is there at ${site.proxmox.url}`, () => orStopped(look(admin, wanted, open), signal))
  const { plan, remains } = seen
  if (flags.plan === true) {
    result(removalLines(seen).join('\n'), document(seen), remains.length > 0 ? [] : afterPlan('setup --remove', plan.steps.length > 0))
    return remains.length === 0 ? 0 : 1
  }
  refuseRemains(site.name, remains)
  if (plan.steps.length > 0 && flags.yes !== true) {
    progress.info(removalLines(seen).join('\n'))
    await confirm(
      `This removes what setup has made for site ${site.name} on ${site.proxmox.url}. Type yes: `,
      'yes',
      'Say --yes to go ahead without a question.',
    )
  }
  let done = plan
  if (plan.steps.length > 0)
    await claimSite({ folder, progress, signal }, 'setup --remove', async () => {
      // Somebody may have deployed while the question stood there.
      const now = await look(admin, wanted, open)
      refuseRemains(site.name, now.remains)
      done = now.plan
      await progress.step('take it away', (note) =>
        applySetup(
          admin,
          { steps: now.plan.steps, problems: [] },
          ({ title }) => {
            note(title)
            progress.info(title)
          },
          async () => {},
          signal,
          async () => {
            const again = await look(admin, wanted, open)
            return { steps: again.plan.steps, problems: again.remains }
          },
        ),
      )
    })
  const secret = await endSecret(done, tokenFile)
  result(
    [
      done.steps.length === 0 ? 'Nothing to do: nothing that setup makes is there.' : `Removed: ${done.steps.length} steps.`,
      ...done.keeps.map((what) => `stays: ${what}`),
      ...secret,
      `stays: ${folder}, with the pinned CA of that Proxmox and the site's own secrets`,
    ].join('\n'),
    { steps: done.steps.map(({ title }) => title), keeps: done.keeps, tokenFile: secret.length > 0 ? (tokenFile ?? null) : null },
    [step('setup', 'makes it anew')],
  )
  return 0
}

async function look(admin: Proxmox, wanted: SetupWanted, { site, folder }: OpenSite): Promise<Look> {
  const seen = await observeRemoval(admin, wanted)
  const away = nodeProblem(wanted.node, seen.nodes)
  if (away !== undefined) throw away
  const deployment = await readPins(folder)
  const vms = membersOf(wanted, seen)
  const own = ownVms({ site, deployment, vms })
  const vmids = new Set(own.keys())
  const sharing = sharingOf(wanted, seen, vmids)
  const facts = { site, deployment, vms, files: seen.files, key: await readGivenKey(folder), now: admin.now() }
  return { plan: planRemoval(wanted, seen, vmids), remains: [...strayed(wanted, seen), ...remainsOf(facts, own, sharing.pool.length > 0)] }
}

/** Depots on another node, with whatever they own. */
const strayed = ({ node, depots, depotPool }: SetupWanted, { vms }: RemovalSeen): FailureFacts[] =>
  vms
    .filter((vm) => vm.type === 'qemu' && vm.node !== node && vm.pool === depotPool && depots.some(({ vmid }) => vmid === vm.vmid))
    .map((vm) => ({
      code: 'vm-elsewhere',
      message: `depot ${vm.vmid} is on node ${vm.node}`,
      hint: `Bring it back: "qm migrate ${vm.vmid} ${node}" on node ${vm.node}.`,
    }))

const membersOf = (wanted: SetupWanted, { vms }: RemovalSeen): RangeVm[] =>
  vms.flatMap(({ vmid, node, pool, config }) =>
    config === undefined || poolOf(wanted, pool) === undefined ? [] : [{ vmid, node, config }],
  )

function refuseRemains(site: string, remains: readonly FailureFacts[]): void {
  if (remains.length === 0) return
  const list = remains.map(({ message, hint }) => `  ${message}. ${hint}`).join('\n')
  throw new Failure(
    'setup-in-use',
    `what setup has made for site ${site} is needed still:\n${list}`,
    'Do that in this order, then run "npx golden setup --remove" again. Nothing was changed.',
    { parts: remains },
  )
}

function removalLines({ plan: { steps, keeps }, remains }: Look): string[] {
  return [
    ...remains.map(({ message, hint }) => `in the way: ${message}. ${hint}`),
    ...(steps.length === 0 ? ['Nothing to do: nothing that setup makes is there.'] : steps.map(({ title }) => title)),
    ...keeps.map((what) => `stays: ${what}`),
  ]
}

const document = ({ plan: { steps, keeps }, remains }: Look): object => ({
  plan: { steps: steps.map(({ title, command }) => ({ title, command })), keeps, problems: remains },
})

/** The secret of a token that is no more. The pinned CA stays: it is no secret, and true as long as that host is. @returns lines */
async function endSecret({ endsToken }: RemovalPlan, file: string | undefined): Promise<string[]> {
  if (!endsToken) return []
  if (file === undefined) return ["the token's secret (proxmox.token in site.ts) is of no use any more: remove it where it is"]
  if (!existsSync(file)) return []
  await rm(file)
  return [`removed ${file}, the secret of that token`]
}
