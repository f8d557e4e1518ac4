/** Which versions a site wants, where it does not leave that to the pins. Pure. */
import { PINS, pluginRelease, type Pin, type Platform, type ToolName } from './pins.ts'

export interface WantedVersions {
  readonly provider?: string | undefined
  readonly packerPlugin?: string | undefined
}

const platforms: readonly Platform[] = ['linux_amd64', 'linux_arm64', 'darwin_amd64', 'darwin_arm64']

/** What comes where nothing is in the way: a release may be newer than what can be built. */
export const newestOf = ({ version, releases }: Pin): string => releases.linux_amd64?.version ?? version

/** Of another version nobody has pinned a digest, nor a module to build: it comes by a signature, or from PATH. */
export function wantedPins({ provider, packerPlugin }: WantedVersions): Readonly<Record<ToolName, Pin>> {
  const { 'terraform-provider-proxmox': ownProvider, 'packer-plugin-proxmox': ownPlugin } = PINS
  const isPinned = platforms.some((platform) => ownPlugin.releases[platform]?.version === packerPlugin)
  return {
    ...PINS,
    ...(provider === undefined || provider === ownProvider.version
      ? {}
      : {
          'terraform-provider-proxmox': {
            ...ownProvider,
            version: provider,
            path: { command: `terraform-provider-proxmox_v${provider}`, accept: 'name' },
            canBuild: false,
          },
        }),
    ...(packerPlugin === undefined
      ? {}
      : {
          'packer-plugin-proxmox': {
            ...ownPlugin,
            version: packerPlugin,
            releases: isPinned
              ? ownPlugin.releases
              : Object.fromEntries(platforms.map((platform) => [platform, pluginRelease(packerPlugin, platform)])),
            canBuild: packerPlugin === ownPlugin.version,
          },
        }),
  }
}
