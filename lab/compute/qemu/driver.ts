/** Real guests: QEMU processes on a LAN in network namespaces. */
import { createNetwork, type RealNetwork } from '../../network/network.ts'
import type { ComputeDriver, Machine } from '../driver.ts'
import { chooseAcceleration } from './acceleration.ts'
import { startMachine } from './machine.ts'
import { createVolumeStore } from './volumes.ts'

export interface QemuDriverOptions {
  /** The lab's state folder; exists. */
  readonly stateDir: string
  readonly subnet: string
  readonly log: (line: string) => void
}

export interface QemuDriver extends ComputeDriver {
  readonly kind: 'qemu'
  readonly network: RealNetwork
}

/** Needs root and the packages of lab/debian/packages.ts. Rejects, leaving nothing, when the network can't be made. */
export async function createQemuDriver(options: QemuDriverOptions): Promise<QemuDriver> {
  const acceleration = await chooseAcceleration({ log: options.log })
  const network = await createNetwork(options)
  const machines = new Set<Machine>()
  let closed = false
  return {
    kind: 'qemu',
    volumes: createVolumeStore(),
    network,
    start: async (spec) => {
      if (closed) throw new Error('the lab is closing')
      const machine = await startMachine(spec, {
        acceleration,
        enter: network.bridge.enter,
        attach: (nic) => network.attach(spec.vmid, nic),
        detach: (slot) => network.detach(spec.vmid, slot),
      })
      if (closed) {
        await machine.stop()
        throw new Error('the lab is closing')
      }
      machines.add(machine)
      void machine.exited.then(() => machines.delete(machine))
      return machine
    },
    close: async () => {
      closed = true
      await Promise.all([...machines].map((machine) => machine.stop()))
      await network.close()
    },
  }
}
