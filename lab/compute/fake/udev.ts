import { posix } from 'node:path'
import { udevProperties, type Device } from './devices.ts'
import type { Guest } from './guest.ts'
import { ROOT } from './vfs.ts'

/** udev rules of the guest's tree, as far as they name links and units. */
export class Udev {
  readonly #guest: Guest
  constructor(guest: Guest) {
    this.#guest = guest
  }

  /** Links (below /dev) and units for a device. */
  apply(device: Device): { links: string[]; wants: string[] } {
    const { vfs } = this.#guest
    const properties = udevProperties(device)
    const links: string[] = []
    const wants: string[] = []
    for (const folder of ['/usr/lib/udev/rules.d', '/run/udev/rules.d', '/etc/udev/rules.d']) {
      if (!vfs.exists(folder)) continue
      for (const [file, node] of vfs.readdir(folder, ROOT).entries) {
        if (!file.endsWith('.rules') || node.kind !== 'file') continue
        let goto: string | undefined
        for (const line of node.data.toString().replaceAll(/\\\n/g, ' ').split('\n')) {
          if (/^\s*(#|$)/.test(line)) continue
          if (goto !== undefined) {
            if (line.includes(`LABEL="${goto}"`)) goto = undefined
            continue
          }
          const parts = [...line.matchAll(/(\w+)(?:\{([^}]+)\})?\s*(==|!=|\+=|:=|=)\s*"([^"]*)"/g)].map(
            ([, key = '', attribute = '', operator = '', value = '']) => ({ key, attribute, operator, value }),
          )
          const matches = parts
            .filter((part) => part.operator === '==' || part.operator === '!=')
            .every(({ key, attribute, operator, value }) => {
              const actual =
                key === 'ENV'
                  ? properties[attribute]
                  : key === 'ATTRS' || key === 'ATTR'
                    ? attribute === 'serial'
                      ? properties.ID_SERIAL_SHORT
                      : undefined
                    : properties[key === 'KERNELS' ? 'KERNEL' : key]
              const hit = actual !== undefined && value.split('|').some((glob) => posix.matchesGlob(actual, glob) || glob === actual)
              return operator === '==' ? hit : !hit
            })
          if (!matches) continue
          for (const { key, attribute, value } of parts.filter((part) => !['==', '!='].includes(part.operator))) {
            const text = value.replaceAll('%k', device.name).replaceAll('$kernel', device.name)
            if (key === 'GOTO') goto = text
            if (key === 'SYMLINK') links.push(...text.split(/\s+/).filter(Boolean))
            if (key === 'ENV' && attribute === 'SYSTEMD_WANTS') wants.push(...text.split(/\s+/).filter(Boolean))
            if (key === 'ENV') properties[attribute] = text
          }
        }
      }
    }
    return { links, wants }
  }
}
