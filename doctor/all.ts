/** All that the doctor looks at, in the order in which it is told, and best mended. */
import type { Check } from './check.ts'
import { computerChecks } from './computer.ts'
import { folderChecks } from './folder.ts'
import { guestChecks } from './guests.ts'
import { hostChecks } from './host.ts'
import { imageChecks } from './images.ts'
import { networkChecks } from './network.ts'
import { outsideChecks } from './outside.ts'
import { rightsChecks } from './rights.ts'
import { storageChecks } from './storages.ts'
import { vmChecks } from './vms.ts'

export const allChecks: readonly Check[] = [
  ...computerChecks,
  ...folderChecks,
  ...hostChecks,
  ...rightsChecks,
  ...storageChecks,
  ...networkChecks,
  ...vmChecks,
  ...imageChecks,
  ...guestChecks,
  ...outsideChecks,
]
