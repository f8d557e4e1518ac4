/** How a fake guest misbehaves, for tests of failures: ordered per machine through the driver's options. */
import type { MachineSpec } from '../driver.ts'

export interface Behaviour {
  /** Milliseconds from power-on to the kernel. @default 20 */
  readonly bootMs?: number
  /** `never`: nothing answers on port 22. */
  readonly ssh?: 'never'
  /** `hung`: the agent's channel is there and nobody answers. */
  readonly agent?: 'hung'
  /** The guest ignores requests to switch off. */
  readonly ignoresShutdown?: boolean
  /** The guest does not let go of disks. */
  readonly refusesUnplug?: boolean
  /** The machine dies that many milliseconds after its start. */
  readonly crashAfterMs?: number
  /** `start` itself fails with this message. */
  readonly startFails?: string
  /** Image references that `docker pull` fails for; parts of a reference. */
  readonly pullFails?: readonly string[]
  /** References whose content is not what the registry is asked for; parts of a reference. */
  readonly pullsAltered?: readonly string[]
  /** `docker cp` to standard output ends in the middle; without a word, as one that is killed: between two files. */
  readonly copyFails?: 'with a word' | 'without a word' | undefined
  /** What `apt-get update` fails with, in apt's words. */
  readonly updateFails?: string | undefined
  /** What the archive has in other versions than the model. */
  readonly archive?: Readonly<Record<string, string>>
  /** Compose services whose program ends with an error when it is run with `docker compose run`. */
  readonly broken?: readonly string[]
  /** Containers that answer nothing. */
  readonly unhealthy?: readonly string[]
}

export interface BehaviourRule extends Behaviour {
  /** The machines that it holds for: a VMID, or a test of the name, such as a pattern. */
  readonly match: number | { test(name: string): boolean }
}

/** The rules that hold for a machine, later ones over earlier ones. */
export function behaviourOf(rules: readonly BehaviourRule[], spec: MachineSpec): Behaviour {
  return rules
    .filter(({ match }) => (typeof match === 'number' ? match === spec.vmid : match.test(spec.name)))
    .reduce<Behaviour>((sum, { match: _, ...rule }) => ({ ...sum, ...rule }), {})
}
