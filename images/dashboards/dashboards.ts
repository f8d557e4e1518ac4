/** Grafana's dashboards, built with Grafana's foundation SDK; the guest gets them as JSON. */
import { DashboardBuilder, QueryVariableBuilder, RowBuilder, type Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { PanelBuilder as LogsBuilder } from '@grafana/grafana-foundation-sdk/logs'
import { DataqueryBuilder, LokiQueryType } from '@grafana/grafana-foundation-sdk/loki'
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries'
import { queriesOf } from '../guest/dashboards.ts'

/** The uid that the guest's provisioning gives to the data source. */
const loki = { type: 'loki', uid: 'loki' }

const query = (expression: string, legend = ''): DataqueryBuilder =>
  new DataqueryBuilder().expr(expression).legendFormat(legend).queryType(LokiQueryType.Range).refId('A')

const graph = (title: string, unit: string, expression: string, legend: string): TimeseriesBuilder =>
  new TimeseriesBuilder().title(title).datasource(loki).unit(unit).span(12).height(8).withTarget(query(expression, legend))

const logs = (title: string, expression: string): LogsBuilder =>
  new LogsBuilder().title(title).datasource(loki).span(24).height(10).showTime(true).wrapLogMessage(true).withTarget(query(expression))

/** Where nginx's lines are, and how they become fields: nginx writes JSON. */
const nginx = '{container_name="nginx_proxy", stream="stdout", host=~"$host"}'

function overview(): Dashboard {
  return new DashboardBuilder('Serena: overview')
    .uid('golden-overview')
    .tags(['golden'])
    .time({ from: 'now-6h', to: 'now' })
    .refresh('30s')
    .withVariable(
      new QueryVariableBuilder('host')
        .label('VM')
        .datasource(loki)
        .query('label_values(host)')
        .includeAll(true)
        .allValue('.+')
        .current({ text: 'All', value: '$__all' }),
    )
    .withRow(new RowBuilder('Clients'))
    .withPanel(graph('Requests by status', 'reqps', `sum by (status) (rate(${nginx} | json status="status" [$__auto]))`, '{{status}}'))
    .withPanel(graph('Requests by user', 'reqps', `sum by (user) (rate(${nginx} | json user="user" | user != "" [$__auto]))`, '{{user}}'))
    .withPanel(
      graph(
        'Time of a call, 95 %',
        's',
        `quantile_over_time(0.95, ${nginx} | json path="path", seconds="seconds" | path="/mcp" | unwrap seconds [$__auto]) by (host)`,
        '{{host}}',
      ),
    )
    .withPanel(
      graph(
        'Refused: wrong password, too many requests',
        'short',
        `sum by (status) (count_over_time(${nginx} | json status="status" | status=~"401|429" [$__auto]))`,
        '{{status}}',
      ),
    )
    .withRow(new RowBuilder('Services'))
    .withPanel(
      graph(
        'Lines by container',
        'short',
        'sum by (container_name) (count_over_time({container_name=~".+", host=~"$host"} [$__auto]))',
        '{{container_name}}',
      ),
    )
    .withPanel(
      graph(
        'Errors in the journal',
        'short',
        'sum by (host, unit) (count_over_time({job="journal", host=~"$host", level=~"err|error|crit|alert|emerg"} [$__auto]))',
        '{{host}} {{unit}}',
      ),
    )
    .withRow(new RowBuilder('Lines'))
    .withPanel(logs('Serena', '{container_name=~"serena_mcp.*", host=~"$host"}'))
    .withPanel(logs('nginx', `${nginx} | json | line_format "{{.remote}} {{.user}} {{.method}} {{.path}} {{.status}} {{.seconds}}s"`))
    .withPanel(logs('Journal: warnings and worse', '{job="journal", host=~"$host", level=~"warning|err|error|crit|alert|emerg"}'))
    .build()
}

/** By file name without `.json`. */
export const dashboards = (): Readonly<Record<string, Dashboard>> => ({ 'golden-overview': overview() })

/** Every LogQL query of all dashboards, as the guest asks them when it checks itself: for tests. */
export const dashboardQueries = (): string[] => Object.values(dashboards()).flatMap((dashboard) => queriesOf(JSON.stringify(dashboard)))
