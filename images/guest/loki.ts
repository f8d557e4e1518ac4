/** Loki's configuration: a single binary with its files on the data disk. */
import type { Seed } from '../contract/seed.ts'
import { probeLabels } from './loki-probe.ts'

/** Everything that the log agents label a line with. */
const labels = ['container_name', 'stream', 'host', 'group', 'role', 'slot', 'image', 'job', 'unit', 'identifier', 'level']

/** JSON, which is YAML. Undefined without the role `logging`. */
export function lokiConfiguration(seed: Seed): string | undefined {
  if (!seed.logging || !seed.roles.includes('logging')) return undefined
  const retention = `${seed.logging.retentionDays * 24}h`
  // By how much lines of a stream may come in the wrong order, or from the future: what has waited for days comes
  // together with what is new, and clocks jump. Loki takes half of a chunk's age; a chunk is kept for as long as its
  // newest line, so that no more than the retention is promised.
  const window = Math.min(7, seed.logging.retentionDays) * 24
  const configuration = {
    auth_enabled: false,
    server: {
      http_listen_address: '0.0.0.0',
      http_listen_port: 3100,
      grpc_listen_address: '127.0.0.1',
      grpc_listen_port: 9095,
      log_level: 'warn',
    },
    common: {
      path_prefix: '/var/lib/loki',
      instance_addr: '127.0.0.1',
      replication_factor: 1,
      ring: { kvstore: { store: 'inmemory' }, instance_addr: '127.0.0.1' },
      storage: { filesystem: { chunks_directory: '/var/lib/loki/chunks', rules_directory: '/var/lib/loki/rules' } },
    },
    // Alone in its ring, it need not wait for others before it says that it is ready (15 s by default).
    ingester: {
      max_chunk_age: `${2 * window}h`,
      lifecycler: { join_after: '0s', min_ready_duration: '0s', final_sleep: '0s' },
      wal: { dir: '/var/lib/loki/wal', flush_on_shutdown: true },
    },
    // Chunks that are still open may be as old as that: they are always asked (3 h by default).
    querier: { query_ingesters_within: '0s' },
    schema_config: {
      configs: [
        { from: '2024-04-01', store: 'tsdb', object_store: 'filesystem', schema: 'v13', index: { prefix: 'index_', period: '24h' } },
      ],
    },
    limits_config: {
      retention_period: retention,
      // A slot that was away for longer still delivers what it has.
      reject_old_samples_max_age: retention,
      creation_grace_period: `${window}h`,
      ingestion_rate_mb: 16,
      ingestion_burst_size_mb: 32,
      per_stream_rate_limit: '16MB',
      per_stream_rate_limit_burst: '32MB',
      // Longer than what the agent makes of one line; a refusal would lose it.
      max_line_size: '1MB',
      max_line_size_truncate: true,
      otlp_config: { resource_attributes: { ignore_defaults: true, attributes_config: [{ action: 'index_label', attributes: labels }] } },
      retention_stream: [{ selector: `{job="${probeLabels.job}"}`, priority: 1, period: '24h' }],
      volume_enabled: true,
      allow_structured_metadata: true,
    },
    compactor: {
      working_directory: '/var/lib/loki/compactor',
      retention_enabled: true,
      retention_delete_delay: '20m',
      delete_request_store: 'filesystem',
    },
    analytics: { reporting_enabled: false },
  }
  return JSON.stringify(configuration, null, 2) + '\n'
}
