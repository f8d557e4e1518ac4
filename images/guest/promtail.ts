/** Promtail's configuration: Docker's json log files and the journal, to the site's Loki. */
import type { Seed } from '../contract/seed.ts'

/**
 * Returns JSON (which is YAML), or undefined where the site has no logging or another agent. The container's name comes from the log
 * driver's `tag` (daemon.json), so that neither the Docker socket nor a list of ids is needed.
 */
export function promtailConfiguration(seed: Seed): string | undefined {
  if (!seed.loki || seed.loki.agent === 'otelcol') return undefined
  const labels = {
    host: seed.hostname,
    group: seed.group,
    role: seed.roles.join('+'),
    slot: seed.slot,
    image: seed.image.fingerprint.slice(0, 12),
  }
  const configuration = {
    server: { http_listen_address: '127.0.0.1', http_listen_port: 9080, grpc_listen_port: 0, log_level: 'warn' },
    positions: { filename: '/var/lib/promtail/positions.yaml' },
    clients: [
      {
        url: `https://${seed.loki.host}:${seed.loki.port}/loki/api/v1/push`,
        basic_auth: { username: seed.loki.user, password_file: '/etc/golden/promtail/push-password' },
        tls_config: { ca_file: '/etc/golden/promtail/site-ca.pem' },
        external_labels: labels,
        batchwait: '1s',
        timeout: '30s',
        // While Loki is away nothing is dropped: the lines wait in their files. (The default gives up after 10 tries.)
        backoff_config: { min_period: '500ms', max_period: '15s', max_retries: 1_000_000 },
      },
    ],
    scrape_configs: [
      {
        job_name: 'containers',
        static_configs: [{ targets: ['localhost'], labels: { job: 'containers', __path__: '/var/lib/docker/containers/*/*-json.log' } }],
        pipeline_stages: [
          { json: { expressions: { line: 'log', stream: 'stream', time: 'time', container_name: 'attrs.tag' } } },
          { timestamp: { source: 'time', format: 'RFC3339Nano' } },
          { labels: { container_name: '', stream: '' } },
          // It names the container's id: a new stream for every container that ever ran.
          { labeldrop: ['filename'] },
          { template: { source: 'line', template: '{{ TrimSuffix .Value "\\n" }}' } },
          // nginx's error log quotes requests as they came, with the session that SSE has in the address.
          { replace: { source: 'line', expression: 'session_id=([0-9A-Za-z_-]+)', replace: '…' } },
          { output: { source: 'line' } },
        ],
      },
      {
        job_name: 'journal',
        journal: { path: '/var/log/journal', max_age: '24h', labels: { job: 'journal' } },
        relabel_configs: [
          { source_labels: ['__journal__systemd_unit'], target_label: 'unit' },
          { source_labels: ['__journal_syslog_identifier'], target_label: 'identifier' },
          { source_labels: ['__journal_priority_keyword'], target_label: 'level' },
          // Units with a number of their own each (logins, containers) are one stream.
          {
            source_labels: ['unit'],
            regex: '(session|docker|run|init|user)[-@].*\\.(scope|service)',
            replacement: '$1.$2',
            target_label: 'unit',
          },
        ],
      },
    ],
  }
  return JSON.stringify(configuration, null, 2) + '\n'
}
