/** Grafana's provisioning: the data source and where the dashboards are. */
import type { Seed } from '../contract/seed.ts'
import { containerNetworks } from '../../settings/containers.ts'

const provisioning = '/run/golden/grafana/provisioning'

/** Files of JSON, which is YAML. */
export function grafanaProvisioning(seed: Pick<Seed, 'containers'>): { path: string; content: string }[] {
  const datasources = {
    apiVersion: 1,
    datasources: [
      // The dashboards name this uid.
      {
        name: 'Loki',
        uid: 'loki',
        type: 'loki',
        access: 'proxy',
        url: `http://${containerNetworks(seed.containers).loki}:3100`,
        isDefault: true,
        editable: false,
        jsonData: { maxLines: 1000 },
      },
    ],
  }
  const dashboards = {
    apiVersion: 1,
    providers: [
      { name: 'golden', type: 'file', disableDeletion: true, allowUiUpdates: false, options: { path: '/opt/golden/grafana/dashboards' } },
    ],
  }
  return [
    { path: `${provisioning}/datasources/loki.yaml`, content: JSON.stringify(datasources, null, 2) + '\n' },
    { path: `${provisioning}/dashboards/golden.yaml`, content: JSON.stringify(dashboards, null, 2) + '\n' },
  ]
}
