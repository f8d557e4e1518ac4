/** Images and bases as the catalogue has them. */
import { seedForm } from '../../images/contract/seed.ts'
import { isNewer } from '../../images/channels.ts'
import type { Base, Image } from '../../images/catalog.ts'
import type { BaseRecord, TemplateRecord } from '../../images/record.ts'
import { hash } from './example.ts'

const fingerprintOf = (vmid: number): string => String(vmid).padStart(64, '0')

/** @param change also of what its record says, in `record` */
export function anImage(
  vmid: number,
  { record, ...change }: Partial<Omit<Image, 'record'>> & { readonly record?: Partial<TemplateRecord> } = {},
): Image {
  const fingerprint = record?.fingerprint ?? fingerprintOf(vmid)
  return {
    vmid,
    name: `golden-home-${fingerprint.slice(-12)}`,
    node: 'pve',
    storage: 'local-lvm',
    volume: `local-lvm:base-${vmid}-disk-0`,
    digest: `digest ${vmid}`,
    channel: 'candidate',
    verification: 'none',
    revoked: false,
    ...change,
    record: {
      schema: 1,
      kind: 'image',
      site: 'home',
      fingerprint,
      lock: hash('b'),
      base: { os: 'debian-13', sha256: hash('a') },
      built: '2026-11-23T12:00:00.000Z',
      seed: seedForm,
      services: {},
      ...record,
    },
  }
}

export function aBase(
  vmid: number,
  { record, ...change }: Partial<Omit<Base, 'record'>> & { readonly record?: Partial<BaseRecord> } = {},
): Base {
  return {
    vmid,
    name: `golden-base-home-${fingerprintOf(vmid).slice(-12)}`,
    node: 'pve',
    storage: 'local-lvm',
    volume: `local-lvm:base-${vmid}-disk-0`,
    digest: `digest ${vmid}`,
    revoked: false,
    ...change,
    record: {
      schema: 1,
      kind: 'base',
      site: 'home',
      fingerprint: fingerprintOf(vmid),
      base: { os: 'debian-13', sha256: hash('a') },
      built: '2026-11-01T12:00:00.000Z',
      ...record,
    },
  }
}

/** As the catalogue lists them. */
export const newestFirst = (images: readonly Image[]): Image[] => [...images].sort((a, b) => (isNewer(a, b) ? -1 : 1))
