/**
 * What the pause of a handover is held against: on one VM, with the same clients, calls are kept waiting while Serena's
 * containers are stopped and started, and nothing else is done.
 */
import { programsFolder } from '../images/guest/places.ts'
import { longestCallFigure } from './move.ts'
import { guestAt, type Scene } from './scene.ts'
import { inGuest } from './survive.ts'
import { longestLine } from './traffic/summary.ts'

/** With the guest's own modules, in a Node that has loaded them before anybody waits. Says how long each step took. */
const script = (seconds: number): string => `
const at = (name) => import('${programsFolder}/' + name + '.js')
const [{ thisMachine: machine }, { readSlot }, { setHandoverState }, docker, { untilServing }, { presentContainers }] =
  await Promise.all(['machine', 'slot', 'keeper-control', 'docker', 'serving', 'places'].map(at))
const slot = readSlot(machine.files)
const names = presentContainers(slot.seed, slot.image).filter(({ unit }) => unit === 'serena').map(({ name }) => name)
const parts = {}
const timed = async (name, work) => { const began = performance.now(); const answer = await work(); parts[name] = performance.now() - began; return answer }
await setHandoverState(machine, 'park')
try {
  await timed('stop', () => Promise.all(names.map((name) => docker.stopContainer(machine, name))))
  await timed('start', () => Promise.all(names.map((name) => docker.startContainer(machine, name))))
  if (!(await timed('until it answers', () => untilServing(machine, slot, ${seconds})))) throw new Error('Serena does not answer')
} finally {
  await setHandoverState(machine, 'open')
}
console.log(JSON.stringify(parts))`

/** An emulated guest's Serena takes minutes. */
const startSeconds = 900

/** Nobody else starts what has ended, or opens the gate, meanwhile. */
const command = `systemctl stop golden-watch
trap 'systemctl start golden-watch' EXIT
NODE_COMPILE_CACHE=/var/cache/golden /opt/golden/node/bin/node --input-type=module -e "$(cat <<'END'${script(startSeconds)}
END
)"`

/** @param slot that has the data */
export function measureFloor(scene: Scene, slot: 'blue' | 'green'): Promise<boolean> {
  const { checks, load, serena } = scene
  return checks.check("two VMs: what that is held against: Serena's container stopped and started on one VM", async () => {
    if (load === undefined) throw new Error('there are no clients')
    const { traffic } = load
    const began = Date.now()
    const said = await inGuest(guestAt(scene, serena, slot), command, (startSeconds + 300) * 1000)
    await traffic.round()
    const calls = traffic.record.calls.filter((call) => call.began + call.ms >= began)
    const parts = JSON.parse(said) as Record<string, number>
    checks.found(longestLine(calls))
    checks.figure(longestCallFigure, Math.max(...calls.map(({ ms }) => ms)))
    for (const [name, ms] of Object.entries(parts)) {
      checks.found(`${name}: ${(ms / 1000).toFixed(1)} s`)
      checks.figure(name, ms)
    }
  })
}
