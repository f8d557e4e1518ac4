/**
 * What Proxmox means. It has no codes: what it refuses, and how a task ended, is told in sentences of its Perl sources.
 * They are recognised here and nowhere else, each with where it is from; test/proxmox/conditions.test.ts has the real texts.
 */
import { ProxmoxError, type Denied, type ProxmoxErrorDetails } from './error.ts'

/** Conditions that have a code of their own, whoever runs into them. */
export type Condition =
  | { readonly code: 'vm-missing' }
  /** @property lock what for, such as `backup`; Proxmox does not tell when it is a lock file that somebody holds */
  | { readonly code: 'vm-locked'; readonly lock?: string | undefined }
  | { readonly code: 'permission-denied'; readonly denied?: Denied | undefined }

/** @param text what Proxmox says, in its answer or as the end of a task. Pure. */
export function conditionIn(text: string): Condition | undefined {
  if (saysDenied(text)) return { code: 'permission-denied', denied: deniedIn(text) }
  if (saysMissing(text)) return { code: 'vm-missing' }
  const lock = /\bVM is locked \(([^)]+)\)/.exec(text)
  return lock || saysLocked(text) ? { code: 'vm-locked', lock: lock?.[1] } : undefined
}

/**
 * PVE::AbstractConfig::load_config and assert_config_exists_on_node. The same is said of a VM that is nowhere and of one
 * that is on another node.
 */
const saysMissing = (text: string): boolean =>
  /Configuration file '[^']*' does not exist|unable to find configuration file for VM \d+/.test(text)

/** PVE::AbstractConfig::check_lock, and lock_config when another process has its lock file for too long. */
const saysLocked = (text: string): boolean => /\bVM is locked\b|can't lock file '[^']*\/qemu-server\/lock-/.test(text)

/** PVE::Exception's raise_perm_exc, of which PVE::RPCEnvironment's checks say the path and what it takes there. */
const saysDenied = (text: string): boolean => /Permission check failed/.test(text)

/** Which right is missing, in whatever quotes Proxmox. `A|B`: any of them. */
export function deniedIn(text: string): Denied | undefined {
  const [, path, privileges] = /Permission check failed \((\/[^,)]*), ([\w.|]+)/.exec(text) ?? []
  return path === undefined || privileges === undefined ? undefined : { path, privileges: privileges.split('|') }
}

/** The failure with a condition's own code, if it is one. */
export function conditionError(what: string, details: ProxmoxErrorDetails): ProxmoxError | undefined {
  const condition = conditionIn(what)
  switch (condition?.code) {
    case undefined:
      return undefined
    case 'permission-denied':
      return deniedError(what, details)
    case 'vm-missing':
      return new ProxmoxError(
        'vm-missing',
        what,
        'It was removed, or is on another node by now. Run the same command again: it looks first, and goes on from what it finds.',
        details,
      )
    case 'vm-locked':
      return new ProxmoxError(
        'vm-locked',
        what,
        `Wait for what holds the lock${condition.lock === undefined ? '' : ` (${condition.lock})`}: see the VM's tasks in Proxmox, then run the same command again. "qm unlock VMID" on the node ends a lock that nobody holds.`,
        details,
      )
  }
}

/** Of an answer 403, whatever it says. */
export function deniedError(what: string, details: ProxmoxErrorDetails): ProxmoxError {
  const denied = deniedIn(what)
  const takes = denied === undefined ? '' : `It takes ${denied.privileges.join(' or ')} on ${denied.path}. `
  return new ProxmoxError(
    'permission-denied',
    what,
    `${takes}Run "npx golden setup" again: it repairs the role, the pools and their permissions.`,
    { ...details, denied },
  )
}

const says = (error: unknown, text: RegExp): error is ProxmoxError => error instanceof ProxmoxError && text.test(error.message)
const has = (error: unknown, code: Condition['code']): error is ProxmoxError => error instanceof ProxmoxError && error.code === code

/** There is no such VM on that node, or not any more. */
export const isVmMissing = (error: unknown): boolean => has(error, 'vm-missing')

/** The token may not; to one whose rights hang on a pool that is also what a VMID says that nobody has. */
export const isDenied = (error: unknown): boolean => has(error, 'permission-denied')

/** This version of Proxmox, or this installation, does not know the question. */
export const isUnknownMethod = (error: unknown): boolean => error instanceof ProxmoxError && error.status === 501

/**
 * A change was refused because what it rests on has changed since it was looked at: a `digest` that is another one by now,
 * or a lock that somebody has taken since. Nothing was changed, and whoever asked has to look again. The words are those
 * of PVE::API2::Qemu and PVE::Tools::assert_if_modified; the misspelt one is Proxmox's.
 */
export const isOutdated = (error: unknown): boolean =>
  has(error, 'vm-locked') || says(error, /checksum mis+match|detected modified configuration|VM is locked|can't lock file/i)

/** PVE::AbstractConfig::check_protection, in whatever quotes Proxmox. */
export const saysProtected = (text: string): boolean => /protection mode enabled/.test(text)
export const isProtected = (error: unknown): boolean => error instanceof ProxmoxError && saysProtected(error.message)

/** A VM that runs was to be deleted (PVE::API2::Qemu, destroy_vm): it was started since. */
export const isStillRunning = (error: unknown): boolean => says(error, /VM \d+ is running - destroy failed/)

/** A template was to be deleted, and a linked clone of it is there (PVE::QemuServer, destroy_vm). On LVM-thin nobody minds. */
export const isLinkedTo = (error: unknown): boolean => says(error, /is still in use by linked clone/)

/** A disk of a VM that runs was to be reassigned (PVE::API2::Qemu, load_and_check_reassign_configs). */
export const isSourceRunning = (error: unknown): boolean => says(error, /while the source VM is running/)

/** What was downloaded or uploaded is not what its checksum says (PVE::Tools::download_file_from_url, PVE::API2::Storage::Status). */
export const isWrongChecksum = (error: unknown): boolean => says(error, /checksum/i)

/** A look at a volume took a storage's programs too long (PVE::Tools::run_command, PVE::QemuServer::Helpers). */
export const isSlow = (error: unknown): boolean => says(error, /time-?out/i)

/** PVE says 500 for "agent not running" and "VM not running" alike; only the first one passes by itself. */
export const isVmOff = (error: unknown): boolean => says(error, /VM \d+ (is )?not running/)

/**
 * What PVE says of an agent that missed one question (PVE::QemuServer::Agent, PVE::QMPClient): the guest is too busy, or
 * frozen for a backup, and the program goes on in it. Of a VM that does not run it says something else.
 */
export const missesAnswer = (error: unknown): boolean =>
  says(error, /guest agent is not running|qga (command|socket)|got timeout|frozen/i) && error.status === 500 && !isVmOff(error)

/** The agent answers, and can't do what it is asked: start a program that is not there (PVE::QemuServer::Agent, check_agent_error). */
export const isAgentRefusal = (error: unknown): boolean => says(error, /Agent error: /) && !missesAnswer(error) && !isPidForgotten(error)

/** The agent tells of a program's end once, and forgets it (QEMU, qga/commands.c, guest-exec-status). */
export const isPidForgotten = (error: unknown): boolean => says(error, /PID \d+ does not exist/) && error.status === 500

/** A storage, or the file system, LVM or ZFS below it, has no room. None of them has a code for it. */
export const saysFull = (text: string): boolean =>
  /no space left|not enough (free )?space|out of space|insufficient free|disk full|ENOSPC/i.test(text)

/** What mends it. */
export const storageFullHint =
  'Make room on the storages of proxmox.storage in site.ts, for instance by removing images that are no longer needed; then run the same command again.'

/** A storage that is not there, or not in working order (PVE::Storage::storage_config, storage_check_enabled, activate_storage of its plugins). */
export function storageTrouble(text: string): { readonly storage: string; readonly trouble: string } | undefined {
  const [, storage, trouble] =
    /storage '([^']+)' (?:- )?(does not exist|is not available|is disabled|is not online|directory '[^']*' does not exist|directory is expected to be a mount point)/.exec(
      text,
    ) ?? []
  return storage === undefined || trouble === undefined ? undefined : { storage, trouble }
}
