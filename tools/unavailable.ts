import { Failure } from '../core/failure.ts'
import { oldestGo } from './go.ts'
import { wanted } from './path.ts'
import type { Pin, Platform, ToolName } from './pins.ts'
import { fileNameOf } from './sources.ts'

/**
 * No way has led to a tool: each of them, why not, and what would open it. Pure.
 * @param passedOver the ways that came before a build
 * @param build why it can't be built either; undefined: no module for this version is pinned
 */
export function unavailable(
  name: ToolName,
  pin: Pin,
  platform: Platform,
  passedOver: readonly string[],
  build: Failure | undefined,
): Failure {
  const release = pin.releases[platform]
  const ways = [
    ...(passedOver.some((why) => why.startsWith('not from PATH')) || pin.path === undefined
      ? passedOver
      : [`not from PATH: there is no ${pin.path.command}`, ...passedOver]),
    `not built: ${build?.message ?? 'what can be built here is another version'}`,
  ]
  const means = [
    ...(pin.path === undefined
      ? []
      : [`put ${pin.path.command}${pin.path.accept === 'name' ? '' : ` ${wanted(pin.version, pin.path.accept)}`} on PATH`]),
    ...(release === undefined
      ? []
      : [
          `let this computer reach ${new URL(release.url).origin}, through HTTPS_PROXY if need be, or a mirror of it that GOLDEN_TOOLS_MIRROR names`,
          `put ${fileNameOf(release.url)} into a folder that GOLDEN_TOOLS_FOLDER names`,
        ]),
    ...(pin.registry === undefined
      ? []
      : [
          `let this computer reach registry.opentofu.org and github.com, through HTTPS_PROXY if need be, or a mirror of the registry that TF_CLI_CONFIG_FILE or GOLDEN_TOOLS_MIRROR leads to`,
          `put ${name}_${pin.version}_${platform}.zip into a folder that GOLDEN_TOOLS_FOLDER names`,
        ]),
    build === undefined ? 'leave the version in `programs` of site.ts out' : `install Go ${oldestGo} or newer (https://go.dev/doc/install)`,
  ]
  return new Failure(
    build?.code ?? 'program-unavailable',
    `${name} ${pin.version} can't be had, nor is it in the cache:\n${ways.map((why) => `  ${why}`).join('\n')}`,
    `Any one of these will do: ${means.join('; ')}.`,
    build === undefined ? {} : { cause: build },
  )
}
