/** Configuration of the OpenTelemetry Collector: Docker's json log files and the journal, to the site's Loki. */
import type { Seed } from '../contract/seed.ts'
import { journalFolder, otelcolFolder } from './places.ts'

/** A line up to this size arrives whole (Docker writes it in parts of 16 KiB); what is longer comes in pieces. */
export const longestLine = 512 * 1024
/** How much waits for Loki on the slot's own disk, besides what Docker keeps of each container (daemon.json). */
export const queueBytes = 512 * 1024 * 1024

/**
 * Returns JSON (which is YAML), or undefined where the site has no logging or another agent. What is read goes at once
 * into a queue on the disk, and positions are saved after that: an agent that is killed reads a little again, and
 * loses nothing. The container's name comes from the log driver's `tag` (daemon.json), so that neither the Docker
 * socket nor a list of ids is needed.
 */
export function otelcolConfiguration(seed: Seed): string | undefined {
  if (seed.loki?.agent !== 'otelcol') return undefined
  const resource = {
    host: seed.hostname,
    group: seed.group,
    role: seed.roles.join('+'),
    slot: seed.slot,
    image: seed.image.fingerprint.slice(0, 12),
  }
  const files = {
    storage: 'file_storage',
    start_at: 'beginning',
    poll_interval: '1s',
    include_file_name: false,
    // A file is known by how it begins, whatever it is called after a rotation. Docker writes a record's time at its
    // end, behind up to 16 KiB of the line: shorter, and two files that begin with the same long line are one.
    fingerprint_size: '20kib',
    max_log_size: '2MiB',
    // One after another and a container's oldest first (.4, …, .1, none): a line may go on in the next file.
    max_concurrent_files: 2,
    ordering_criteria: { regex: '(?P<path>.+)', sort_by: [{ sort_type: 'alphabetical', regex_key: 'path', ascending: false }], top_n: 0 },
  }
  const configuration = {
    extensions: {
      file_storage: {
        directory: otelcolFolder,
        // A file that a power failure has torn is put aside. The positions are in another one.
        recreate: true,
        compaction: {
          on_start: true,
          on_rebound: true,
          directory: otelcolFolder,
          rebound_needed_threshold_mib: 64,
          rebound_trigger_threshold_mib: 16,
          cleanup_on_start: true,
        },
      },
    },
    receivers: {
      'file_log/containers': {
        ...files,
        include: ['/var/lib/docker/containers/*/*-json.log', '/var/lib/docker/containers/*/*-json.log.*'],
        include_file_path: true,
        resource: { ...resource, job: 'containers' },
        operators: [
          {
            type: 'json_parser',
            timestamp: { parse_from: 'attributes.time', layout_type: 'gotime', layout: '2006-01-02T15:04:05.999999999Z07:00' },
          },
          {
            type: 'add',
            field: 'attributes.source',
            value: 'EXPR(split(attributes["log.file.path"], "-json.log")[0] + attributes.stream)',
          },
          {
            type: 'recombine',
            combine_field: 'attributes.log',
            combine_with: '',
            is_last_entry: 'attributes.log endsWith "\\n"',
            source_identifier: 'attributes.source',
            overwrite_with: 'oldest',
            max_log_size: longestLine,
            max_batch_size: 0,
            max_unmatched_batch_size: 0,
          },
          { type: 'add', field: 'body', value: 'EXPR(trimSuffix(attributes.log, "\\n"))' },
          // nginx's error log quotes requests as they came, with the session that SSE has in the address.
          { type: 'regex_replace', field: 'body', regex: 'session_id=[0-9A-Za-z_-]+', replace_with: 'session_id=…' },
          { type: 'move', from: 'attributes.attrs.tag', to: 'resource.container_name', if: 'attributes.attrs?.tag != nil' },
          { type: 'move', from: 'attributes.stream', to: 'resource.stream' },
          { type: 'remove', field: 'attributes' },
        ],
      },
      'file_log/journal': {
        ...files,
        include: [`${journalFolder}/*`],
        resource: { ...resource, job: 'journal' },
        operators: [
          {
            type: 'json_parser',
            timestamp: { parse_from: 'attributes.time', layout_type: 'gotime', layout: '2006-01-02T15:04:05.999999999Z07:00' },
          },
          { type: 'move', from: 'attributes.line', to: 'body' },
          ...['unit', 'identifier', 'level'].map((name) => ({
            type: 'move',
            from: `attributes.${name}`,
            to: `resource.${name}`,
            if: `attributes.${name} != nil`,
          })),
          { type: 'remove', field: 'attributes' },
        ],
      },
    },
    exporters: {
      otlp_http: {
        logs_endpoint: `https://${seed.loki.host}:${seed.loki.port}/otlp/v1/logs`,
        headers: { authorization: '${file:/etc/golden/otelcol/authorization}' },
        tls: { ca_file: '/etc/golden/otelcol/site-ca.pem' },
        timeout: '30s',
        retry_on_failure: { enabled: true, initial_interval: '500ms', max_interval: '15s', max_elapsed_time: '0s' },
        sending_queue: {
          enabled: true,
          storage: 'file_storage',
          sizer: 'bytes',
          queue_size: queueBytes,
          // When it is full the rest waits in Docker's files.
          block_on_overflow: true,
          // One: Loki gets a stream's lines in their order.
          num_consumers: 1,
          // Loki takes no more than 4 MB at once from itself (grpc_server_max_recv_msg_size).
          batch: { sizer: 'bytes', flush_timeout: '500ms', min_size: 256 * 1024, max_size: 2 * 1024 * 1024 },
        },
      },
    },
    service: {
      extensions: ['file_storage'],
      pipelines: { logs: { receivers: ['file_log/containers', 'file_log/journal'], exporters: ['otlp_http'] } },
      telemetry: {
        logs: { level: 'warn', sampling: { enabled: true, tick: '60s', initial: 5, thereafter: 0 } },
        metrics: { level: 'basic', readers: [{ pull: { exporter: { prometheus: { host: '127.0.0.1', port: 9080 } } } }] },
      },
    },
  }
  return JSON.stringify(configuration, null, 2) + '\n'
}

/** What its container is started with; the feature decides whether a line that was read can be lost in memory. */
export const otelcolArguments = ['--config=/etc/golden/otelcol/otelcol.yaml', '--feature-gates=stanza.synchronousLogEmitter'] as const
