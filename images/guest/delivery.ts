/** What the collector's own figures say about lines on their way to Loki. */

/** The value of a Prometheus metric, all its series together. */
function sum(metrics: string, name: string): number {
  let total = 0
  for (const [, value] of metrics.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))) total += Number(value)
  return total
}

/** In the queue while Loki takes what comes; more than that waits. */
const normal = 4 * 1024 ** 2

/** Pure. */
export function deliveryProblems(metrics: string): string[] {
  const waiting = sum(metrics, 'otelcol_exporter_queue_size')
  const room = sum(metrics, 'otelcol_exporter_queue_capacity')
  const lost =
    sum(metrics, 'otelcol_exporter_send_failed_log_records(?:_total)?') +
    sum(metrics, 'otelcol_exporter_enqueue_failed_log_records(?:_total)?')
  const mib = (bytes: number): string => (bytes / 1024 ** 2).toFixed(0)
  return [
    ...(waiting > normal
      ? [
          `${mib(waiting)} MiB of log lines wait for Loki, and there is room for ${mib(room)}: what comes when that is full waits in Docker's files, of which the oldest go`,
        ]
      : []),
    ...(lost > 0 ? [`Loki has refused ${lost} log lines for good since the log agent started: "docker logs otelcol" says why`] : []),
  ]
}
