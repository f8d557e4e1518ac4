/**
 * The time of a VM without NTP servers: its hardware clock, which the hypervisor keeps at the host's time. By itself a
 * guest only starts with that; its own counter drifts away from it, and stands still while the VM is suspended.
 */
import type { Machine } from './machine.ts'

const hardwareClock = '/sys/class/rtc/rtc0/since_epoch'
/** The hardware clock tells whole seconds, and the kernel may be one behind it. */
const toleranceMs = 2000

/** The time to set, in milliseconds, or undefined where the clock is right. */
export function correction(nowMs: number, hostSeconds: number): number | undefined {
  const host = hostSeconds * 1000 + 500
  return Number.isFinite(host) && host > 0 && Math.abs(nowMs - host) > toleranceMs ? host : undefined
}

/** Sets the clock where it is wrong. */
export async function keepClock(machine: Machine): Promise<void> {
  if (!machine.files.exists(hardwareClock)) return
  const wanted = correction(machine.now(), Number.parseInt(machine.files.read(hardwareClock), 10))
  if (wanted === undefined) return
  machine.say("the clock is not the host's any more: setting it")
  const { stderr } = await machine.run('date', ['--utc', `--set=@${wanted / 1000}`])
  if (stderr !== '') machine.complain(stderr.trimEnd())
}

/** For systemd-timesyncd: servers of the site alone. The distribution's names would be asked in vain, the firewall lets nothing out to them. */
export const timesyncdConfiguration = (servers: readonly string[]): string => `[Time]\nNTP=${servers.join(' ')}\nFallbackNTP=\n`
