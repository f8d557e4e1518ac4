/** The seed of the build VM: a user for Packer, and the address at which Packer finds it. */
import { renderIso } from '../core/formats/iso.ts'
import { parseNetwork } from '../settings/address.ts'
import type { Site } from '../settings/site.ts'

export const buildUser = 'bake'
/** Every trace of this name is looked for in the finished image. */
export const buildHost = 'golden-build'
/** Far from the uids that the image's own users have (images/rootfs/usr/lib/sysusers.d). */
const buildUid = 2999

export interface BuildSeed {
  readonly site: Site
  readonly mac: string
  /** In OpenSSH's form. */
  readonly publicKey: string
  /** Random: a new one makes cloud-init take the machine for a new one. */
  readonly instance: string
}

/** A NoCloud seed (cloud-init's data source of that name) as an ISO image. Holds no secret. */
export function renderBuildSeed(options: BuildSeed): Buffer {
  const { network, image } = options.site
  const prefix = parseNetwork(network.subnet)?.prefix
  if (prefix === undefined) throw new Error(`not a network: ${network.subnet}`)
  const metaData = { 'instance-id': `golden-build-${options.instance}`, 'local-hostname': buildHost }
  const userData = {
    hostname: buildHost,
    ssh_pwauth: false,
    users: [
      {
        name: buildUser,
        uid: buildUid,
        lock_passwd: true,
        shell: '/bin/sh',
        sudo: ['ALL=(ALL) NOPASSWD:ALL'],
        ssh_authorized_keys: [options.publicKey.trim()],
      },
    ],
  }
  const networkConfig = {
    version: 2,
    ethernets: {
      lan: {
        // The MAC address in lower case: that is how cloud-init compares it.
        match: { macaddress: options.mac.toLowerCase() },
        'set-name': 'eth0',
        dhcp4: false,
        addresses: [`${image.build.address}/${prefix}`],
        routes: [{ to: '0.0.0.0/0', via: network.gateway }],
        nameservers: { addresses: [...network.nameservers] },
      },
    },
  }
  // JSON is YAML, and needs no rules of quoting.
  return renderIso(
    'cidata',
    new Map([
      ['meta-data', `${JSON.stringify(metaData, null, 2)}\n`],
      ['user-data', `#cloud-config\n${JSON.stringify(userData, null, 2)}\n`],
      ['network-config', `${JSON.stringify(networkConfig, null, 2)}\n`],
    ]),
  )
}
