/** Settings of the base template's VM. Images inherit them, so both fingerprints depend on them. */
export const baseVm = {
  ostype: 'l26',
  cpu: 'x86-64-v2-AES',
  cores: 1,
  memory: 1024,
  onboot: 0,
  agent: 1,
  scsihw: 'virtio-scsi-pci',
  boot: 'order=scsi0',
  serial0: 'socket',
} as const

/** Of its only disk, scsi0. */
export const baseDisk = 'discard=on'
