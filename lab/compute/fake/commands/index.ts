/** All programs that a fake guest models, by name. Which of them are there is up to the guest's files. */
import type { Program } from '../shell.ts'
import { cloudInitPrograms } from './cloudinit.ts'
import { filePrograms } from './files.ts'
import { processPrograms } from './processes.ts'

export const programs: Readonly<Record<string, Program>> = { ...filePrograms, ...processPrograms, ...cloudInitPrograms }
