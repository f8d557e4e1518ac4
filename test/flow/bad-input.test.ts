/** What goes wrong is told with a code, the cause and the next step, and leaves nothing behind. All through the CLI. */
import { existsSync } from 'node:fs'
import { copyFile, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Ended } from './computer.ts'
import { openPlace, type Inventory, type Place, type SiteFolder } from './place.ts'

const minute = 60_000
let place: Place
let site: SiteFolder
let before: Inventory
/** Another place, in which a bake fails slowly meanwhile: the shortest time that a site can wait for SSH is a minute. */
let slow: Place
let withoutSsh: Promise<Ended>

beforeAll(async () => {
  slow = await openPlace()
  const other = await slow.site()
  await other.edit((draft) => {
    draft.image.build.sshTimeoutMinutes = 1
  })
  await other.prepare()
  slow.driver.behave({ match: /^golden-build-/, ssh: 'never' })
  withoutSsh = other.golden('bake')
  place = await openPlace()
  site = await place.site()
}, 900_000)
afterAll(async () => {
  await slow?.close()
  await place?.close()
})

/** Without the base template, which is made once and meant to stay. */
function withoutBase({ vms, volumes, ...rest }: Inventory): Inventory {
  return {
    ...rest,
    vms: vms.filter((vm) => !vm.name?.startsWith('golden-base-')),
    volumes: volumes.filter((volume) => !/[:/]base-\d+-disk-0(\.|$)/.test(volume)),
  }
}

async function expectNothingLeft(): Promise<void> {
  expect(withoutBase(await place.inventory())).toEqual(withoutBase(before))
  expect((await readdir(join(site.folder, 'state'))).filter((name) => name !== '.gitignore')).toEqual([])
}

/** Failed as a user has to see it: code, message and a hint on both outputs, no stack trace. */
function expectFailure(ended: Ended, code: string): NonNullable<Ended['error']> {
  const { error } = ended
  if (error === undefined || ended.code !== 1) throw new Error(`ended with ${ended.code}:\n${ended.stdout}\n${ended.stderr}`)
  expect(error.code).toBe(code)
  expect(error.hint.length).toBeGreaterThan(10)
  if (ended.errors.length === 1) expect(ended.stderr).toContain(`error ${code}: ${error.message}\n→ ${error.hint}`)
  for (const { message, hint } of ended.errors) expect(ended.stderr.indexOf(hint)).toBeGreaterThan(ended.stderr.indexOf(message))
  expect(ended.stderr).not.toMatch(/^\s+at .*\.ts:\d+/m)
  return error
}

describe('before the host is prepared', () => {
  beforeAll(async () => {
    before = await place.inventory()
  })

  it('lists every mistake of a site, each with its path', async () => {
    const wrong = await site.copy('wrong', (draft) => {
      draft.groups.serena!.slots.blue.address = '10.77.1.99'
      draft.groups.serena!.slots.green.vmid = draft.groups.serena!.slots.blue.vmid
      draft.image.base.sha256 = 'abc'
      draft.serena.users = []
      Object.assign(draft.proxmox, { nodes: 'pve' })
    })
    for (const verb of ['setup', 'bake']) {
      const ended = await wrong.golden(verb)
      expectFailure(ended, 'site-invalid')
      expect(ended.stderr).toContain('5 problems')
      const paths = [
        'groups.serena.slots.blue.address',
        'groups.serena.slots.green.vmid',
        'image.base.sha256',
        'serena.users',
        'proxmox.nodes',
      ]
      expect(ended.errors.map(({ path }) => path).sort()).toEqual(paths.sort())
      for (const { path, message } of ended.errors) expect(ended.stderr).toContain(`\n  ${path}: ${message}`)
    }
    await expectNothingLeft()
  })

  it('says which storage is missing, and changes nothing', async () => {
    const other = await site.copy('no-storage', (draft) => {
      draft.proxmox.storage!.disks = 'nowhere'
    })
    await copyFile(place.lab.connection.caFile, join(other.folder, 'secrets/proxmox-ca.pem'))
    await place.computer.give(other.folder)
    const { hint } = expectFailure(await other.golden('setup', '--admin', 'admin@pve'), 'storage-missing')
    expect(hint).toContain('local-lvm')
    await expectNothingLeft()
  })

  it("does not touch a VM of somebody else that has a depot's VMID", async () => {
    await place.root.task(await place.root.post('/nodes/pve/qemu', { vmid: 9020, name: 'mail', memory: 64, description: 'ours' }))
    const config = await place.root.get('/nodes/pve/qemu/9020/config')
    const taken = await place.inventory()
    await copyFile(place.lab.connection.caFile, join(site.folder, 'secrets/proxmox-ca.pem'))
    await place.computer.give(site.folder)
    const { message } = expectFailure(await site.golden('setup', '--admin', 'admin@pve'), 'vmid-taken')
    expect(message).toMatch(/9020.*mail/)
    expect(await place.inventory()).toEqual(taken)
    expect(await place.root.get('/nodes/pve/qemu/9020/config')).toEqual(config)
    await place.root.task(await place.root.del('/nodes/pve/qemu/9020'))
  })

  it("refuses an administrator's wrong password", async () => {
    const ended = await place.computer.run(join(place.computer.clone, 'scripts/golden'), ['setup', '--admin', 'admin@pve', '--json'], {
      env: { GOLDEN_SITE: site.folder, PROXMOX_ADMIN_PASSWORD: 'guess' },
    })
    const { message } = expectFailure(ended, 'admin-not-accepted')
    expect(message).toContain('admin@pve')
    await expectNothingLeft()
  })
})

describe('when the host is prepared', () => {
  beforeAll(async () => {
    await site.done('setup', '--admin', 'admin@pve')
    before = await place.inventory()
  })

  it('says that nothing answers', async () => {
    const closed = await site.copy('unreachable', (draft) => {
      draft.proxmox.url = `https://127.0.0.1:${closedPort}`
    })
    for (const verb of ['bake', 'deploy', 'status']) {
      const { message, hint } = expectFailure(await closed.golden(verb), 'proxmox-unreachable')
      expect(message).toContain(`https://127.0.0.1:${closedPort}`)
      expect(hint).toContain('proxmox.url')
    }
    await expectNothingLeft()
  })

  it('does not talk to a host with another certificate', async () => {
    const other = await site.copy('certificate')
    await copyFile(join(site.folder, 'secrets/ca.pem'), join(other.folder, 'secrets/proxmox-ca.pem'))
    await place.computer.give(other.folder)
    for (const verb of ['bake', 'deploy', 'setup']) {
      const { hint } = expectFailure(
        await other.golden(verb, ...(verb === 'setup' ? ['--admin', 'admin@pve'] : [])),
        'certificate-not-trusted',
      )
      expect(hint).toContain('proxmox-ca.pem')
    }
    await expectNothingLeft()
  })

  it('says that the token is wrong', async () => {
    const other = await site.copy('token')
    await writeFile(join(other.folder, 'secrets/proxmox-token'), '00000000-0000-4000-8000-000000000000\n')
    for (const verb of ['bake', 'deploy']) {
      const { hint } = expectFailure(await other.golden(verb), 'not-authenticated')
      expect(hint).toContain('golden setup --new-token')
    }
    await expectNothingLeft()
  })

  it('says that a storage is full', async () => {
    const fault = place.lab.faults.order({
      task: { type: 'qmcreate' },
      reason: 'unable to create VM: write error: No space left on device',
      times: 5,
    })
    expectFailure(await site.golden('bake'), 'storage-full')
    place.lab.faults.clear(fault)
    await expectNothingLeft()
  })

  it('says that a storage is gone', async () => {
    const other = await site.copy('gone', (draft) => {
      draft.proxmox.storage!.disks = 'nowhere'
    })
    for (const verb of ['bake', 'deploy']) {
      const { message, hint } = expectFailure(await other.golden(verb), 'storage-missing')
      expect(message).toContain('nowhere')
      expect(`${message} ${hint}`).toContain('proxmox.storage.disks')
    }
    await expectNothingLeft()
  })

  it('says which verb makes the image that there is not', async () => {
    const { hint } = expectFailure(await site.golden('deploy'), 'no-image')
    expect(hint).toContain('npx golden bake')
    await expectNothingLeft()
    expect(existsSync(join(site.folder, 'deployment.json'))).toBe(false)
  })

  it('fails a bake whose check fails, and names what was found', async () => {
    const file = join(place.computer.clone, 'images/rootfs/usr/local/share/ca-certificates/registry.crt')
    await place.computer.run('mkdir', ['-p', join(file, '..')])
    await writeFile(file, 'x')
    const { message } = expectFailure(await site.golden('bake'), 'bake-check-failed')
    expect(message).toMatch(/registry-ca: .*\/usr\/local\/share\/ca-certificates\/registry\.crt/)
    await rm(join(file, '../..'), { recursive: true })
    await expectNothingLeft()
  })

  it('takes everything away on Ctrl-C, and the same command succeeds afterwards', async () => {
    const bake = site.start('bake')
    const building = async (): Promise<boolean> =>
      (await place.inventory()).vms.some((vm) => vm.name?.startsWith('golden-build-') && vm.status === 'running')
    await vi.waitUntil(building, { timeout: minute, interval: 200 })
    bake.interrupt()
    const ended = await bake.ended
    expect(ended, ended.stderr).toMatchObject({ code: 130, error: { code: 'cancelled', hint: expect.stringContaining('golden bake') } })
    await expectNothingLeft()
    expect(await site.done('bake')).toMatchObject({ outcome: 'baked' })
    expect((await place.inventory()).vms.filter((vm) => vm.template)).toHaveLength(2)
  })
})

it('gives up a build VM that never answers by SSH after the time that the site allows, and removes it', async () => {
  const { message, hint } = expectFailure(await withoutSsh, 'bake-no-ssh')
  expect(message).toContain('1 minutes')
  expect(hint).toContain('image.build.sshTimeoutMinutes')
  expect(hint).toContain('proxmox.socksProxy')
  const { vms, volumes, temporary, processes } = withoutBase(await slow.inventory())
  expect(vms.map((vm) => vm.name)).toEqual(['test-serena-depot', 'test-logging-depot'])
  expect({ volumes, temporary, processes }).toEqual({ volumes: [], temporary: [], processes: [] })
})

/** A port that nothing listens on: it was free a moment ago. */
const closedPort = await new Promise<number>((done) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const address = server.address()
    server.close(() => done(typeof address === 'object' && address !== null ? address.port : 9))
  })
})
