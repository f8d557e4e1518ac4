/** The `fake` compute driver: modelled guests in this process. No root, no system programs, seconds instead of minutes. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { ComputeDriver, MachineSpec } from '../driver.ts'
import type { Recorder } from '../../record.ts'
import { behaviourOf, type BehaviourRule } from './behaviour.ts'
import type { Guest, World } from './guest.ts'
import { startMachine, type FakeMachine } from './machine.ts'
import { modelOf, type GuestContents } from './programs.ts'
import { FakeNetwork } from './network.ts'
import { createBlobStore, createVolumeStore } from './volumes.ts'

const LAB_BASE = ['qemu-guest-agent', 'nftables', 'curl', 'zstd', 'fdisk', 'dosfstools', 'apt-utils', 'systemd-resolved']

export interface FakeDriverOptions {
  /** Folder for what is kept beside the volumes. */
  readonly stateDir: string
  /** e.g. `10.77.0.0/24` */
  readonly subnet: string
  readonly log?: (line: string) => void
  /** How guests misbehave. Looked at anew whenever it matters, so rules may be added while guests run. */
  readonly behaviours?: readonly BehaviourRule[]
  /** Packages that base images have on top of those of Debian's cloud image. @default what the lab's real base has (lab/debian/base.ts) */
  readonly packages?: readonly string[]
  /** What is in the guests besides the modelled Debian. @default nothing */
  readonly contents?: GuestContents
  /** Gets what is asked of guests over SSH, and the programs that run in them. @default nobody */
  readonly recorder?: Recorder
}

export interface FakeDriver extends ComputeDriver {
  readonly kind: 'fake'
  readonly network: FakeNetwork
  start(spec: MachineSpec): Promise<FakeMachine>
  /** The model of a running machine, for tests. */
  guest(vmid: number): Guest | undefined
  /** Adds a rule; returns a function that takes it back. */
  behave(rule: BehaviourRule): () => void
}

export async function createFakeDriver(options: FakeDriverOptions): Promise<FakeDriver> {
  await mkdir(options.stateDir, { recursive: true })
  const machines = new Map<number, FakeMachine>()
  const rules: BehaviourRule[] = []
  const { contents = {} } = options
  const volumes = createVolumeStore()
  const network = new FakeNetwork(options.subnet, () => [...machines.values()].map((machine) => machine.guest))
  const world: World = {
    blobs: createBlobStore(join(options.stateDir, 'blobs')),
    packages: options.packages ?? LAB_BASE,
    contents,
    programFiles: Object.fromEntries(Object.entries(contents.programs ?? {}).map(([path, program]) => [path, modelOf(program)])),
    bytesOf: async (path) => (await volumes.info(path)).virtualBytes,
    internet: (guest, port) => network.internet(guest, port),
    reachable: (guest, address) => network.reachable(guest, address),
    neighbour: (from, address, port) => network.neighbour(from, address, port),
    behaviour: (spec) => behaviourOf([...(options.behaviours ?? []), ...rules], spec),
    log: options.log ?? (() => {}),
    recorder: options.recorder,
  }
  return {
    kind: 'fake',
    volumes,
    network,
    async start(spec: MachineSpec) {
      if (machines.has(spec.vmid)) throw new Error(`VM ${spec.vmid} is running already`)
      const machine = await startMachine(spec, world, (path, bytes) => volumes.resize(path, bytes))
      machines.set(spec.vmid, machine)
      void machine.exited.then(() => {
        if (machines.get(spec.vmid) === machine) machines.delete(spec.vmid)
      })
      return machine
    },
    guest: (vmid) => machines.get(vmid)?.guest,
    behave(rule) {
      rules.push(rule)
      return () => {
        rules.splice(rules.indexOf(rule), 1)
      }
    },
    async close() {
      await Promise.all([...machines.values()].map((machine) => machine.stop()))
    },
  }
}
