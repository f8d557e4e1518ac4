/** The `docker` program and Compose's plugin. */
import { createHash } from 'node:crypto'
import { readCompose, type ComposeFile, type Container, type Image } from '../docker.ts'
import { fail, ok, type Program, type Result, type Run } from '../shell.ts'
import { options } from './files.ts'
import { tarOf } from './archive.ts'
import { renderTemplate } from './go-template.ts'

function daemonless(run: Run): Result | undefined {
  if (!run.guest.docker.running)
    return fail('Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?')
  const group = run.guest.vfs.exists('/etc/group') ? /^docker:[^:]*:(\d+):/m.exec(run.guest.vfs.readText('/etc/group'))?.[1] : undefined
  if (run.as.uid !== 0 && !run.as.groups.includes(Number(group)))
    return fail('permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock')
  return undefined
}

const imageView = (image: Image): Record<string, unknown> => ({
  Id: image.id,
  RepoTags: image.tags.map((tag) => `${image.repository}:${tag}`),
  RepoDigests: [`${image.repository}@${image.digest}`],
  Digest: image.digest,
  // Some size, always the same for the same image.
  Size: 50_000_000 + (Number.parseInt(image.digest.slice(-6), 16) % 1_000_000_000),
})

/** `docker image inspect|ls --format …`. */
function image([command = '', ...args]: readonly string[], run: Run): Result {
  const { docker } = run.guest
  const { flags, rest } = options(args, ['--format'])
  const shown = (image: Image): string => `${renderTemplate(flags.get('--format') ?? '{{json .}}', imageView(image))}\n`
  if (command === 'ls') return ok(docker.store().images.map(shown).join(''))
  if (command !== 'inspect') return fail(`docker image ${command}: not modelled by the fake guest`)
  const found = rest.map((name) => docker.findImage(name))
  const missing = rest.filter((_, at) => found[at] === undefined)
  return {
    stdout: found.map((each) => (each ? shown(each) : '')).join('') || '\n',
    stderr: missing.map((name) => `Error response from daemon: No such image: ${named(name)}\n`).join(''),
    exitCode: missing.length > 0 ? 1 : 0,
  }
}

/** As Docker says it: with the tag that goes without saying. */
const named = (name: string): string => (/@|:[^/]*$/.test(name) ? name : `${name}:latest`)

/** `docker inspect --format … CONTAINER …`. */
function inspect(args: readonly string[], run: Run): Result {
  const { docker } = run.guest
  const { flags, rest } = options(args, ['--format'])
  const shown = rest.map((name) => {
    const container = docker.store().containers.find((each) => each.name === name || each.id === name)
    if (container === undefined) return fail(`Error: No such object: ${name}`)
    const { id: Id, state } = container
    const view = {
      Id,
      Name: `/${container.name}`,
      State: { Status: state, Running: state === 'running', Pid: docker.pidOf(container.name) },
    }
    return ok(`${renderTemplate(flags.get('--format') ?? '{{json .}}', view)}\n`)
  })
  const text = (of: 'stdout' | 'stderr'): string => shown.map((each) => each[of]).join('')
  return { stdout: text('stdout') || '\n', stderr: text('stderr'), exitCode: shown.some(({ exitCode }) => exitCode !== 0) ? 1 : 0 }
}

function pull(args: readonly string[], run: Run): Result {
  const { flags, rest } = options(args)
  const [reference = ''] = rest
  const problem = run.guest.docker.pull(reference)
  if (problem !== undefined) return fail(problem)
  return ok(flags.has('-q') || flags.has('--quiet') ? `${reference}\n` : `Status: Downloaded newer image for ${reference}\n${reference}\n`)
}

/** As much of a program as has in it what Go writes down of its modules (debug/buildinfo): the texts after their lengths. */
const goModules = 'path\texample.org/program\nmod\texample.org/program\t(devel)\t\ndep\tgolang.org/x/net\tv0.40.0\th1:x=\n'
const goProgram = `${'code'.repeat(8)}\xff Go buildinf:\b\x02${'\0'.repeat(16)}\x06go1.25${String.fromCharCode(goModules.length + 32)}${'<'.repeat(16)}${goModules}${'>'.repeat(16)}code`

/** What is in every image, as far as somebody asks. */
const contents: Readonly<Record<string, string>> = {
  './etc/os-release': 'ID=alpine\nVERSION_ID=3.22.1\n',
  './lib/apk/db/installed':
    'P:musl\nV:1.2.5-r10\nA:x86_64\nL:MIT\no:musl\n\nP:libcrypto3\nV:3.5.1-r0\nA:x86_64\nL:Apache-2.0\no:openssl\n\n',
  './usr/lib/python3.12/site-packages/PyYAML-6.0.2.dist-info/METADATA':
    'Metadata-Version: 2.1\nName: PyYAML\nVersion: 6.0.2\nLicense: MIT\n\nName: none\n',
  './usr/bin/program': 'nobody asks for it',
  './usr/bin/go-program': goProgram,
}

/** `docker create|cp|rm`: of a container that is never started; copied is all that is in it, to standard output. */
function made(command: string, args: readonly string[], run: Run): Result {
  const { docker } = run.guest
  const { rest } = options(args, ['--pull', '--network'])
  const [name = ''] = command === 'cp' ? (rest[0]?.split(':') ?? []) : rest
  if (command === 'create') {
    const image = docker.findImage(name)
    if (image === undefined) return fail(`Error response from daemon: No such image: ${name}`)
    const container = `made-${image.id.slice(7, 19)}`
    const problem = docker.run({ name: container, image: name, restart: 'no', state: 'created' })
    return problem === undefined ? ok(`${docker.store().containers.find((each) => each.name === container)?.id ?? ''}\n`) : fail(problem)
  }
  const there = docker.store().containers.find((each) => each.id === name || each.name === name)
  if (there === undefined) return fail(`Error response from daemon: No such container: ${name}`)
  if (command === 'cp') {
    const { copyFails } = run.guest.behaviour
    if (copyFails === 'with a word') return fail('unexpected EOF')
    const whole = tarOf(contents)
    return { ...(copyFails === undefined ? ok(whole) : fail('', 137, whole.slice(0, -1024))), stdoutKind: 'bytes' }
  }
  docker.removeContainers(({ id }) => id === there.id)
  return ok(`${name}\n`)
}

const compose: Program = (args, run) => {
  const files: string[] = []
  const envFiles: string[] = []
  const words = [...args]
  while ((words[0] ?? '').startsWith('-')) {
    const name = words.shift()
    const value = words.shift() ?? ''
    if (name === '-f') files.push(run.path(value))
    else if (name === '--env-file') envFiles.push(run.path(value))
  }
  const [command = '', ...rest] = words
  const { vfs, docker } = run.guest
  if (files.length === 0) return fail('no configuration file provided: not found', 14)
  const missing = [...envFiles, ...files].find((path) => !vfs.exists(path, run.as))
  if (missing !== undefined)
    return envFiles.includes(missing) ? fail(`Couldn't find env file: ${missing}`) : fail(`open ${missing}: no such file or directory`, 14)
  const environment: Record<string, string> = {}
  for (const path of envFiles)
    for (const [, name = '', value = ''] of vfs.readText(path, run.as).matchAll(/^\s*(\w+)=(.*?)\s*$/gm))
      environment[name] = value.replace(/^(["'])(.*)\1$/, '$2')
  let file: ComposeFile
  try {
    file = readCompose(
      files.map((path) => vfs.readText(path, run.as)),
      run.env.COMPOSE_PROJECT_NAME ?? '',
      { ...environment, ...run.env },
    )
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error), 15)
  }
  const { rest: named } = options(rest, ['--timeout'])
  const unknown = named.find((name) => !file.services.some((service) => service.name === name))
  if (unknown !== undefined && command !== 'run') return fail(`no such service: ${unknown}`)
  const stopped = daemonless(run)
  if (stopped) return stopped
  const chosen = file.services.filter((service) => (named.length > 0 ? named.includes(service.name) : service.profiles.length === 0))
  const mine = (container: Container): boolean =>
    container.project === file.project && (named.length === 0 || chosen.some((service) => service.name === container.service))
  switch (command) {
    case 'run':
      return runOnce(rest, run, file)
    case 'up': {
      const onlyMade = rest.includes('--no-start')
      for (const service of chosen) {
        const problem = imageProblem(run, service)
        if (problem !== undefined) return fail(problem)
      }
      for (const service of chosen) {
        docker.addNetworks(service.networks)
        const there = docker.store().containers.find((each) => each.name === service.containerName)
        if (there?.image === service.image) {
          if (!onlyMade) docker.setState(service.containerName, 'running')
          continue
        }
        const problem =
          docker.refusal(service) ??
          docker.run({
            name: service.containerName,
            image: service.image,
            restart: service.restart,
            project: file.project,
            service: service.name,
            state: onlyMade ? 'created' : 'running',
          })
        if (problem !== undefined) return fail(problem)
      }
      return fail(chosen.map((service) => ` Container ${service.containerName}  ${onlyMade ? 'Created' : 'Started'}`).join('\n'), 0)
    }
    case 'down':
      docker.removeContainers(mine)
      if (named.length === 0) docker.removeNetworks(file.services.flatMap((service) => service.networks))
      return ok()
    case 'stop':
      for (const each of docker.store().containers.filter(mine)) docker.setState(each.name, 'exited')
      return ok()
    default:
      return fail(`docker compose ${command}: not modelled by the fake guest`)
  }
}

/** Pulls what a service needs, where it may; the daemon's complaint, or undefined. */
function imageProblem(run: Run, service: ComposeFile['services'][number]): string | undefined {
  const { docker } = run.guest
  if (docker.findImage(service.image)) return undefined
  return service.pullPolicy === 'never' ? `Error response from daemon: No such image: ${service.image}` : docker.pull(service.image)
}

/** `docker compose run`: what the daemon refuses, and a program that works or, as ordered, does not. Of the program's own words nothing is modelled. */
function runOnce(args: readonly string[], run: Run, file: ComposeFile): Result {
  const { docker } = run.guest
  const {
    flags,
    rest: [name = ''],
  } = options(args)
  const service = file.services.find((each) => each.name === name)
  if (service === undefined) return fail(`no such service: ${name}`)
  const problem = imageProblem(run, service)
  if (problem !== undefined) return fail(problem)
  docker.addNetworks(service.networks)
  const refusal = docker.refusal(service)
  if (refusal !== undefined) return fail(refusal)
  if (!flags.has('--rm'))
    docker.run({ name: `${file.project}-${name}-run`, image: service.image, restart: 'no', project: file.project, service: name })
  return run.guest.behaviour.broken?.includes(name) ? fail(`${name}: exec format error`, 1) : ok(`${name} as ordered\n`)
}

/** `--filter name=…` */
const filteredName = (words: readonly string[]): string => words.find((word) => word.startsWith('name='))?.slice(5) ?? ''
const idOf = (name: string): string => createHash('sha256').update(name).digest('hex').slice(0, 12)

const docker: Program = ([command = '', ...rest], run) => {
  const stopped = daemonless(run)
  if (stopped) return stopped
  const { containers, networks = [] } = run.guest.docker.store()
  const listed = (names: readonly string[]): Result => ok(names.map((name) => `${name}\n`).join(''))
  switch (command) {
    case 'pull':
      return pull(rest, run)
    case 'image':
      return image(rest, run)
    case 'inspect':
      return inspect(rest, run)
    case 'create':
    case 'cp':
    case 'rm':
      return made(command, rest, run)
    case 'ps':
      return listed(
        containers
          .filter(({ state, name }) => (rest.includes('--all') || state === 'running') && name.includes(filteredName(rest)))
          .map(({ id }) => id.slice(0, 12)),
      )
    case 'network':
    case 'volume':
      if (rest[0] === 'ls') return listed(command === 'network' ? networks.map(idOf) : [])
  }
  return fail(`docker ${command} ${rest[0] ?? ''}: not modelled by the fake guest`)
}

export const dockerPrograms: Readonly<Record<string, Program>> = { docker, 'docker-compose': compose }
