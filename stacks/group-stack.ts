/** One group as a Terraform stack: the VMs of its pinned slots, their firewalls, and who owns the data disk. */
import { DataResource, TerraformLocal, TerraformStack, type LocalExecProvisioner } from 'cdktn'
import type { Construct } from 'constructs'
import { shellWord } from '../core/shell-word.ts'
import { addBackend } from './backend.ts'
import { ProxmoxProvider } from './bindings/providers/proxmox/provider/index.ts'
import { VirtualEnvironmentFirewallOptions } from './bindings/providers/proxmox/virtual-environment-firewall-options/index.ts'
import { VirtualEnvironmentFirewallRules } from './bindings/providers/proxmox/virtual-environment-firewall-rules/index.ts'
import { VirtualEnvironmentVm } from './bindings/providers/proxmox/virtual-environment-vm/index.ts'
import type { GroupPins, Release } from '../releases/deployment.ts'
import { releaseDigest } from '../releases/digest.ts'
import { slotNotes } from '../releases/slot-notes.ts'
import { stackName } from '../releases/order.ts'
import { proxmoxFirewallOptions, proxmoxRules } from '../releases/proxmox-rules.ts'
import { slotNames, type SlotName } from '../settings/names.ts'
import type { Site } from '../settings/site.ts'

export interface GroupStackProps {
  readonly site: Site
  readonly group: string
  /** What is pinned; absent or without slots: the plan fails and says what to do. */
  readonly pins: GroupPins | undefined
  /** The site folder: local state lies in it, and the hooks read the site from it. */
  readonly folder: string
  /** The project's folder and its pinned Node: what the hooks run. */
  readonly project: string
  readonly node: string
}

/** What the stack has of a slot. */
const slotAddresses = (slot: SlotName): string[] => [
  `terraform_data.${slot}_activation`,
  `terraform_data.${slot}_owner`,
  `proxmox_virtual_environment_firewall_rules.${slot}_rules`,
  `proxmox_virtual_environment_firewall_options.${slot}_firewall`,
  `proxmox_virtual_environment_vm.${slot}`,
  `terraform_data.${slot}_release`,
]

export class GroupStack extends TerraformStack {
  readonly #props: GroupStackProps

  constructor(scope: Construct, props: GroupStackProps) {
    const name = stackName(props.site, props.group)
    super(scope, name)
    this.#props = props
    addBackend(this, name, props.site.backend, `${props.folder}/state`)
    this.addOverride('terraform.required_providers.proxmox', { source: 'bpg/proxmox', version: '>= 0.111.1, < 1.0.0' })
    // The token and the CA come from the environment (PROXMOX_VE_API_TOKEN, SSL_CERT_FILE): nothing of them is in a file.
    new ProxmoxProvider(this, 'proxmox', { endpoint: `${props.site.proxmox.url.replace(/\/+$/, '')}/`, insecure: false })
    const pinned = slotNames.filter((slot) => props.pins?.slots[slot] !== undefined)
    if (pinned.length === 0) this.#unpinned()
    this.#neverDestroy(slotNames.filter((slot) => !pinned.includes(slot)))
    for (const slot of pinned) this.#slot(slot, props.pins?.slots[slot] as Release)
  }

  /** Synthesis has to succeed on a fresh clone, so it is the plan that asks for pins. */
  #unpinned(): void {
    const { group } = this.#props
    // A condition has to refer to something.
    const pinned = new TerraformLocal(this, 'pinned', false)
    new DataResource(this, 'needs_pin', {
      lifecycle: {
        precondition: [
          {
            condition: pinned.expression,
            errorMessage: `Group ${group} has no release in deployment.json yet: run "npx golden deploy", which pins the newest image and applies it.`,
          },
        ],
      },
    })
  }

  /**
   * A slot that deployment.json does not have is none of this stack's business: with a deployment.json from before a
   * rollout the engine would else delete the VM that serves, and run no hook for it, as the hooks are gone from the
   * configuration, too. golden removes slots itself (rollout/idle.ts).
   */
  #neverDestroy(slots: readonly SlotName[]): void {
    if (slots.length === 0) return
    const removed = slots.flatMap(slotAddresses).map((from) => ({ from, lifecycle: { destroy: false } }))
    this.addOverride('removed', removed)
  }

  #slot(slot: SlotName, release: Release): void {
    const { group } = this.#props
    const { vm: wanted, flows, image } = release
    const digest = releaseDigest(release)
    // Keeps the digest of the release that the slot was made with, so that a plan can compare.
    const ledger = new DataResource(this, `${slot}_release`, { input: { digest }, lifecycle: { ignoreChanges: ['input'] } })
    const vm = new VirtualEnvironmentVm(this, slot, {
      nodeName: wanted.node,
      vmId: wanted.vmid,
      name: wanted.name,
      description: slotNotes(this.#props.site.name, group, slot, release),
      tags: ['golden', 'golden-slot'],
      poolId: wanted.pool,
      started: true,
      onBoot: true,
      // The hooks shut it down in good order before; a VM that hangs must not hold up a destroy.
      stopOnDestroy: true,
      // Disks go by reassignment only; whatever else has this VMID in its name is not ours to delete.
      deleteUnreferencedDisksOnDestroy: false,
      clone: { vmId: image.vmid, nodeName: wanted.node, full: wanted.fullClone ?? false, retries: 5 },
      scsiHardware: 'virtio-scsi-pci',
      cpu: { cores: wanted.cores, type: 'x86-64-v2-AES' },
      memory: { dedicated: wanted.memoryMiB },
      // The provider calls it an attribute, so that all of it has to be there; what is not ours to say has its defaults.
      networkDevice: [
        {
          bridge: wanted.bridge,
          macAddress: wanted.mac,
          model: 'virtio',
          firewall: true,
          vlanId: wanted.vlan ?? 0,
          enabled: true,
          disconnected: false,
          mtu: 0,
          queues: 0,
          rateLimit: 0,
          trunks: '',
        },
      ],
      // A first boot without hardware help takes minutes. After this the provider goes on without the VM's addresses, of
      // which nobody here makes use; the activation waits for the guest itself, and knows what to do when it is silent.
      agent: { enabled: true, timeout: '5m' },
      cdrom: { fileId: wanted.seed, interface: 'scsi13' },
      timeoutClone: 1800,
      timeoutCreate: 1800,
      timeoutStartVm: 1800,
      lifecycle: {
        // The data disk comes and goes behind Terraform's back, and so does the owner's protection. Any change of a
        // disk block would make the provider delete every disk that it does not know. A slot that waits for its turn back
        // may be stopped, and does not start with the host then. The others are known to whoever made a VM only, or found where
        // it was not: one that was taken into a state that had lost it would be made or started anew for them.
        ignoreChanges: ['disk', 'protection', 'started', 'on_boot', 'clone', 'agent[0].timeout', 'operating_system'],
        precondition: [
          {
            condition: `\${${ledger.fqn}.output.digest == "${digest}"}`,
            errorMessage: `Slot ${slot} of group ${group} runs another release than deployment.json says. A running slot is never edited: restore its entry in deployment.json, or end the release with "npx golden destroy ${group}" first. The data is kept.`,
          },
        ],
      },
    })
    const replaced = { replaceTriggeredBy: [`${vm.terraformResourceType}.${vm.friendlyUniqueId}.id`] }
    const options = new VirtualEnvironmentFirewallOptions(this, `${slot}_firewall`, {
      nodeName: wanted.node,
      vmId: vm.vmId,
      ...proxmoxFirewallOptions,
      lifecycle: replaced,
    })
    const rules = new VirtualEnvironmentFirewallRules(this, `${slot}_rules`, {
      nodeName: wanted.node,
      vmId: vm.vmId,
      rule: proxmoxRules(flows),
      lifecycle: replaced,
    })
    // Apart from the activation: an engine runs no destroy-time hook of what failed half-way, and just then the VM may
    // own the data. Nothing in here depends on which slot is the active one: a rollout moves the data between two slots,
    // and no plan wants anything changed after that.
    const owner = new DataResource(this, `${slot}_owner`, {
      input: { vm: vm.id },
      // `active` said once whether it is that; another value would replace, and so end, every owner of those days.
      triggersReplace: { vm: vm.id, active: true },
      dependsOn: [ledger, vm, options, rules],
      provisioners: [this.#hook('destroy', 'release', slot, release)],
    })
    new DataResource(this, `${slot}_activation`, {
      triggersReplace: { owner: owner.id },
      dependsOn: [owner],
      provisioners: [this.#hook('create', 'activate', slot, release)],
    })
  }

  /** `exec`, so that a signal reaches the program itself. The words are names and hexadecimal digits: nothing to quote but paths. */
  #hook(when: 'create' | 'destroy', hook: 'activate' | 'release', slot: SlotName, release: Release): LocalExecProvisioner {
    const { node, project, folder, group } = this.#props
    return {
      type: 'local-exec',
      when,
      workingDir: project,
      command: `exec ${shellWord(node)} golden.ts hook ${hook} ${group} ${slot} ${release.id}`,
      environment: { GOLDEN_SITE: folder },
    }
  }
}
