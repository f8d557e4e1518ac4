/** What the lab needs before it can serve real guests: a base image and container images, all from packages. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { buildBase } from '../../lab/debian/base.ts'
import { buildContainers } from '../../lab/debian/containers.ts'
import { ensureHostPackages } from '../../lab/debian/packages.ts'
import { startRegistry } from '../../lab/debian/registry.ts'
import type { Progress } from '../../proxmox/progress.ts'
import { ensureTools } from '../../tools/index.ts'
