/** All programs that a fake guest models, by name. Which of them are there is up to the guest's files. */
import type { Program } from '../shell.ts'
import { archivePrograms } from './archive.ts'
import { cloudInitPrograms } from './cloudinit.ts'
import { diskPrograms } from './disks.ts'
import { dockerPrograms } from './docker.ts'
import { filePrograms } from './files.ts'
import { networkPrograms } from './network.ts'
import { packagePrograms } from './packages.ts'
import { processPrograms } from './processes.ts'
import { systemPrograms } from './system.ts'
import { systemdPrograms } from './systemd.ts'
import { userPrograms } from './users.ts'

export const programs: Readonly<Record<string, Program>> = {
  ...filePrograms,
  ...archivePrograms,
  ...processPrograms,
  ...userPrograms,
  ...packagePrograms,
  ...diskPrograms,
  ...systemdPrograms,
  ...systemPrograms,
  ...networkPrograms,
  ...dockerPrograms,
  ...cloudInitPrograms,
}
