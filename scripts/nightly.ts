/** `golden nightly`: what is new becomes an image that is verified, promoted and rolled out, as the site says. */
import { setTimeout as delay } from 'node:timers/promises'
import { join, resolve } from 'node:path'
import { childEnvironment } from '../core/environment.ts'
import { Failure } from '../core/failure.ts'
import { cacheFolder } from '../core/folders.ts'
import { who } from '../core/who.ts'
import { updateLock } from '../images/resolve.ts'
import { changeLines } from '../images/lock-changes.ts'
import { isPinned } from '../images/base-image.ts'
import { decideNight, type NightRules, type NightStep } from '../nightly/decide-night.ts'
import { holdNight, type HeldNight } from '../nightly/hold-night.ts'
import { installTimer, removeTimer } from '../nightly/install-timer.ts'
import { localText } from '../nightly/local-time.ts'
import { markdownOf } from '../nightly/markdown.ts'
import { exitCodes, type NightClock } from '../nightly/night.ts'
import { reportOf } from '../nightly/report.ts'
import { tell } from '../nightly/tell.ts'
import { serviceUnit, timerUnit, type TimerOptions } from '../nightly/timer.ts'
import { wordsOf } from '../nightly/words.ts'
import { writeReport } from '../nightly/write-report.ts'
import { planBaking } from '../packer/bake.ts'
import { loadSite, siteFolder } from '../settings/load.ts'
import type { Site } from '../settings/site.ts'
import { toolVersions } from './lock.ts'
import { look, nightSteps, type NightPlace } from './night-steps.ts'
import { openProxmox, type OpenProxmox } from './open.ts'
import type { Verb, VerbContext } from './verb.ts'

export const verb: Verb = {
  options: {
    plan: { type: 'boolean' },
    report: { type: 'string' },
    'install-timer': { type: 'boolean' },
    'remove-timer': { type: 'boolean' },
  },
  optionHelp: {
    plan: 'say what is new and what would be done first, and do nothing; with --install-timer: print the units',
    report: 'the folder for report.md, report.html and report.json (default: state/nightly in the site folder)',
    'install-timer': 'let systemd run it every night, for people without CI',
    'remove-timer': 'take that away',
  },
  changes:
    'what lock, bake, verify, promote, rollout and prune change, as far as site.nightly allows; its report; what nightly.git names. With --install-timer units of systemd',
  examples: [
    ['npx golden nightly', 'a night, now'],
    ['npx golden nightly --plan', 'what is new, and what would be done first'],
    ['npx golden nightly --install-timer', 'every night, by systemd'],
  ],
  completes: { options: { report: 'folder' } },
  async run(context) {
    const { env, flags } = context
    if (flags['install-timer'] === true && flags['remove-timer'] === true)
      throw new Failure('usage', '--install-timer and --remove-timer exclude each other', 'Say one of them.')
    const folder = siteFolder(env)
    const site = await loadSite(folder)
    if (flags['install-timer'] === true) return install(context, site, folder)
    if (flags['remove-timer'] === true) return remove(context, site)
    return flags.plan === true ? planNight(context, site, folder) : night(context, site, folder)
  },
}

const rulesOf = ({ nightly: { promote, rollout, prune, timeZone }, image: { channel } }: Site): NightRules => ({
  promote,
  rollout,
  prune,
  channel,
  ...(timeZone === undefined ? {} : { timeZone }),
})

/** Opened once, when it is first needed; closed with what it was opened for. */
function opening({ env, progress, signal }: VerbContext): {
  readonly open: () => Promise<OpenProxmox>
  readonly close: () => Promise<void>
} {
  let opened: Promise<OpenProxmox> | undefined
  return {
    open: () => (opened ??= openProxmox(env, { progress, signal })),
    close: async () => (await opened?.catch(() => undefined))?.proxmox.close(),
  }
}

const clock: NightClock = {
  now: () => new Date(),
  elapsed: () => performance.now(),
  async until(time, signal) {
    // A computer that sleeps meanwhile wakes up late: the wall clock counts, and is looked at.
    for (let left = time.getTime() - Date.now(); left > 0; left = time.getTime() - Date.now())
      await delay(Math.min(left, 20_000), undefined, { signal })
  },
}

async function night(context: VerbContext, site: Site, folder: string): Promise<number> {
  const { env, flags, progress, signal, result } = context
  const { nightly } = site
  const reportFolder = typeof flags.report === 'string' ? resolve(flags.report) : join(folder, 'state', 'nightly')
  const connection = opening(context)
  const place: NightPlace = { site, folder, env, cacheDir: cacheFolder(env), progress, signal, open: connection.open }
  const report = async (held: HeldNight): Promise<void> => {
    const written = await writeReport(reportFolder, held, nightly.language, nightly.timeZone)
    const problems = await tell({ settings: nightly.tell, folder, reportFolder, env }, held, written.report, written.markdown)
    for (const problem of problems) progress.warn(problem)
  }
  try {
    const held = await holdNight(nightSteps(place), {
      folder,
      site: site.name,
      by: who(),
      rules: rulesOf(site),
      clock,
      progress,
      signal,
      report,
    })
    const { record } = held
    const text = markdownOf(reportOf(held, wordsOf[nightly.language], nightly.timeZone))
    result(`${text}\n${join(reportFolder, 'report.html')}`, { ...record, report: reportFolder })
    return exitCodes[record.outcome]
  } finally {
    await connection.close()
  }
}

/** What is new, and the first step that would come of it; the others hang on how that ends. */
async function planNight(context: VerbContext, site: Site, folder: string): Promise<number> {
  const { env, progress, signal, result } = context
  const connection = opening(context)
  try {
    const newBase = site.nightly.newBase && !isPinned(site)
    const cacheDir = cacheFolder(env)
    const update = await updateLock({ site, folder, cacheDir, tools: toolVersions(site), progress, signal, newBase, check: true })
    const open = await connection.open()
    // Whatever a bake would make of a lock that is not written yet, it would make something.
    const step: NightStep = update.different
      ? { do: 'bake' }
      : decideNight(rulesOf(site), await look(open, await planBaking({ ...open, progress, cacheDir })), new Set())
    const lines = [...changeLines(update.changes), ...stepLines(step, site)]
    result(lines.join('\n'), { changes: update.changes, step })
    return 0
  } finally {
    await connection.close()
  }
}

function stepLines(step: NightStep, { nightly: { timeZone, language } }: Site): string[] {
  switch (step.do) {
    case 'bake':
      return ['bake an image, and verify it']
    case 'verify':
      return [`verify ${step.image.name}`]
    case 'promote':
      return [`promote ${step.image.name} to stable`]
    case 'rollout':
      return [`${step.finishes ? 'finish the rollout of' : 'roll out'} ${step.image.name}: ${step.groups.join(', ')}`]
    case 'wait':
      return [`wait until ${localText(step.opens, timeZone)} for the window of rollouts`]
    case 'prune':
      return ['remove what nobody needs ("npx golden prune --plan" says what)']
    case 'end': {
      const lines = [
        ...step.complaints.map(({ code, message, hint }) => `${code}: ${message} → ${hint}`),
        ...step.notes.map((note) => wordsOf[language].note(note, timeZone)),
      ]
      return lines.length === 0 ? ['nothing to do'] : lines
    }
  }
}

const userId = (): number => process.getuid?.() ?? 1

async function install({ env, flags, result }: VerbContext, site: Site, folder: string): Promise<number> {
  const project = resolve(import.meta.dirname, '..')
  const options: TimerOptions = {
    site: site.name,
    project,
    node: process.execPath,
    folder,
    at: site.nightly.at,
    timeZone: site.nightly.timeZone,
    variables: Object.fromEntries(
      Object.entries(childEnvironment(env, (name) => /^(GOLDEN_TOOLS_(MIRROR|FOLDER)|TF_CLI_CONFIG_FILE)$/.test(name))).flatMap(
        ([name, value]) =>
          // Of a terminal or a login, and nothing to a service.
          value === undefined || /^(TERM|SHELL|USER|LOGNAME|XDG_RUNTIME_DIR|CI|NO_COLOR|TMPDIR)$/.test(name) ? [] : [[name, value]],
      ),
    ),
  }
  if (flags.plan === true) {
    const units = [serviceUnit(options), timerUnit(options)]
    result(units.map(({ name, text }) => `# ${name}\n${text}`).join('\n'), { units })
    return 0
  }
  const files = await installTimer(options, { uid: userId(), env })
  const linger = userId() === 0 ? '' : '\nWhile you are not logged in it runs only after "loginctl enable-linger".'
  result(
    `Installed and started:\n${files.map((file) => `  ${file}`).join('\n')}\n"systemctl ${userId() === 0 ? '' : '--user '}list-timers" says when it runs.${linger}`,
    { files },
  )
  return 0
}

async function remove({ env, result }: VerbContext, site: Site): Promise<number> {
  const files = await removeTimer(site.name, { uid: userId(), env })
  result(`Removed:\n${files.map((file) => `  ${file}`).join('\n')}`, { removed: files })
  return 0
}
