/** A night in which much happened, and those before it. */
import type { HeldNight } from '../../nightly/hold-night.ts'
import type { NightRecord } from '../../nightly/night.ts'
import { entryOf, type NightEntry } from '../../nightly/nights.ts'

const image = { vmid: 9004, name: 'golden-home-b7c1d0e95a21' }
const before = 'golden-home-0f3a9d42c8e1'

export const eventful: NightRecord = {
  schema: 1,
  site: 'home',
  by: 'runner@ci',
  began: '2026-11-29T02:30:04.000Z',
  ended: '2026-11-29T03:21:40.000Z',
  outcome: 'new',
  steps: [
    { step: 'lock', ms: 2100, ok: true },
    { step: 'bake', ms: 642_000, ok: true },
    { step: 'verify', ms: 1_518_000, ok: true },
    { step: 'promote', ms: 900, ok: true },
    { step: 'rollout', ms: 904_000, ok: true },
    { step: 'prune', ms: 12_000, ok: true },
    { step: 'deliver', ms: 1500, ok: true },
  ],
  news: [{ what: 'package', name: 'openssl', from: '3.5.1-1', to: '3.5.1-1+deb13u1' }],
  baked: image,
  verified: {
    image,
    passed: true,
    checks: [
      { name: 'cloud-init ends without a complaint', ok: true },
      { name: 'a whole MCP session through nginx', ok: true, detail: '41 tools, 12 calls, 3.2 s' },
      { name: 'the firewall, scanned from outside and from the containers', ok: true, detail: '28 ports' },
      { name: 'survives a reboot', ok: true, detail: '74 s' },
    ],
  },
  promoted: [image],
  rolledOut: [
    { group: 'logging', from: before, to: image.name, ms: 421_000 },
    { group: 'serena', from: before, to: image.name, ms: 483_000 },
  ],
  refused: null,
  removed: [
    { what: 'image', name: 'golden-home-77aa01be4410', bytes: 5_368_709_120 },
    { what: 'seed', name: 'seed-9011-0a1b2c3d4e5f.iso', bytes: null },
  ],
  delivered: { to: 'pull-request', branch: 'golden/nightly', commit: '7d1f3c0b8a9e', pushed: true, asked: true },
  failure: null,
  complaints: [],
  notes: [],
  warnings: [],
  survey: {
    differences: {
      from: before,
      to: image.name,
      news: [
        { what: 'package', name: 'openssl', from: '3.5.1-1', to: '3.5.1-1+deb13u1' },
        { what: 'package', name: 'libssl3t64', from: '3.5.1-1', to: '3.5.1-1+deb13u1' },
        {
          what: 'container',
          name: 'serena',
          from: `ghcr.io/oraios/serena@sha256:${'1f'.repeat(32)}`,
          to: `ghcr.io/oraios/serena@sha256:${'2e'.repeat(32)}`,
        },
        { what: 'file', name: 'usr/local/lib/golden/watch.js', from: '3b5d5c3712955042', to: null },
      ],
      unknown: [],
    },
    certificates: [
      { group: 'serena', name: 'the public certificate', ends: '2026-12-18T00:00:00.000Z', daysLeft: 18, due: true },
      { group: 'serena', name: "the site's CA", ends: '2036-11-20T00:00:00.000Z', daysLeft: 3643, due: false },
    ],
    images: [
      {
        ...image,
        built: '2026-11-29T02:31:00.000Z',
        channel: 'stable',
        verification: 'passed',
        revoked: false,
        bytes: 5_905_580_032,
        usedBy: ['serena green', 'logging green'],
      },
      {
        name: before,
        vmid: 9003,
        built: '2026-11-22T02:31:00.000Z',
        channel: 'stable',
        verification: 'passed',
        revoked: false,
        bytes: 5_798_205_849,
        usedBy: ['serena blue (rests)'],
      },
      {
        name: 'golden-home-deadbeef0000',
        vmid: 9002,
        built: '2026-11-15T02:31:00.000Z',
        channel: 'candidate',
        verification: 'failed',
        revoked: true,
        bytes: null,
        usedBy: [],
      },
    ],
    storage: { name: 'local-lvm', usedBytes: 91_268_055_040, totalBytes: 214_748_364_800 },
    warnings: [],
  },
}

const earlier = (day: number, change: Partial<NightEntry> = {}): NightEntry => ({
  ...entryOf(eventful),
  began: `2026-11-${String(day).padStart(2, '0')}T02:30:00.000Z`,
  outcome: 'nothing',
  steps: [{ step: 'lock', ms: 2300 }],
  ...change,
})

export const eventfulNight: HeldNight = {
  record: eventful,
  before: [
    earlier(17),
    earlier(18),
    earlier(19, {
      outcome: 'new',
      steps: [
        { step: 'lock', ms: 2100 },
        { step: 'bake', ms: 610_000 },
        { step: 'verify', ms: 1_400_000 },
      ],
    }),
    earlier(20),
    earlier(21, {
      outcome: 'failed',
      steps: [
        { step: 'lock', ms: 3000 },
        { step: 'bake', ms: 190_000 },
      ],
    }),
    earlier(22, {
      outcome: 'new',
      steps: [
        { step: 'lock', ms: 2600 },
        { step: 'bake', ms: 655_000 },
        { step: 'verify', ms: 1_490_000 },
        { step: 'rollout', ms: 880_000 },
      ],
    }),
    earlier(23),
    earlier(24),
    earlier(25),
    earlier(26),
    earlier(27),
    earlier(28, { outcome: 'killed', steps: [{ step: 'bake', ms: 0 }] }),
  ],
}
