/**
 * The time of a VM without NTP servers: its hardware clock, which the hypervisor keeps at the host's time. By itself a
 * guest only starts with that; its own counter drifts away from it, and stands still while the VM is suspended.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'

const hardwareClock = '/sys/class/rtc/rtc0/since_epoch'
/** The hardware clock tells whole seconds, and the kernel may be one behind it. */
const toleranceMs = 2000

/** The time to set, in milliseconds, or undefined where the clock is right. */
export function correction(nowMs: number, hostSeconds: number): number | undefined {
  const host = hostSeconds * 1000 + 500
  return Number.isFinite(host) && host > 0 && Math.abs(nowMs - host) > toleranceMs ? host : undefined
}

/** Sets the clock where it is wrong. */
export function keepClock(): void {
  if (!existsSync(hardwareClock)) return
  const wanted = correction(Date.now(), Number.parseInt(readFileSync(hardwareClock, 'utf8'), 10))
  if (wanted === undefined) return
  console.log("the clock is not the host's any more: setting it")
  spawnSync('date', ['--utc', `--set=@${wanted / 1000}`], { stdio: ['ignore', 'ignore', 'inherit'] })
}

/** For systemd-timesyncd: servers of the site alone. The distribution's names would be asked in vain, the firewall lets nothing out to them. */
export const timesyncdConfiguration = (servers: readonly string[]): string => `[Time]\nNTP=${servers.join(' ')}\nFallbackNTP=\n`
