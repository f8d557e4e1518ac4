/** All methods that the lab has. */
import { accessMethods } from './methods-access.ts'
import { firewallMethods } from './methods-firewall.ts'
import { nodeMethods } from './methods-node.ts'
import { storageMethods } from './methods-storage.ts'
import { vmMethods } from './methods-vm.ts'
import type { MethodTable } from './schema.ts'

export const methods: MethodTable = { ...accessMethods, ...nodeMethods, ...storageMethods, ...firewallMethods, ...vmMethods }
