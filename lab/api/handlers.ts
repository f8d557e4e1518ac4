/** All handlers, by the keys of the method table. */
import { accessHandlers } from './access.ts'
import type { Handlers } from './context.ts'
import { firewallHandlers } from './firewall.ts'
import { haHandlers } from './ha.ts'
import { nodeHandlers } from './node.ts'
import { poolHandlers } from './pools.ts'
import { replicationHandlers } from './replication.ts'
import { allocateHandlers } from './storage/allocate.ts'
import { contentHandlers } from './storage/content.ts'
import { storageHandlers } from './storage/storages.ts'
import { uploadHandlers } from './storage/upload.ts'
import { taskHandlers } from './task-handlers.ts'
import { agentHandlers } from './vm/agent.ts'
import { vmHandlers } from './vm/handlers.ts'
import { powerHandlers } from './vm/power.ts'

export const handlers: Handlers = {
  ...accessHandlers,
  ...poolHandlers,
  ...nodeHandlers,
  ...taskHandlers,
  ...storageHandlers,
  ...contentHandlers,
  ...allocateHandlers,
  ...uploadHandlers,
  ...firewallHandlers,
  ...haHandlers,
  ...replicationHandlers,
  ...vmHandlers,
  ...powerHandlers,
  ...agentHandlers,
}
