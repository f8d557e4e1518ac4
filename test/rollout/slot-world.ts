/**
 * The guests of rollout tests: the lab's fake ones, with the image's own programs in them. What they are asked is
 * written down, and they can be made ill.
 */
import { basename } from 'node:path'
import { guestContents } from '../../demo/guest-contents.ts'
import type { ComputeDriver, MachineSpec } from '../../lab/compute/driver.ts'
import { createFakeDriver, type FakeDriver } from '../../lab/compute/fake/driver.ts'
import type { GuestAnswer, GuestContents, GuestFiles, GuestProgram, GuestQuestion, GuestSystem } from '../../lab/compute/fake/programs.ts'

export interface SlotWorld {
  /** File systems by UUID, as long as nobody makes another: which guests have made and mounted them. */
  readonly disks: Map<string, { readonly formattedBy: string; readonly mountedBy: string[] }>
  /** Every slotctl call, in order, e.g. `home-serena-blue format`. */
  readonly calls: string[]
  /** In VMs of these names nginx does not answer. */
  readonly ill: Set<string>
  /** VMs of these names have no agent. */
  readonly mute: Set<string>
  /** The same, until they are reset. */
  readonly hung: Set<string>
  /** VMs of these names do not switch off when they are asked to. */
  readonly stubborn: Set<string>
  /** What runs in the place of one of the image's programs, by the name of its file. @returns undefined: the program itself */
  instead: (script: string, args: readonly string[], system: GuestSystem) => Promise<number> | undefined
  /** What answers over HTTP in the place of a container. @returns undefined: the container */
  spoil: (question: GuestQuestion, files: GuestFiles) => GuestAnswer | undefined
  /** The model of a running VM. */
  guest: FakeDriver['guest']
}

export const newWorld = (): SlotWorld => ({
  disks: new Map(),
  calls: [],
  ill: new Set(),
  mute: new Set(),
  hung: new Set(),
  stubborn: new Set(),
  instead: () => undefined,
  spoil: () => undefined,
  guest: () => undefined,
})

export async function createSlotDriver(
  options: { stateDir: string; subnet: string; log: (line: string) => void },
  world: SlotWorld,
): Promise<ComputeDriver> {
  const among = (...sets: Set<string>[]) => ({ test: (name: string) => sets.some((set) => set.has(name)) })
  const fake: FakeDriver = await createFakeDriver({
    ...options,
    contents: watched(world, (vmid) => dataDiskOf(fake, vmid)),
    behaviours: [
      { match: /./, bootMs: 1 },
      { match: among(world.ill), unhealthy: ['nginx_proxy'] },
      { match: among(world.mute, world.hung), agent: 'hung' },
      { match: among(world.stubborn), ignoresShutdown: true },
    ],
  })
  world.guest = fake.guest
  return {
    ...fake,
    async start(spec: MachineSpec) {
      const machine = await fake.start(spec)
      return {
        ...machine,
        reset() {
          world.hung.delete(spec.name)
          return machine.reset()
        },
        async unplugDrive(slot) {
          const disk = machine.guest.devices.disks.find((one) => one.slot === slot)
          if (machine.guest.vfs.mounts.some(({ source }) => source === `/dev/${disk?.name}`))
            throw new Error('the test unplugged a mounted disk')
          return machine.unplugDrive(slot)
        },
      }
    },
  }
}

/** The UUID of the file system on the data disk that is plugged in. */
function dataDiskOf(fake: FakeDriver, vmid: number): string | undefined {
  const content = fake.guest(vmid)?.devices.disks.find(({ serial }) => serial === 'golden-data')?.content
  return content?.kind === 'filesystem' ? content.filesystem.uuid : undefined
}

/** The same contents, with every call of slotctl that does something written down. */
function watched(world: SlotWorld, diskOf: (vmid: number) => string | undefined): GuestContents {
  const watch =
    (program: GuestProgram): GuestProgram =>
    async (args, system) => {
      const [script = '', verb = ''] = args
      const other = world.instead(basename(script), args.slice(1), system)
      if (other !== undefined) return other
      if (basename(script) !== 'slotctl.js' || verb === 'status') return program(args, system)
      world.calls.push(`${system.name} ${verb}`)
      const exitCode = await program(args, system)
      const disk = diskOf(system.vmid)
      if (exitCode !== 0 || disk === undefined) return exitCode
      if (verb === 'format') world.disks.set(disk, { formattedBy: system.name, mountedBy: [] })
      if (verb === 'activate') world.disks.get(disk)?.mountedBy.push(system.name)
      return exitCode
    }
  return {
    ...guestContents,
    answer: (question, files, ...more) => world.spoil(question, files) ?? guestContents.answer?.(question, files, ...more),
    programs: Object.fromEntries(Object.entries(guestContents.programs ?? {}).map(([path, program]) => [path, watch(program)])),
  }
}
