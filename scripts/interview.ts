/** What `golden init` goes through for a first site: what is open is asked, and the whole is looked at in the end. */
import { join } from 'node:path'
import { Failure } from '../core/failure.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { isDenied } from '../proxmox/conditions.ts'
import { observeSetup, planSetup } from '../proxmox/setup.ts'
import { lookAtNode, lookForAddresses, type HostSeen } from '../proxmox/survey.ts'
import { contains, parseNetwork } from '../settings/address.ts'
import { siteOf, type Answers } from '../settings/first/answers.ts'
import { openQuestion, propose, type Given, type Known, type Proposal } from '../settings/first/propose.ts'
import { withSettings, type Setting } from '../settings/first/set.ts'
import { summary } from '../settings/first/summary.ts'
import { secretFiles } from '../settings/secrets/places.ts'
import { parseSite, type Site, type SiteInput } from '../settings/site.ts'
import type { Lan } from './ask-lan.ts'
import { askFor, askNode, askReview } from './first-questions.ts'
import type { Prompts } from './prompts.ts'
import { wantedSetup } from './setup.ts'
import { orStopped } from '../core/or-stopped.ts'
import type { VerbContext } from './verb.ts'

export interface FirstTools {
  /** Undefined: nobody is there to ask. */
  readonly prompts: Prompts | undefined
  readonly lan: Lan
}

export interface InterviewOptions {
  readonly context: Pick<VerbContext, 'progress' | 'signal'>
  readonly tools: FirstTools
  readonly admin: Proxmox
  readonly folder: string
  readonly given: Given
  readonly settings: readonly Setting[]
  readonly url: string
  /** This computer's address in connections to Proxmox. */
  readonly from: string
  readonly host: HostSeen
}

export const missingFailure = (missing: readonly string[]): Failure =>
  new Failure(
    'usage',
    `there is no terminal to ask on, and these are missing: ${missing.join(', ')}`,
    'Say them, or run "npx golden init" on a terminal. Words in capitals are variables of the environment. Nothing was written.',
  )

const unseen: Known['node'] = { node: '', storages: [], bridges: [], interfaces: [], nameservers: [] }

export class Interview {
  readonly #options: InterviewOptions
  #known: Known
  /** Addresses that the LAN was asked for. */
  readonly #asked = new Set<string>()
  /** Networks that can't be asked from here. */
  readonly #away = new Set<string>()

  constructor(options: InterviewOptions) {
    this.#options = options
    const { url, from, host, tools } = options
    this.#known = { url, host, node: unseen, taken: new Map(), own: tools.lan.own(), from }
  }

  /**
   * @returns the site as it is to be written, and as it is read then
   * @throws Failure `usage`, `no-disk-storage`, `bridge-missing`, `no-free-addresses`, `cancelled`; what Proxmox refuses
   */
  async hold(): Promise<{ input: SiteInput; site: Site }> {
    const { admin, context, folder, given, host, settings, tools } = this.#options
    const { progress } = context
    const taken = await this.#step('look for addresses that are in use', () => lookForAddresses(admin, host))
    this.#known = { ...this.#known, taken }
    for (;;) {
      const proposal = await this.#settle()
      const { answers } = proposal
      const input = withSettings(siteOf(answers), settings)
      const parsed = parseSite(input)
      const problems = parsed.ok
        ? await this.#setupProblems(parsed.site)
        : parsed.problems.map(({ path, message }) => `${path}: ${message}`)
      progress.info(summary(answers, proposal, !this.#away.has(answers.subnet)))
      for (const problem of problems) progress.warn(problem)
      if (tools.prompts === undefined) {
        if (!parsed.ok) throw new Failure('usage', `these answers make no site:\n  ${problems.join('\n  ')}`, 'Nothing was written.')
        return { input, site: parsed.site }
      }
      const asking = { prompts: tools.prompts, given, known: this.#known, proposal, say: progress.info }
      const change = await askReview(asking, join(folder, 'site.ts'), parsed.ok)
      if (change !== undefined) await askFor(change, asking)
      else if (parsed.ok) return { input, site: parsed.site }
    }
  }

  /** Asks until nothing is open. */
  async #settle(): Promise<Proposal & { readonly answers: Answers }> {
    const { context, given, tools } = this.#options
    const { prompts } = tools
    for (;;) {
      await this.#lookAtNode()
      const proposal = propose(given, this.#known)
      const { answers, short } = proposal
      const question = prompts === undefined ? undefined : openQuestion(given, proposal)
      // What clients call is proposed by the addresses, so they have to be known by then.
      if (answers !== undefined && (question === undefined || question === 'publicHost')) {
        if (await this.#askLan(answers)) continue
        if (question === undefined) return { ...proposal, answers }
      }
      if (prompts === undefined || question === undefined) throw short ?? missingFailure(this.#missing())
      if (question === 'network' && short !== undefined) context.progress.warn(`${short.message}. ${short.hint}`)
      await askFor(question, { prompts, given, known: this.#known, proposal, say: context.progress.info })
    }
  }

  /** The network alone has no default, where the node has no address in it. */
  #missing(): string[] {
    const { subnet, gateway } = this.#options.given
    return [...(subnet === undefined ? ['--subnet'] : []), ...(gateway === undefined ? ['--gateway'] : [])]
  }

  async #lookAtNode(): Promise<void> {
    const { admin, given, host, tools } = this.#options
    const online = host.nodes.filter(({ status }) => status === 'online').map(({ node }) => node)
    if (given.node === undefined && online.length > 1 && tools.prompts !== undefined)
      await askNode({ prompts: tools.prompts, given, known: this.#known })
    const node = given.node ?? host.here ?? online[0] ?? ''
    if (!online.includes(node))
      throw new Failure('usage', `--node ${node}: this Proxmox has no such node that is online`, `Say one of: ${online.join(', ')}.`)
    if (this.#known.node.node === node) return
    this.#known = { ...this.#known, node: await this.#step(`look at node ${node}`, () => lookAtNode(admin, node)) }
  }

  /** @returns whether somebody has one of them, so that there are others to propose */
  async #askLan({ subnet, addresses }: Answers): Promise<boolean> {
    const { context, tools } = this.#options
    const lan = parseNetwork(subnet)
    // Nothing is told of it, either: nobody has asked for it.
    if (!this.#known.own.some((cidr) => lan !== undefined && contains(lan, cidr.split('/')[0] ?? ''))) this.#away.add(subnet)
    const open = addresses.filter((address) => !this.#asked.has(address))
    if (open.length === 0 || this.#away.has(subnet)) return false
    const found = await this.#step(`ask the LAN for ${open.join(', ')}`, () => tools.lan.ask(open, context.signal))
    if (found === undefined) {
      this.#away.add(subnet)
      return false
    }
    for (const address of open) this.#asked.add(address)
    const taken = new Map(this.#known.taken)
    for (const address of found) taken.set(address, 'somebody in the LAN')
    this.#known = { ...this.#known, taken }
    return found.size > 0
  }

  /** What `golden setup` would refuse, by its own plan. Whoever looks need not be who sets up: what they may not see is left to that. */
  async #setupProblems(site: Site): Promise<string[]> {
    const { admin, folder } = this.#options
    const wanted = wantedSetup(site, { enableFirewall: false, replaceToken: false })
    try {
      const observed = await this.#step('look whether "npx golden setup" would work', () => observeSetup(admin, wanted))
      const { problems } = planSetup({ ...wanted, secretMissing: join(folder, secretFiles.proxmoxToken) }, observed)
      return problems.map(({ message, hint }) => `"npx golden setup" would say: ${message}. ${hint}`)
    } catch (error) {
      if (isDenied(error)) return []
      throw error
    }
  }

  #step<T>(title: string, work: () => Promise<T>): Promise<T> {
    const { progress, signal } = this.#options.context
    return progress.step(title, () => orStopped(work(), signal))
  }
}
