/** What the guest agent is asked by a method of that name below /nodes/{node}/qemu/{vmid}/agent, without arguments. */
export const agentQueries = [
  'get-fsinfo',
  'get-host-name',
  'get-memory-block-info',
  'get-memory-blocks',
  'get-osinfo',
  'get-time',
  'get-timezone',
  'get-users',
  'get-vcpus',
  'info',
  'network-get-interfaces',
] as const
