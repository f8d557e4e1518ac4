/** Asks Loki what Grafana's dashboards ask it: a query that Loki does not take shows as an empty panel, and nobody notices. */
import { join } from 'node:path'
import type { Seed } from '../contract/seed.ts'
import { containerNetworks } from '../../settings/containers.ts'
import type { Machine } from './machine.ts'
import { dashboardsFolder } from './places.ts'
import { fetchText } from './probe.ts'

/** Every query of a dashboard, with Grafana's variables replaced by what they are at first sight. Pure. */
export function queriesOf(dashboard: string): string[] {
  const found: string[] = []
  JSON.parse(dashboard, (key, value: unknown) => {
    if (key === 'expr' && typeof value === 'string') found.push(value.replaceAll('$host', '.+').replaceAll('$__auto', '5m'))
    return value
  })
  return found
}

/** Those that Loki refuses, in its words. */
export async function dashboardProblems(machine: Machine, seed: Seed): Promise<string[]> {
  const { files } = machine
  const queries = files.list(dashboardsFolder).flatMap((name) => queriesOf(files.read(join(dashboardsFolder, name))))
  if (queries.length === 0) return ['there are no dashboards']
  const loki = `http://${containerNetworks(seed.containers).loki}:3100/loki/api/v1/query_range`
  const problems: string[] = []
  for (const query of queries) {
    const answer = await fetchText(machine, `${loki}?${new URLSearchParams({ query, since: '1h', step: '60', limit: '10' })}`).catch(
      (error: Error) => error.message,
    )
    if (!answer.startsWith('{"status":"success"')) problems.push(`${query}: ${answer.slice(0, 200)}`)
  }
  return problems
}
