/** What deploy and destroy work with. */
import type { Proxmox } from '../proxmox/client.ts'
import type { Progress } from '../core/progress.ts'
import type { Site } from '../settings/site.ts'
import type { ClaimPace } from './hold-group.ts'

export interface DeployOptions {
  readonly site: Site
  readonly folder: string
  readonly proxmox: Proxmox
  readonly token: { readonly id: string; readonly secret: string }
  readonly caFile: string | undefined
  /** Variables for the engine (tools/). */
  readonly environment: Readonly<Record<string, string>>
  readonly progress: Progress
  readonly signal: AbortSignal
  /** Of the claims on groups. @default usualPace */
  readonly claimPace?: ClaimPace
}
