/** The CLI: finds the verb, parses its flags, shows its failure, sets the exit code. */
import { enableCompileCache } from 'node:module'
import { parseArgs } from 'node:util'
import { compileCacheFolder } from './core/compile-cache.ts'
import { dropSteering } from './core/environment.ts'
import { Failure } from './core/failure.ts'
import { loadLeanZod } from './core/lean-zod.ts'
import { renderer } from './scripts/render.ts'
import { systemFailure } from './scripts/system-failure.ts'
import type { Verb } from './scripts/verb.ts'

interface Entry {
  /** One line for `golden help`, which loads no verb. */
  readonly summary: string
  readonly load: () => Promise<{ readonly verb: Verb }>
}

const verbs: Readonly<Record<string, Entry>> = {
  init: {
    summary: 'make a site folder, its certificates, passwords and keys; run it again after a change of names or users',
    load: () => import('./scripts/init.ts'),
  },
  setup: {
    summary: 'prepare the Proxmox host once: roles, token, pools, ISO storage, depots (or --print a script for it)',
    load: () => import('./scripts/setup.ts'),
  },
  lock: {
    summary: 'find out what goes into the image by now (base, packages, containers), and write images.lock.json',
    load: () => import('./scripts/lock.ts'),
  },
  bake: {
    summary: 'bake the image with Packer; does nothing when an image of the same inputs is there',
    load: () => import('./scripts/bake.ts'),
  },
  images: {
    summary: 'list the images: age, channel, verified or not, who uses them; what is different between two; what is vulnerable in one',
    load: () => import('./scripts/images.ts'),
  },
  promote: {
    summary: 'put an image into a channel; deployments and rollouts take the newest one of theirs',
    load: () => import('./scripts/promote.ts'),
  },
  revoke: {
    summary: 'mark an image, or a base and all that was made from it: it is never deployed again',
    load: () => import('./scripts/revoke.ts'),
  },
  sign: {
    summary: 'vouch for an image that was baked without a signature, or whose disk was moved',
    load: () => import('./scripts/sign.ts'),
  },
  prune: {
    summary: 'remove images, bases and seeds that nobody needs; shows first what goes, and asks',
    load: () => import('./scripts/prune.ts'),
  },
  verify: {
    summary: 'try an image out: clones of it do all that a slot does, and are gone; the newest, or the one that is named',
    load: () => import('./scripts/verify.ts'),
  },
  deploy: {
    summary: 'make the VMs of all groups as they are pinned, logging first; says so when there is nothing to do',
    load: () => import('./scripts/deploy.ts'),
  },
  status: { summary: 'tell what runs where: slot, image, addresses, credentials, health', load: () => import('./scripts/status.ts') },
  client: {
    summary: "print an AI coding client's MCP settings, --write them into its file, or --check what a client sees from here",
    load: () => import('./scripts/client.ts'),
  },
  rollout: {
    summary: 'let a new slot take over: newest image, settings and secrets of today; clients do not notice',
    load: () => import('./scripts/rollout.ts'),
  },
  rollback: { summary: 'let the slot before serve again', load: () => import('./scripts/rollback.ts') },
  nightly: {
    summary: 'lock, bake, verify, promote, roll out and prune, as the site says; a report; exit code 10: there is a new image',
    load: () => import('./scripts/nightly.ts'),
  },
  destroy: {
    summary: 'remove the VMs of all (or the named) groups; their data disks stay in the depots',
    load: () => import('./scripts/destroy.ts'),
  },
  'delete-data': {
    summary: "delete the data disk of one group for good; asks for the group's name",
    load: () => import('./scripts/delete-data.ts'),
  },
  env: {
    summary: 'print PATH and the like for plain tools: eval "$(npx golden env)"; npx cdktn deploy \'*\'',
    load: () => import('./scripts/env.ts'),
  },
  hook: { summary: "hand a group's data disk over (called while stacks are applied)", load: () => import('./scripts/hook.ts') },
  demo: {
    summary: 'show the whole thing on this computer: lab, setup, bake, deploy, checks; needs no Proxmox',
    load: () => import('./demo/demo.ts'),
  },
  lab: {
    summary: 'start a Proxmox-compatible API over local QEMU (or fake) guests and keep it running until Ctrl-C',
    load: () => import('./demo/lab.ts'),
  },
}
/** Called by Terraform's provisioners, not by people. */
const hidden = new Set(['hook'])

function help(): void {
  console.log('usage: npx golden VERB [OPTIONS] [--json]\n')
  for (const [name, { summary }] of Object.entries(verbs)) if (!hidden.has(name)) console.log(`  ${name.padEnd(12)} ${summary}`)
  console.log('\n"npx golden VERB --help" tells the options of a verb.')
}

function verbHelp(name: string, summary: string, verb: Verb): void {
  console.log(`usage: npx golden ${name}${verb.operands ? ` ${verb.operands}` : ''} [OPTIONS] [--json]\n\n${summary}\n`)
  for (const [option, config] of Object.entries(verb.options ?? {})) {
    console.log(`  --${`${option}${config.type === 'string' ? ' VALUE' : ''}`.padEnd(34)} ${verb.optionHelp?.[option] ?? ''}`)
  }
}

/** One Ctrl-C may come more than once: from the terminal, which tells the whole group, and from npm or scripts/golden, which pass it on. */
const onePressMs = 1000

async function main(argv: readonly string[]): Promise<number> {
  const [name = 'help', ...rest] = argv
  if (name === 'help' || name === '--help' || name === '-h') {
    help()
    return 0
  }
  const entry = Object.hasOwn(verbs, name) ? verbs[name] : undefined
  if (entry === undefined)
    return tell(new Failure('usage', `there is no verb "${name}"`, 'Run "npx golden help" for the list.'), rest.includes('--json'))
  await loadLeanZod()
  const { verb } = await entry.load()
  let parsed
  try {
    parsed = parseArgs({
      args: rest,
      allowPositionals: true,
      options: { ...verb.options, json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
    })
  } catch (error) {
    return tell(
      new Failure('usage', error instanceof Error ? error.message : String(error), `Run "npx golden ${name} --help".`),
      rest.includes('--json'),
    )
  }
  const { help: wantsHelp, json, ...flags } = parsed.values as Record<string, string | boolean | (string | boolean)[] | undefined>
  if (wantsHelp) {
    verbHelp(name, entry.summary, verb)
    return 0
  }
  const surplus = parsed.positionals.slice(mostOperands(verb))
  if (surplus.length > 0)
    return tell(
      new Failure('usage', `"${name}" takes no ${surplus.map((word) => `"${word}"`).join(' ')}`, `Run "npx golden ${name} --help".`),
      json === true,
    )
  const abort = new AbortController()
  let asked: number | undefined
  const stop = (signal: NodeJS.Signals): void => {
    if (asked === undefined) {
      asked = performance.now()
      process.stderr.write(`\n${signal}: stopping and cleaning up; once more to leave at once\n`)
      abort.abort(new Failure('cancelled', 'stopped by you', 'Run the same command again: it goes on from there.'))
    } else if (performance.now() - asked > onePressMs) process.exit(130)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(signal))
  const progress = renderer({
    isTTY: process.stderr.isTTY === true && process.env.CI === undefined,
    columns: () => process.stderr.columns,
    write: (text) => {
      process.stderr.write(text)
    },
  })
  try {
    return await verb.run({
      flags,
      arguments: parsed.positionals,
      env: process.env,
      progress,
      json: json === true,
      signal: abort.signal,
      result: (text, document) =>
        process.stdout.write(json === true ? `${JSON.stringify(document, null, 2)}\n` : text === '' ? '' : `${text}\n`),
    })
  } catch (error) {
    const failure = error instanceof Failure ? error : abort.signal.aborted ? (abort.signal.reason as Failure) : systemFailure(error)
    return tell(
      failure ??
        new Failure(
          'bug',
          error instanceof Error ? (error.stack ?? error.message) : String(error),
          'This is a mistake in serena-golden: please report it with these lines.',
        ),
      json === true,
    )
  }
}

/** On standard error for people, with --json on standard output as well. @returns the exit code */
function tell(error: Failure, json: boolean): number {
  if (json) process.stdout.write(`${JSON.stringify({ error }, null, 2)}\n`)
  process.stderr.write(`${error.toText()}\n`)
  return error.exitCode
}

/** `GROUP` is one, `[GROUP …]` any number. */
const mostOperands = ({ operands }: Verb): number =>
  operands === undefined ? 0 : operands.includes('…') ? Infinity : operands.split(' ').length

dropSteering(process.env)
const compiled = compileCacheFolder(process.env)
// Terraform calls `hook` several times. Node does without where it can't write.
if (compiled !== undefined) enableCompileCache(compiled)
process.exitCode = await main(process.argv.slice(2))
