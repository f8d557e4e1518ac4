/**
 * The page at http://SERVICE/ca, by which a browser or a phone comes to trust the site's CA. Plain HTTP, because nothing here
 * is trusted yet: so it shows the fingerprint, and says what to compare it with. Without scripts, and with nothing of anybody
 * else's.
 */
import { X509Certificate } from 'node:crypto'

export interface CaPage {
  /** PEM. */
  readonly ca: string
  /** What clients connect to, which the CA may sign for. */
  readonly host: string
  /** The CA has signed the certificate that people see at `host`; else it is for Grafana and the logs alone. */
  readonly signsHost: boolean
}

/** Undefined for what is no certificate. */
export function certificateIn(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem)
  } catch {
    return undefined
  }
}

/** Whether the certificate at the beginning of that chain is by this CA. */
export function isSignedBy(chain: string, ca: string): boolean {
  const [leaf, authority] = [certificateIn(chain), certificateIn(ca)]
  return leaf !== undefined && authority !== undefined && leaf.checkIssued(authority) && leaf.verify(authority.publicKey)
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

interface System {
  readonly name: string
  readonly en: readonly string[]
  readonly ja: readonly string[]
}

/** Steps are HTML. */
const systems: readonly System[] = [
  {
    name: 'Windows',
    en: [
      'Open <a href="/ca.crt">ca.crt</a>, then <b>Install Certificate…</b>, <b>Current User</b>.',
      'Choose <b>Place all certificates in the following store</b>, <b>Browse…</b>, <b>Trusted Root Certification Authorities</b>.',
      'Windows shows a fingerprint once more before it agrees. In a terminal: <code>certutil -user -addstore Root ca.crt</code>',
    ],
    ja: [
      '<a href="/ca.crt">ca.crt</a> を開き、<b>証明書のインストール</b>、<b>現在のユーザー</b> の順に選びます。',
      '<b>証明書をすべて次のストアに配置する</b> を選び、<b>参照</b> から <b>信頼されたルート証明機関</b> を選びます。',
      '確認の画面で同意します。コマンドなら <code>certutil -user -addstore Root ca.crt</code>',
    ],
  },
  {
    name: 'macOS',
    en: [
      'Open <a href="/ca.crt">ca.crt</a>: Keychain Access adds it to the login keychain.',
      'Find it there, open <b>Trust</b>, and set <b>When using this certificate</b> to <b>Always Trust</b>.',
      'In a terminal: <code>security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db ca.crt</code>',
    ],
    ja: [
      '<a href="/ca.crt">ca.crt</a> を開くと、キーチェーンアクセスのログインキーチェーンに入ります。',
      'それを開いて <b>信頼</b> を広げ、<b>この証明書を使用するとき</b> を <b>常に信頼</b> にします。',
      'コマンドなら <code>security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db ca.crt</code>',
    ],
  },
  {
    name: 'iPhone, iPad',
    en: [
      'Open <a href="/ca.crt">ca.crt</a> in Safari and allow the download of the profile.',
      '<b>Settings</b>, <b>General</b>, <b>VPN &amp; Device Management</b>: install the profile.',
      '<b>Settings</b>, <b>General</b>, <b>About</b>, <b>Certificate Trust Settings</b>: turn it on. Without this step nothing changes.',
    ],
    ja: [
      'Safari で <a href="/ca.crt">ca.crt</a> を開き、プロファイルのダウンロードを許可します。',
      '<b>設定</b>、<b>一般</b>、<b>VPN とデバイス管理</b> でプロファイルをインストールします。',
      '<b>設定</b>、<b>一般</b>、<b>情報</b>、<b>証明書信頼設定</b> でオンにします。この手順がないと信頼されません。',
    ],
  },
  {
    name: 'Android',
    en: [
      'Download <a href="/ca.crt">ca.crt</a>.',
      '<b>Settings</b>, <b>Security</b>, <b>Encryption &amp; credentials</b>, <b>Install a certificate</b>, <b>CA certificate</b>: choose the file.',
      'Browsers take it. Apps take it only if they were made to.',
    ],
    ja: [
      '<a href="/ca.crt">ca.crt</a> をダウンロードします。',
      '<b>設定</b>、<b>セキュリティ</b>、<b>暗号化と認証情報</b>、<b>証明書のインストール</b>、<b>CA 証明書</b> でそのファイルを選びます。',
      'ブラウザーはこれで信頼します。アプリは、対応しているものだけが信頼します。',
    ],
  },
  {
    name: 'Debian, Ubuntu',
    en: [
      '<code>sudo install -m 644 ca.crt /usr/local/share/ca-certificates/serena-golden.crt</code>',
      '<code>sudo update-ca-certificates</code>',
      'Firefox and Chromium have lists of their own: <b>Settings</b>, <b>Certificates</b>, <b>Authorities</b>, <b>Import</b>.',
    ],
    ja: [
      '<code>sudo install -m 644 ca.crt /usr/local/share/ca-certificates/serena-golden.crt</code>',
      '<code>sudo update-ca-certificates</code>',
      'Firefox と Chromium は別に持っています: <b>設定</b>、<b>証明書</b>、<b>認証局証明書</b>、<b>インポート</b>。',
    ],
  },
  {
    name: 'Node.js (Claude Code, Cursor, Gemini CLI, VS Code, …)',
    en: [
      'Save <a href="/ca.pem">ca.pem</a> where it stays, and start the client with <code>NODE_EXTRA_CA_CERTS=/path/to/ca.pem</code> in its environment.',
      'Node reads it once, when it starts.',
    ],
    ja: [
      '<a href="/ca.pem">ca.pem</a> を保存し、環境変数 <code>NODE_EXTRA_CA_CERTS=/path/to/ca.pem</code> を付けてクライアントを起動します。',
      'Node は起動時に一度だけ読み込みます。',
    ],
  },
]

const list = (system: System, language: 'en' | 'ja'): string =>
  `<details><summary>${system.name}</summary><ol>${system[language].map((step) => `<li>${step}</li>`).join('')}</ol></details>`

const day = (date: Date): string => date.toISOString().slice(0, 10)

/** @returns HTML in English and Japanese; undefined where the CA can't be read */
export function caPage({ ca, host, signsHost }: CaPage): string | undefined {
  const certificate = certificateIn(ca)
  if (certificate === undefined) return undefined
  const fingerprint = `<p class="f"><code>${certificate.fingerprint256.replaceAll(':', ':<wbr>')}</code></p>`
  const name = escaped(/^CN=(.*)$/m.exec(certificate.subject ?? '')?.[1] ?? host)
  const [at, until] = [escaped(host), day(certificate.validToDate)]
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${name}</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 0 auto; padding: 1rem; color: #1b1b1b; background: #fff }
code { overflow-wrap: anywhere } .f { padding: .5rem .75rem; border: 1px solid #767676 }
summary { padding: .6rem 0; cursor: pointer } section + section { margin-top: 3rem; border-top: 1px solid #767676 }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #1b1b1b } a { color: #9cf } }
</style>
<main>
<section>
<h1>Trust this site's CA</h1>
<p>${
    signsHost
      ? `The certificate of <b>${at}</b> is by a CA of this site's own, which no system knows by itself.`
      : `The certificate of <b>${at}</b> is by another CA. This one has signed those of Grafana and of the logs: only who opens Grafana needs it.`
  } It may sign for this site's own names and addresses alone, until ${until}.</p>
<p><a href="/ca.crt" download>Download ca.crt</a> (${name})</p>
<p>This page came without TLS, so somebody in between could have changed it. Compare its SHA-256 fingerprint with the one that <code>golden status</code> shows, before you trust it:</p>
${fingerprint}
${systems.map((system) => list(system, 'en')).join('\n')}
</section>
<section lang="ja">
<h1>このサイトの CA を信頼する</h1>
<p>${
    signsHost
      ? `<b>${at}</b> の証明書はこのサイト独自の CA が発行したもので、そのままでは信頼されません。`
      : `<b>${at}</b> の証明書は別の CA のものです。この CA は Grafana とログの証明書に使われており、必要なのは Grafana を開く人だけです。`
  }署名できるのはこのサイトの名前とアドレスだけで、有効期限は ${until} です。</p>
<p><a href="/ca.crt" download>ca.crt をダウンロード</a></p>
<p>このページは TLS を使わずに届いているため、途中で書き換えられた可能性があります。信頼する前に、SHA-256 フィンガープリントを <code>golden status</code> の表示と比べてください。</p>
${fingerprint}
${systems.map((system) => list(system, 'ja')).join('\n')}
</section>
</main>
</html>
`
}
