/** What the picture says, in each language. */
import type { Outsider } from './arrows.ts'

export interface Words {
  readonly title: string
  readonly description: string
  /** Title of a place, and what is below it. */
  readonly places: Readonly<Record<Outsider, readonly [title: string, ...lines: string[]]>>
  readonly router: string
  readonly service: (address: string) => string
  readonly serena: readonly [title: string, ...lines: string[]]
  readonly logging: readonly [title: string, ...lines: string[]]
  readonly standby: readonly [title: string, ...lines: string[]]
  readonly host: string
  /** What the ports between two slots are for. */
  readonly handover: string
  readonly logs: string
  readonly legend: readonly string[]
}

const en: Words = {
  title: 'Who talks to whom',
  description: 'Your AI coding client reaches Serena through the router. Arrows are all connections that the firewalls let in or out.',
  places: {
    'the internet': ['AI coding client', 'with a password'],
    'network.admin': ['Your LAN', 'you: git push, Grafana'],
    'network.nameservers': ['Name server'],
    'network.ntp': ['Time server'],
    'network.outgoing': ['What you list'],
  },
  router: 'router: 80, 443 only',
  service: (address) => `at ${address}`,
  serena: ['Serena VM', 'nginx: TLS, password', 'Serena', 'disk: your projects'],
  logging: ['Logging VM', 'nginx: TLS, password', 'Loki, Grafana', 'disk: logs'],
  standby: ['the next VM', 'takes over'],
  host: 'Proxmox VE: clones of one image',
  handover: 'handover',
  logs: 'logs',
  legend: ['An arrow: who may open a connection, to which', 'ports. The firewalls drop what has none.'],
}

const ja: Words = {
  title: '誰が誰と通信するか',
  description: 'AI コーディングクライアントはルーターを通って Serena に届きます。矢印は、ファイアウォールが通す接続のすべてです。',
  places: {
    'the internet': ['AI クライアント', 'パスワードで認証'],
    'network.admin': ['手元の LAN', 'git push、Grafana の閲覧'],
    'network.nameservers': ['DNS サーバー'],
    'network.ntp': ['時刻サーバー'],
    'network.outgoing': ['許可した宛先'],
  },
  router: 'ルーター: 80 と 443 のみ',
  service: (address) => address,
  serena: ['Serena VM', 'nginx: TLS と認証', 'Serena', 'ディスク: プロジェクト'],
  logging: ['ログ VM', 'nginx: TLS と認証', 'Loki と Grafana', 'ディスク: ログ'],
  standby: ['次の VM', '引き継ぎを待つ'],
  host: 'Proxmox VE（一つのイメージから複製）',
  handover: '引き継ぎ',
  logs: 'ログ',
  legend: ['矢印は、接続を始められる向きとポートです。', '矢印のない通信はファイアウォールが破棄します。'],
}

export const languages = ['en', 'ja'] as const
export type Language = (typeof languages)[number]
export const wordsOf: Readonly<Record<Language, Words>> = { en, ja }
