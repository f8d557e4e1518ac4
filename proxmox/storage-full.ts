/** Whether Proxmox (or the file system, LVM or ZFS below it) says that there is no room. None of them has a code for it. */
export function saysFull(message: string): boolean {
  return /no space left|not enough (free )?space|out of space|insufficient free|disk full|ENOSPC/i.test(message)
}

/** What mends it. */
export const storageFullHint =
  'Make room on the storages of proxmox.storage in site.ts, for instance by removing images that are no longer needed; then run the same command again.'
