/** What Proxmox's own sentences are taken for. The recorded ones were answered by Proxmox VE 9.2 (lab/recorded). */
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { connect, ProxmoxError, type Proxmox } from '../../proxmox/client.ts'
import {
  conditionError,
  conditionIn,
  isOutdated,
  isAgentRefusal,
  isPidForgotten,
  isProtected,
  isSlow,
  isSourceRunning,
  isStillRunning,
  isVmMissing,
  isVmOff,
  isWrongChecksum,
  missesAnswer,
  saysFull,
  storageTrouble,
  type Condition,
} from '../../proxmox/conditions.ts'
import { makeAuthority, makeServerCertificate } from '../../settings/secrets/certificates.ts'

const denied = (path: string, ...privileges: string[]): Condition => ({ code: 'permission-denied', denied: { path, privileges } })

type Meant = readonly [text: string, condition: Condition]

const recordedConditions: readonly Meant[] = [
  ["Configuration file 'nodes/pve/qemu-server/8002.conf' does not exist\n", { code: 'vm-missing' }],
  ["unable to find configuration file for VM 7739 on node 'pve'\n", { code: 'vm-missing' }],
  ['Permission check failed (/vms/7020, VM.Config.Options)\n', denied('/vms/7020', 'VM.Config.Options')],
  ['Permission check failed (/storage/local, Datastore.Audit)\n', denied('/storage/local', 'Datastore.Audit')],
  ['Permission check failed\n', { code: 'permission-denied', denied: undefined }],
  ["Permission check failed (pool 'goldnopool' does not exist)\n", { code: 'permission-denied', denied: undefined }],
]

const otherConditions: readonly Meant[] = [
  // Measured (several will do: PVE::RPCEnvironment, check_any); the second ends a task.
  [
    'Permission check failed (/storage/local, Datastore.AllocateSpace|Datastore.Audit)\n',
    denied('/storage/local', 'Datastore.AllocateSpace', 'Datastore.Audit'),
  ],
  ['unable to create VM 9100 - 403 Permission check failed (/vms/9100, VM.Config.Options)\n', denied('/vms/9100', 'VM.Config.Options')],
  ['Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)', denied('/sdn/zones/localnetwork/vmbr0', 'SDN.Use')],
  ['VM is locked (backup)\n', { code: 'vm-locked', lock: 'backup' }],
  ['VM is locked (snapshot-delete)', { code: 'vm-locked', lock: 'snapshot-delete' }],
  ["can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout\n", { code: 'vm-locked', lock: undefined }],
]

/** What is missing, or in the way, but none of these. */
const recordedOthers: readonly string[] = [
  "storage 'nostore' does not exist\n",
  "volume 'local:iso/gold-missing.iso' does not exist\n",
  "snapshot 'nosnap' does not exist\n",
  "pool 'goldcsrf' does not exist\n",
  "no such user ('goldh@pve')\n",
  "no such resource 'vm:8001'\n",
  "disk 'scsi9' does not exist\n",
  "Disk 'unused1' for VM '7022' does not exist\n",
  "bridge 'vmbr77' does not exist",
  'VM 7860 not running\n',
  'VM 7860 is running - destroy failed\n',
  'QEMU guest agent is not running\n',
  'checksum mismatch (file change by other user?)\n',
]

it.each([...recordedConditions, ...otherConditions])('%j', (text, condition) => {
  expect(conditionIn(text)).toEqual(condition)
  expect(conditionIn(`GET /nodes/pve/qemu/100/config: ${text}`)).toEqual(condition)
})

it.each([
  ...recordedOthers,
  'Agent error: PID 7 does not exist',
  "can't lock file '/var/lock/pve-manager/pve-storage-local' - got timeout",
  'Parameter verification failed.\n',
])('%j is none of these', (text) => {
  expect(conditionIn(text)).toBeUndefined()
})

const error = (message: string, status = 500): ProxmoxError =>
  conditionError(message, { status, method: 'GET', path: '/x' }) ??
  new ProxmoxError('proxmox-refused', message, '', { status, method: 'GET', path: '/x' })

/** Some say the same of different things: what was asked for tells which it is. */
describe('what has no code of its own', () => {
  const recorded: readonly (readonly [text: string, is: readonly string[]])[] = [
    ['checksum mismatch (file change by other user?)\n', ['isOutdated', 'isWrongChecksum']],
    ["can't remove drive 'scsi1' - protection mode enabled\n", ['isProtected']],
    ["can't remove VM 7023 - protection mode enabled\n", ['isProtected']],
    ['Cannot move disk to another VM while the source VM is running - detach first\n', ['isSourceRunning']],
    ['VM 7860 is running - destroy failed\n', ['isStillRunning']],
    ['VM 7860 not running\n', ['isVmOff']],
    ['QEMU guest agent is not running\n', ['missesAnswer']],
    ["Configuration file 'nodes/pve/qemu-server/7740.conf' does not exist\n", ['isVmMissing']],
  ]

  it('is in the recordings, as are those that have one', () => {
    const folder = resolve(import.meta.dirname, '../../lab/recorded')
    const answers = readdirSync(folder)
      .filter((name) => name.endsWith('.jsonl'))
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .join('\n')
    const texts = [...[...recordedConditions, ...recorded].map(([text]) => text), ...recordedOthers]
    expect(texts.filter((text) => !answers.includes(JSON.stringify(text)))).toEqual([])
  })

  const all = {
    isOutdated,
    isProtected,
    isStillRunning,
    isSourceRunning,
    isWrongChecksum,
    isSlow,
    isVmOff,
    missesAnswer,
    isPidForgotten,
    isAgentRefusal,
    isVmMissing,
  }
  it.each<readonly [text: string, is: readonly string[]]>([
    ...recorded,
    // Of its sources.
    ['detected modified configuration - file changed by other user? Try again.\n', ['isOutdated']],
    ['checksum missmatch (file change by other user?)\n', ['isOutdated', 'isWrongChecksum']],
    ['VM is locked (clone)\n', ['isOutdated']],
    ["checksum mismatch: got 'aa' != expect 'bb'\n", ['isOutdated', 'isWrongChecksum']],
    ['VM 100 is not running\n', ['isVmOff']],
    ["VM 100 qga command 'guest-exec-status' failed - got timeout\n", ['isSlow', 'missesAnswer']],
    ['Agent error: PID 7 does not exist', ['isPidForgotten']],
    [
      "Agent error: Guest agent command failed, error was 'Failed to execute child process “nope” (No such file or directory)'",
      ['isAgentRefusal'],
    ],
    ["command '/sbin/lvs' failed: got timeout", ['isSlow', 'missesAnswer']],
  ])('%j', (text, expected) => {
    const found = Object.entries(all).flatMap(([name, is]) => (is(error(text)) ? [name] : []))
    expect(found.sort()).toEqual([...expected].sort())
    // Only Proxmox is believed to have said it.
    expect(Object.values(all).some((is) => is(new Error(text)))).toBe(false)
  })
})

it('a storage in trouble is named, and one that is full', () => {
  expect(storageTrouble("GET /x: storage 'nostore' does not exist")).toEqual({ storage: 'nostore', trouble: 'does not exist' })
  expect(storageTrouble("unable to create VM 100 - storage 'nas' is not online")).toEqual({ storage: 'nas', trouble: 'is not online' })
  expect(storageTrouble("pool 'x' does not exist")).toBeUndefined()
  expect(['No space left on device', 'out of space', 'the disk is fine'].map(saysFull)).toEqual([true, true, false])
})

describe('over the wire', () => {
  const token = { id: 'golden@pve!golden', secret: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee' }
  const cleanups: (() => void)[] = []
  afterEach(() => {
    for (const clean of cleanups.splice(0)) clean()
  })

  /** A Proxmox that answers everything so, but tasks: they end so. */
  async function proxmoxThatSays(status: number, message: string): Promise<Proxmox> {
    const authority = await makeAuthority('test CA', new Date())
    const { certificate, key } = await makeServerCertificate(authority, ['127.0.0.1'], new Date())
    const server: Server = createServer({ cert: certificate, key }, (request, response) => {
      const ended = request.url?.includes('/tasks/') === true
      response.writeHead(ended ? 200 : status, { 'Content-Type': 'application/json' })
      response.end(JSON.stringify(ended ? { data: { status: 'stopped', exitstatus: message } } : { data: null, message: `${message}\n` }))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const proxmox = connect({
      url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
      caPem: authority.certificate,
      auth: token,
    })
    cleanups.push(
      () => proxmox.close(),
      () => server.closeAllConnections(),
      () => server.close(),
    )
    return proxmox
  }

  const upid = 'UPID:pve:00002029:0009108A:6B031517:qmstart:100:golden@pve!golden:'

  it.each([
    ["Configuration file 'nodes/pve/qemu-server/100.conf' does not exist", 500, { code: 'vm-missing', denied: undefined }],
    ['VM is locked (backup)', 500, { code: 'vm-locked', hint: expect.stringContaining('(backup)') }],
    [
      'Permission check failed (/vms/100, VM.PowerMgmt)',
      403,
      {
        ...denied('/vms/100', 'VM.PowerMgmt'),
        message: expect.stringContaining('(/vms/100, VM.PowerMgmt)'),
        hint: expect.stringMatching(/^It takes VM\.PowerMgmt on \/vms\/100\. Run "npx golden setup"/),
      },
    ],
    [
      'Permission check failed',
      403,
      { code: 'permission-denied', denied: undefined, hint: expect.stringMatching(/^Run "npx golden setup"/) },
    ],
    ["storage 'x' does not exist", 500, { code: 'proxmox-refused' }],
  ] as const)('%s', async (message, status, expected) => {
    const proxmox = await proxmoxThatSays(status, message)
    await expect(proxmox.post('/nodes/pve/qemu/100/status/start')).rejects.toMatchObject({ ...expected, status, ofTask: false })
    await expect(proxmox.task(upid)).rejects.toMatchObject({
      code: expected.code === 'proxmox-refused' ? 'task-failed' : expected.code,
      message: `Proxmox task qmstart 100 failed: ${message}`,
      ofTask: true,
    })
  })
})
