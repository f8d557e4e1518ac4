/**
 * What the stacks are made of, when a verb has them made: the site and the pins that it has read and checked itself. The
 * app (main.ts) reads them from a file instead of the site folder, so both go by the same even while somebody edits
 * `site.ts`, and nothing is checked twice.
 */
import type { Site } from '../settings/site.ts'
import type { Deployment } from './deployment.ts'

export interface StackInput {
  readonly site: Site
  readonly deployment: Deployment
  /** The site folder, absolute. */
  readonly folder: string
}

/** The environment variable that names the file: JSON, written by rollout/engine.ts for stacks/synth.ts alone. */
export const stackInputVariable = 'GOLDEN_STACK_INPUT'
