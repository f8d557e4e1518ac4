/**
 * What `npm test` needs besides npm packages: the pinned programs, and as root on Debian or Ubuntu the lab's packages
 * and its Debian root, whose nginx, docker compose, cloud-init … check what the project generates. Where they can't be
 * had, the tests that need them are skipped by name.
 */
import { buildBrowser } from '../lab/debian/browser.ts'
import { DebianFailure } from '../lab/debian/failure.ts'
import { ensureHostPackages } from '../lab/debian/packages.ts'
import { buildRoot } from '../lab/debian/root.ts'
import { Failure } from '../core/failure.ts'
import { ensureTools } from '../tools/index.ts'
import { plainLines } from '../tools/progress.ts'

const say = (line: string): void => {
  process.stderr.write(`${line}\n`)
}
/** What `golden completion` prints is tried in them: 35 MB, and nothing else needs them. */
async function shells(): Promise<void> {
  const found = await ensureHostPackages({ log: say, packages: ['zsh', 'fish'] })
  if (!found.ok) say(`${found.cause}; what is tried in those shells is skipped.\n→ ${found.next}`)
}

/** One test needs it, and a download of its own. */
async function withoutBrowser(build: () => Promise<unknown>): Promise<void> {
  try {
    await build()
  } catch (error) {
    if (!(error instanceof DebianFailure) || abort.signal.aborted) throw error
    say(`no browser: ${error.message}; the test that looks at the report's page in it is skipped.\n→ ${error.next}`)
  }
}
const abort = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => abort.abort(new Error(`stopped by ${name}`)))
const began = performance.now()

try {
  // Promtail links with libsystemd, one of the packages.
  let withJournal = false
  if (process.getuid?.() === 0 && process.platform === 'linux') {
    const found = await ensureHostPackages({ log: say })
    withJournal = found.ok
    await shells()
    if (found.ok) {
      await buildRoot({ log: say, signal: abort.signal })
      await withoutBrowser(() => buildBrowser({ log: say, signal: abort.signal }))
    } else say(`${found.cause}; the tests that need them are skipped.\n→ ${found.next}`)
  } else {
    say('not root: tests that need network namespaces or a Debian root are skipped by name')
  }
  await ensureTools(
    [
      'packer',
      'packer-plugin-proxmox',
      'tofu',
      'terraform-provider-proxmox',
      'actionlint',
      'pebble',
      'lego',
      ...(withJournal ? (['otelcol', 'promtail', 'loki'] as const) : []),
    ],
    { signal: abort.signal, report: plainLines(say) },
  )
  say(`ready to test after ${Math.round((performance.now() - began) / 1000)} s`)
} catch (error) {
  if (!(error instanceof Failure)) throw error
  say(error.toText())
  process.exitCode = 1
}
