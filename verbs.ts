/** Every verb, with one line for `golden help`, which loads none of them. */
import type { Verb } from './scripts/verb.ts'

export interface Entry {
  readonly summary: string
  readonly load: () => Promise<{ readonly verb: Verb }>
  /** Called by Terraform's provisioners, not by people. */
  readonly hidden?: true
}

export const verbs: Readonly<Record<string, Entry>> = {
  init: {
    summary:
      'look at the host, ask, and write a first site.ts with certificates, passwords and keys; again after a change of names or users',
    load: () => import('./scripts/init.ts'),
  },
  setup: {
    summary: 'prepare the Proxmox host once: roles, token, pools, ISO storage, depots (or --print a script for it)',
    load: () => import('./scripts/setup.ts'),
  },
  doctor: {
    summary: 'look at all that the other verbs need, before anything is touched: each line is fine, or says what mends it',
    load: () => import('./scripts/doctor.ts'),
  },
  lock: {
    summary: 'find out what goes into the image by now (base, packages, containers), and write images.lock.json',
    load: () => import('./scripts/lock.ts'),
  },
  bake: {
    summary: 'bake the image with Packer; does nothing when an image of the same inputs is there',
    load: () => import('./scripts/bake.ts'),
  },
  images: {
    summary: 'list the images: age, channel, verified or not, who uses them; what is different between two; what is vulnerable in one',
    load: () => import('./scripts/images.ts'),
  },
  promote: {
    summary: 'put an image into a channel; deployments and rollouts take the newest one of theirs',
    load: () => import('./scripts/promote.ts'),
  },
  revoke: {
    summary: 'mark an image, or a base and all that was made from it: it is never deployed again',
    load: () => import('./scripts/revoke.ts'),
  },
  sign: {
    summary: 'vouch for an image that was baked without a signature, or whose disk was moved',
    load: () => import('./scripts/sign.ts'),
  },
  prune: {
    summary: 'remove images, bases and seeds that nobody needs; shows first what goes, and asks',
    load: () => import('./scripts/prune.ts'),
  },
  verify: {
    summary: 'try an image out: clones of it do all that a slot does, and are gone; the newest, or the one that is named',
    load: () => import('./scripts/verify.ts'),
  },
  deploy: {
    summary: 'make the VMs of all groups as they are pinned, logging first; says so when there is nothing to do',
    load: () => import('./scripts/deploy.ts'),
  },
  status: { summary: 'tell what runs where: slot, image, addresses, credentials, health', load: () => import('./scripts/status.ts') },
  certificate: { summary: 'have the slot ask its ACME server for a certificate at once', load: () => import('./scripts/certificate.ts') },
  client: {
    summary: "print an AI coding client's MCP settings, --write them into its file, or --check what a client sees from here",
    load: () => import('./scripts/client.ts'),
  },
  rollout: {
    summary: 'let a new slot take over: newest image, settings and secrets of today; clients do not notice',
    load: () => import('./scripts/rollout.ts'),
  },
  rollback: { summary: 'let the slot before serve again', load: () => import('./scripts/rollback.ts') },
  nightly: {
    summary: 'lock, bake, verify, promote, roll out and prune, as the site says; a report; exit code 10: there is a new image',
    load: () => import('./scripts/nightly.ts'),
  },
  destroy: {
    summary: 'remove the VMs of all (or the named) groups; their data disks stay in the depots',
    load: () => import('./scripts/destroy.ts'),
  },
  'delete-data': {
    summary: "delete the data disk of one group for good; asks for the group's name",
    load: () => import('./scripts/delete-data.ts'),
  },
  env: {
    summary: 'print PATH and the like for plain tools: eval "$(npx golden env)"; npx cdktn deploy \'*\'',
    load: () => import('./scripts/env.ts'),
  },
  hook: {
    summary: "hand a group's data disk over (called while stacks are applied)",
    load: () => import('./scripts/hook.ts'),
    hidden: true,
  },
  demo: {
    summary: 'show the whole thing on this computer: lab, setup, bake, deploy, checks; needs no Proxmox',
    load: () => import('./demo/demo.ts'),
  },
  tour: {
    summary: 'tell the whole story in two minutes, with models of guests: no root, no QEMU, no Proxmox; leaves nothing',
    load: () => import('./demo/tour.ts'),
  },
  lab: {
    summary: 'start a Proxmox-compatible API over local QEMU (or fake) guests and keep it running until Ctrl-C',
    load: () => import('./demo/lab.ts'),
  },
  completion: {
    summary: 'print what lets bash, zsh or fish complete verbs, options and names',
    load: async () => (await import('./scripts/completion.ts')).completionOf(verbs),
  },
  version: { summary: 'print the versions of this project, its commit and its Node', load: () => import('./scripts/version.ts') },
}
