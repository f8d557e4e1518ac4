/** Which pool a VM is in. */
import type { Context } from './context.ts'

export const poolOf = (context: Context, vmid: number): string | undefined =>
  Object.entries(context.state.pools.value).find(([, pool]) => pool.vms.includes(vmid))?.[0]
