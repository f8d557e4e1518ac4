/**
 * The external programs and their versions. A new version means: change it here and in tools/go/MODULE/go.mod, run
 * `go mod tidy` there (it also refreshes go.sum), and put in the release's SHA-256 sums or take the old ones out.
 *
 * The sums were found, in November 2026, in at least one package definition of others (Homebrew formulae, Nix and
 * Docker recipes that verify the same archive). A release whose sum we could not find is not downloaded, but built.
 */
export const TOOL_NAMES = [
  'packer',
  'packer-plugin-proxmox',
  'tofu',
  'terraform-provider-proxmox',
  'actionlint',
  'pebble',
  'lego',
  'otelcol',
  'promtail',
  'loki',
] as const

/** In the order in which they are best provided: what tests need first, what only container images need last. */
export type ToolName = (typeof TOOL_NAMES)[number]

/** found on PATH · the official release, verified · fetched by the engine from its registry, verified · built here from its Go module */
export type Origin = 'path' | 'release' | 'registry' | 'built'

/** A program that is ready to run. */
export interface Tool {
  readonly name: ToolName
  /** Its real version, without a leading `v`. From PATH it may be newer than the pinned one. */
  readonly version: string
  /** Absolute path of the executable. */
  readonly path: string
  readonly origin: Origin
  /** Of what a registry has: the lock file that the engine wrote when it fetched it. */
  readonly lock?: string
}

/** Go's names: `linux_amd64`, `linux_arm64`, `darwin_amd64`, `darwin_arm64`. */
export type Platform = 'linux_amd64' | 'linux_arm64' | 'darwin_amd64' | 'darwin_arm64'

/** Who signs releases with a key of tools/keys. */
export type Signer = 'hashicorp' | 'opentofu'

/** The list of the digests of a release, and the signature beside it. */
export interface SignedSums {
  readonly sums: string
  readonly signature: string
  readonly by: Signer
}

export interface Release {
  /** The newest may be newer than what can be built here. @default the pin's */
  readonly version?: string
  readonly url: string
  /** SHA-256 of the zip file, hex. Without it the signature has to be checked. */
  readonly sha256?: string
  readonly signed?: SignedSums
  /** Name of the executable within the zip file. */
  readonly entry: string
}

export interface GoBuild {
  /** Folder below tools/go with go.mod and go.sum. */
  readonly module: string
  /** The main package. */
  readonly package: string
  /** Where the main package is a file of ours in that folder: the package whose version it has. */
  readonly main?: string
  /** Variables set by the linker, on top of `-s -w`. */
  readonly variables?: Readonly<Record<string, string>>
  readonly tags?: readonly string[]
  /** A C header without which the build makes no sense; turns CGO on. */
  readonly cgoHeader?: { readonly header: string; readonly packages: string }
}

export interface PathRule {
  /** The file's name on PATH. */
  readonly command: string
  /** `minor`: the pinned version or a later patch of it · `major`: anything from the pinned version on, same major · `name`: the name says it. */
  readonly accept: 'minor' | 'major' | 'name'
}

export interface Pin {
  readonly version: string
  /** How to ask an executable for its version; without it, it can't be asked. */
  readonly ask?: { readonly args: readonly string[]; readonly pattern: RegExp }
  /** Without it a program on PATH is never used. */
  readonly path?: PathRule
  readonly releases: Partial<Record<Platform, Release>>
  /** A provider's name in the engine's registry, which has it instead of releases. */
  readonly registry?: string
  readonly go: GoBuild
  /** Whether that builds this version. @default true */
  readonly canBuild?: boolean
}

const packerRelease = (platform: Platform, sha256: string): Release => {
  const files = 'https://releases.hashicorp.com/packer/1.16.0/packer_1.16.0_'
  return {
    url: `${files}${platform}.zip`,
    sha256,
    signed: { sums: `${files}SHA256SUMS`, signature: `${files}SHA256SUMS.sig`, by: 'hashicorp' },
    entry: 'packer',
  }
}

/**
 * Packer's own "plugins install" takes it from there, too, and checks no signature. Who signs this list is not known for
 * certain: where a digest is pinned it has to do, elsewhere it is HashiCorp's key or no release.
 */
export const pluginRelease = (version: string, platform: Platform, sha256?: string): Release => {
  const files = `https://github.com/hashicorp/packer-plugin-proxmox/releases/download/v${version}/packer-plugin-proxmox_v${version}_`
  return {
    version,
    url: `${files}x5.0_${platform}.zip`,
    ...(sha256 === undefined
      ? { signed: { sums: `${files}SHA256SUMS`, signature: `${files}SHA256SUMS.sig`, by: 'hashicorp' } as const }
      : { sha256 }),
    entry: `packer-plugin-proxmox_v${version}_x5.0_${platform}`,
  }
}

const tofuRelease = (platform: Platform, sha256: string): Release => {
  const files = 'https://github.com/opentofu/opentofu/releases/download/v1.12.6/tofu_1.12.6_'
  return {
    url: `${files}${platform}.zip`,
    sha256,
    signed: { sums: `${files}SHA256SUMS`, signature: `${files}SHA256SUMS.gpgsig`, by: 'opentofu' },
    entry: 'tofu',
  }
}

const lokiVersion = 'github.com/grafana/loki/v3/pkg/util/build.Version'

export const PINS: Readonly<Record<ToolName, Pin>> = {
  packer: {
    version: '1.16.0',
    ask: { args: ['version'], pattern: /^Packer v(\S+)/m },
    path: { command: 'packer', accept: 'minor' },
    releases: {
      linux_amd64: packerRelease('linux_amd64', '5edcd14ab59b535040c512dbecd6ec9ef976a000b073c19d93e4c431c948581e'),
      linux_arm64: packerRelease('linux_arm64', 'cf18f03460d92265d49b56befff333e80641d845822799eab04357c39f75b5d7'),
      darwin_amd64: packerRelease('darwin_amd64', '64c4aa9a3176f89496360843bc8747238c9ad32ddc68bc5281207ae342d45be9'),
      darwin_arm64: packerRelease('darwin_arm64', '6530042cf8f8a1f96b6607cb22b5be298be53b400cd4a2c81ab8b946964fccda'),
    },
    go: { module: 'packer', package: 'github.com/hashicorp/packer' },
  },
  'packer-plugin-proxmox': {
    version: '1.1.1',
    ask: { args: ['describe'], pattern: /"version":\s*"([^"]+)"/ },
    path: { command: 'packer-plugin-proxmox', accept: 'major' },
    // The newest. What is built is the newest that the Go proxy has; the template keeps to what both know.
    releases: {
      linux_amd64: pluginRelease('1.2.4', 'linux_amd64', '84a50e8204180756708671809df0f4ec7bcdde9d702c74c7c4e005d3ce9d89e5'),
      linux_arm64: pluginRelease('1.2.4', 'linux_arm64', 'f416e2332a2e75cd3d03e99efbf75b7d0f8de0e85420dac39ac4cad0b7547bf4'),
      darwin_amd64: pluginRelease('1.2.4', 'darwin_amd64'),
      darwin_arm64: pluginRelease('1.2.4', 'darwin_arm64'),
    },
    // In Packer's module, so that the packages both use are compiled once.
    go: { module: 'packer', package: 'github.com/hashicorp/packer-plugin-proxmox' },
  },
  tofu: {
    version: '1.12.6',
    ask: { args: ['version'], pattern: /^OpenTofu v(\S+)/m },
    path: { command: 'tofu', accept: 'minor' },
    releases: {
      linux_amd64: tofuRelease('linux_amd64', '5dc43da4f750f33873dc25e94587128709e819e544b7be9016b255316153c3a8'),
      linux_arm64: tofuRelease('linux_arm64', 'e573979ba68a17fe7b881752051a694a7efcd970e39521f6a25775197861ed4d'),
      darwin_amd64: tofuRelease('darwin_amd64', '166388e5feed47e107e11721b6366bf91d21e47eccbced75f3cbe0c7184ffd9b'),
      darwin_arm64: tofuRelease('darwin_arm64', 'e083ee43790ab9e19ad66d9933e24a7244a1412e1d5728f37999ae2163fdac95'),
    },
    go: {
      module: 'tofu',
      package: 'github.com/opentofu/opentofu/cmd/tofu',
      variables: { 'github.com/opentofu/opentofu/version.dev': 'no' },
    },
  },
  'terraform-provider-proxmox': {
    // The committed bindings are made from this version's schema, so nothing else will do.
    version: '0.112.0',
    path: { command: 'terraform-provider-proxmox_v0.112.0', accept: 'name' },
    releases: {},
    registry: 'bpg/proxmox',
    go: { module: 'terraform-provider-proxmox', package: 'github.com/bpg/terraform-provider-proxmox' },
  },
  // For a test: it reads .github/workflows.
  actionlint: {
    version: '1.7.12',
    ask: { args: ['-version'], pattern: /^v?(\d+\.\d+\.\d+)$/m },
    path: { command: 'actionlint', accept: 'minor' },
    releases: {},
    go: {
      module: 'actionlint',
      package: 'github.com/rhysd/actionlint/cmd/actionlint',
      variables: { 'github.com/rhysd/actionlint.version': '1.7.12' },
    },
  },
  // Let's Encrypt's own small ACME server: for a test, and for the demo.
  pebble: {
    version: '2.10.3',
    ask: { args: ['-version'], pattern: /^Pebble version: (\S+)/m },
    path: { command: 'pebble', accept: 'minor' },
    releases: {},
    go: { module: 'pebble', package: 'github.com/letsencrypt/pebble/v2/cmd/pebble', variables: { 'main.version': '2.10.3' } },
  },
  // The ACME client, with upstream's own choice of tags: of its DNS providers those that ask nobody in particular. The official
  // image has them all; some of their libraries can't be had from every Go proxy.
  lego: {
    version: '5.6.0',
    ask: { args: ['--version'], pattern: /^lego version v?(\S+)/m },
    releases: {},
    go: {
      module: 'lego',
      package: 'github.com/go-acme/lego/v5',
      variables: { 'main.version': 'v5.6.0' },
      tags: ['lego_dnslight', 'lego_dns_acmedns', 'lego_dns_dnsupdate', 'lego_dns_exec', 'lego_dns_httpreq'],
    },
  },
  // The collector, Promtail and Loki do not run on this computer: they go into the lab's container images, which must not
  // depend on what somebody happens to have on PATH.
  otelcol: {
    version: '0.165.0',
    ask: { args: ['--version'], pattern: /^otelcol-contrib version (\S+)/m },
    releases: {},
    go: { module: 'otelcol', package: '.', main: 'go.opentelemetry.io/collector/otelcol', variables: { 'main.version': '0.165.0' } },
  },
  promtail: {
    version: '3.6.15',
    ask: { args: ['--version'], pattern: /^promtail, version ([^\s,]+)/m },
    releases: {},
    go: {
      module: 'promtail',
      package: 'github.com/grafana/loki/v3/clients/cmd/promtail',
      variables: { [lokiVersion]: '3.6.15' },
      tags: ['promtail_journal_enabled'],
      cgoHeader: { header: 'systemd/sd-journal.h', packages: 'gcc libc6-dev libsystemd-dev' },
    },
  },
  loki: {
    version: '3.7.8',
    ask: { args: ['--version'], pattern: /^loki, version ([^\s,]+)/m },
    releases: {
      linux_amd64: {
        url: 'https://github.com/grafana/loki/releases/download/v3.7.8/loki-linux-amd64.zip',
        sha256: '62aea42c9cba52cd1642b3666ab37019a0ce4c24ab50b07e85dccc8d812f7d61',
        entry: 'loki-linux-amd64',
      },
    },
    go: { module: 'loki', package: 'github.com/grafana/loki/v3/cmd/loki', variables: { [lokiVersion]: '3.7.8' }, tags: ['netgo'] },
  },
}

/** What each job needs, in the order in which it is provided. */
export const TOOL_SETS: Readonly<Record<'test' | 'demo' | 'all', readonly ToolName[]>> = {
  test: ['packer', 'packer-plugin-proxmox', 'tofu', 'terraform-provider-proxmox', 'actionlint', 'pebble', 'lego'],
  demo: TOOL_NAMES.filter((name) => name !== 'actionlint'),
  all: TOOL_NAMES,
}
