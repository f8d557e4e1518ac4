/** The `docker` program and Compose's plugin. */
import { readCompose, type ComposeFile, type Container, type Image } from '../docker.ts'
import { fail, ok, type Program, type Result, type Run } from '../shell.ts'
import { ROOT } from '../vfs.ts'
import { options } from './files.ts'
import { renderTemplate } from './go-template.ts'

const SERVER = '26.1.5+dfsg1'

function daemonless(run: Run): Result | undefined {
  if (!run.guest.docker.running)
    return fail('Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?')
  const group = run.guest.vfs.exists('/etc/group') ? /^docker:[^:]*:(\d+):/m.exec(run.guest.vfs.readText('/etc/group'))?.[1] : undefined
  if (run.as.uid !== 0 && !run.as.groups.includes(Number(group)))
    return fail('permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock')
  return undefined
}

function imageView(image: Image): Record<string, unknown> {
  return {
    Id: image.id,
    ID: image.id.slice(7, 19),
    RepoTags: image.tags.map((tag) => `${image.repository}:${tag}`),
    RepoDigests: [`${image.repository}@${image.digest}`],
    Repository: image.repository,
    Tag: image.tags[0] ?? '<none>',
    Digest: image.digest,
    Architecture: 'amd64',
    Os: 'linux',
    Created: '2026-01-01T00:00:00Z',
    Size: 100_000_000,
  }
}

function containerView(each: Container): Record<string, unknown> {
  const status = each.state === 'running' ? `Up 5 seconds${each.health ? ` (${each.health})` : ''}` : 'Exited (0) 5 seconds ago'
  return {
    Id: each.id,
    ID: each.id.slice(0, 12),
    Name: `/${each.name}`,
    Names: each.name,
    Image: each.image,
    Status: status,
    Service: each.service ?? '',
    Project: each.project ?? '',
    Health: each.health ?? '',
    Command: '',
    Ports: '',
    RunningFor: '5 seconds ago',
    CreatedAt: each.created,
    State: {
      Status: each.state,
      Running: each.state === 'running',
      ExitCode: 0,
      StartedAt: each.created,
      ...(each.health && { Health: { Status: each.health, FailingStreak: each.health === 'healthy' ? 0 : 3 } }),
    },
    Config: {
      Image: each.image,
      Labels: { 'com.docker.compose.project': each.project ?? '', 'com.docker.compose.service': each.service ?? '' },
    },
    HostConfig: { RestartPolicy: { Name: each.restart } },
    RestartCount: 0,
    NetworkSettings: { Networks: {} },
  }
}

function listed(run: Run, args: readonly string[]): Result {
  const { flags } = options(args, ['-f', '--filter', '--format', '-n', '--last'])
  const filters = args.flatMap((word, at) =>
    word === '-f' || word === '--filter' ? [args[at + 1] ?? ''] : word.startsWith('--filter=') ? [word.slice(9)] : [],
  )
  const shown = run.guest.docker.store().containers.filter(
    (each) =>
      (flags.has('-a') || flags.has('--all') || each.state === 'running') &&
      filters.every((filter) => {
        const [key = '', value = ''] = [filter.slice(0, filter.indexOf('=')), filter.slice(filter.indexOf('=') + 1)]
        return key === 'name'
          ? new RegExp(value.replace(/^\^\/?/, '^')).test(each.name)
          : key === 'status'
            ? each.state === value
            : key === 'health'
              ? each.health === value
              : key === 'label'
                ? value === `com.docker.compose.project=${each.project ?? ''}` ||
                  value === `com.docker.compose.service=${each.service ?? ''}`
                : true
      }),
  )
  if (flags.has('-q') || flags.has('--quiet'))
    return ok(shown.map((each) => `${flags.has('--no-trunc') ? each.id : each.id.slice(0, 12)}\n`).join(''))
  const view = (each: Container): Record<string, unknown> => ({ ...containerView(each), State: each.state })
  const format = flags.get('--format')
  if (format !== undefined)
    return ok(
      shown.map((each) => `${renderTemplate(format === 'json' ? '{{json .}}' : format.replace(/^table /, ''), view(each))}\n`).join(''),
    )
  return ok(
    `CONTAINER ID   IMAGE   STATUS   NAMES\n${shown.map((each) => `${each.id.slice(0, 12)}   ${each.image}   ${String(containerView(each).Status)}   ${each.name}\n`).join('')}`,
  )
}

function inspect(args: readonly string[], find: (name: string) => Record<string, unknown> | undefined, kind: string): Result {
  const { flags, rest } = options(args, ['-f', '--format', '--type'])
  const format = flags.get('-f') ?? flags.get('--format')
  const found = rest.map((name) => [name, find(name)] as const)
  const missing = found
    .filter(([, each]) => each === undefined)
    .map(([name]) => (kind === 'image' ? `Error response from daemon: No such image: ${name}` : `Error: No such ${kind}: ${name}`))
  const there = found.flatMap(([, each]) => (each ? [each] : []))
  const stdout =
    format !== undefined && format !== 'json'
      ? there.map((each) => `${renderTemplate(format, each)}\n`).join('')
      : `${JSON.stringify(there, null, 4)}\n`
  return { stdout, stderr: missing.map((line) => `${line}\n`).join(''), exitCode: missing.length > 0 ? 1 : 0 }
}

const image: Program = (args, run) => {
  const [command = '', ...rest] = args
  const { docker } = run.guest
  switch (command) {
    case 'pull':
      return pull(rest, run)
    case 'inspect':
      return inspect(
        rest,
        (name) => {
          const found = docker.findImage(name)
          return found && imageView(found)
        },
        'image',
      )
    case 'ls':
    case 'list':
      return images(rest, run)
    case 'rm':
      return removeImages(rest, run)
    case 'prune':
      docker.pruneImages()
      return ok('Total reclaimed space: 0B\n')
    case 'tag':
      return tag(rest, run)
    default:
      return fail(`docker image ${command}: not modelled by the fake guest`)
  }
}

const pull: Program = (args, run) => {
  const { flags, rest } = options(args, ['--platform'])
  const reference = rest[0]
  if (reference === undefined) return fail('"docker pull" requires exactly 1 argument.')
  const problem = run.guest.docker.pull(reference)
  if (problem !== undefined) return fail(problem)
  return ok(flags.has('-q') || flags.has('--quiet') ? `${reference}\n` : `Status: Downloaded newer image for ${reference}\n${reference}\n`)
}

const images: Program = (args, run) => {
  const { flags, rest } = options(args, ['-f', '--filter', '--format'])
  const shown = run.guest.docker
    .store()
    .images.filter(
      (each) => rest.length === 0 || rest.some((name) => each.repository === name || run.guest.docker.findImage(name) === each),
    )
  const format = flags.get('--format')
  if (flags.has('-q') || flags.has('--quiet'))
    return ok(shown.map((each) => `${flags.has('--no-trunc') ? each.id : each.id.slice(7, 19)}\n`).join(''))
  if (format !== undefined)
    return ok(shown.map((each) => `${renderTemplate(format === 'json' ? '{{json .}}' : format, imageView(each))}\n`).join(''))
  return ok(
    `REPOSITORY   TAG   DIGEST   IMAGE ID\n${shown.map((each) => `${each.repository}   ${each.tags[0] ?? '<none>'}   ${each.digest}   ${each.id.slice(7, 19)}\n`).join('')}`,
  )
}

const removeImages: Program = (args, run) => {
  const { rest } = options(args)
  const missing = rest.filter((name) => !run.guest.docker.removeImage(name))
  return missing.length > 0 ? fail(missing.map((name) => `Error response from daemon: No such image: ${name}`).join('\n')) : ok()
}

const tag: Program = (args, run) => {
  const found = run.guest.docker.findImage(args[0] ?? '')
  const [, repository = '', name = 'latest'] = /^(.*?)(?::([\w.-]+))?$/.exec(args[1] ?? '') ?? []
  if (!found) return fail(`Error response from daemon: No such image: ${args[0] ?? ''}`)
  run.guest.docker.tag(found, repository, name)
  return ok()
}

const compose: Program = (args, run) => {
  const files: string[] = []
  const envFiles: string[] = []
  const profiles = (run.env.COMPOSE_PROFILES ?? '').split(',').filter(Boolean)
  let project = run.env.COMPOSE_PROJECT_NAME ?? ''
  let folder = run.cwd
  const words = [...args]
  while ((words[0] ?? '').startsWith('-')) {
    const word = words.shift() ?? ''
    const value = (): string => (word.includes('=') ? word.slice(word.indexOf('=') + 1) : (words.shift() ?? ''))
    const name = word.split('=')[0] ?? ''
    if (name === '-f' || name === '--file') files.push(value())
    else if (name === '--env-file') envFiles.push(value())
    else if (name === '--profile') profiles.push(value())
    else if (name === '-p' || name === '--project-name') project = value()
    else if (name === '--project-directory') folder = run.path(value())
    else if (['--ansi', '--progress', '--parallel'].includes(name)) value()
  }
  const [command = '', ...rest] = words
  if (command === 'version') return ok(rest.includes('--short') ? '2.26.1\n' : 'Docker Compose version 2.26.1-4\n')
  const { vfs, docker } = run.guest
  const paths = (
    files.length > 0
      ? files
      : ['compose.yaml', 'compose.yml', 'docker-compose.yml'].filter((name) => vfs.exists(`${folder}/${name}`)).slice(0, 1)
  ).map((name) => run.path(name.startsWith('/') ? name : files.length > 0 ? name : `${folder}/${name}`))
  if (paths.length === 0) return fail('no configuration file provided: not found', 14)
  const missing = [...paths, ...envFiles.map((name) => run.path(name))].find((path) => !vfs.exists(path, run.as))
  if (missing !== undefined) return fail(`open ${missing}: no such file or directory`, 14)
  const environment: Record<string, string> = {}
  for (const path of envFiles.length > 0 ? envFiles.map((name) => run.path(name)) : [`${folder}/.env`].filter((name) => vfs.exists(name))) {
    for (const line of vfs.readText(path, run.as).split('\n')) {
      const [, name, value = ''] = /^\s*(?:export\s+)?(\w+)=(.*?)\s*$/.exec(line) ?? []
      if (name !== undefined) environment[name] = value.replace(/^(["'])(.*)\1$/, '$2')
    }
  }
  let file
  try {
    file = readCompose(
      paths.map((path) => vfs.readText(path, run.as)),
      project,
      { ...environment, ...run.env },
    )
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error), 15)
  }
  const { flags, rest: named } = options(rest, [
    '--format',
    '--timeout',
    '-t',
    '--filter',
    '--status',
    '--scale',
    '--pull',
    '--wait-timeout',
    '--tail',
    '-n',
    '--since',
  ])
  const unknown = named.find((name) => !file.services.some((service) => service.name === name))
  if (unknown !== undefined && !['exec', 'run'].includes(command)) return fail(`no such service: ${unknown}`)
  const chosen = file.services.filter((service) =>
    named.length > 0
      ? named.includes(service.name)
      : service.profiles.length === 0 || service.profiles.some((profile) => profiles.includes(profile) || profiles.includes('*')),
  )
  if (command === 'config') {
    if (flags.has('-q') || flags.has('--quiet')) return ok()
    if (flags.has('--images')) return ok(chosen.map((service) => `${service.image}\n`).join(''))
    return ok(flags.has('--services') ? chosen.map((service) => `${service.name}\n`).join('') : `${JSON.stringify(file.text, null, 2)}\n`)
  }
  const stopped = daemonless(run)
  if (stopped) return stopped
  if (command === 'run') return runOnce(rest, run, file)
  const mine = (container: Container): boolean =>
    container.project === file.project && (named.length === 0 || chosen.some((service) => service.name === container.service))
  switch (command) {
    case 'up':
    case 'create': {
      for (const service of chosen) {
        if (!docker.findImage(service.image)) {
          const problem =
            service.pullPolicy === 'never' || flags.get('--pull') === 'never'
              ? `Error response from daemon: No such image: ${service.image}`
              : docker.pull(service.image)
          if (problem !== undefined) return fail(problem)
        }
      }
      for (const service of chosen) {
        docker.addNetworks(service.networks)
        const there = docker.store().containers.find((each) => each.name === service.containerName)
        const problem =
          there?.image === service.image
            ? (docker.setState(service.containerName, 'running'), undefined)
            : docker.run({
                name: service.containerName,
                image: service.image,
                restart: service.restart,
                project: file.project,
                service: service.name,
                healthcheck: service.healthcheck,
              })
        if (problem !== undefined) return fail(problem)
      }
      const sick = docker.store().containers.find((each) => mine(each) && each.health === 'unhealthy')
      if (flags.has('--wait') && sick) return fail(`container ${sick.name} is unhealthy`)
      return fail(chosen.map((service) => ` Container ${service.containerName}  Started`).join('\n'), 0)
    }
    case 'down':
      docker.removeContainers((each) => each.project === file.project && (named.length === 0 || mine(each)))
      if (named.length === 0) docker.removeNetworks(file.services.flatMap((service) => service.networks))
      return ok()
    case 'stop':
    case 'kill':
      for (const each of docker.store().containers.filter(mine)) docker.setState(each.name, 'exited')
      return ok()
    case 'start':
    case 'restart':
      for (const each of docker.store().containers.filter(mine)) docker.setState(each.name, 'running')
      return ok()
    case 'rm':
      docker.removeContainers((each) => mine(each) && each.state !== 'running')
      return ok()
    case 'pull':
      for (const service of chosen) {
        const problem = docker.pull(service.image)
        if (problem !== undefined) return fail(problem)
      }
      return ok()
    case 'logs':
      return ok()
    case 'ps': {
      const shown = docker
        .store()
        .containers.filter((each) => mine(each) && (flags.has('-a') || flags.has('--all') || each.state === 'running'))
      if (flags.has('-q') || flags.has('--quiet')) return ok(shown.map((each) => `${each.id}\n`).join(''))
      if (flags.has('--services')) return ok(shown.map((each) => `${each.service ?? ''}\n`).join(''))
      if (flags.get('--format') === 'json')
        return ok(
          shown.map((each) => `${JSON.stringify({ ...containerView(each), Name: each.name, State: each.state, ExitCode: 0 })}\n`).join(''),
        )
      return ok(
        `NAME   IMAGE   SERVICE   STATUS\n${shown.map((each) => `${each.name}   ${each.image}   ${each.service ?? ''}   ${String(containerView(each).Status)}\n`).join('')}`,
      )
    }
    default:
      return fail(`docker compose ${command}: not modelled by the fake guest`)
  }
}

/** `docker compose run`: what the daemon refuses, and a program that works or, as ordered, does not. Of the program's own words nothing is modelled. */
function runOnce(args: readonly string[], run: Run, file: ComposeFile): Result {
  const { docker } = run.guest
  const {
    flags,
    rest: [name = ''],
  } = options(args, [
    '--name',
    '-e',
    '--env',
    '--entrypoint',
    '-u',
    '--user',
    '-v',
    '--volume',
    '-w',
    '--workdir',
    '-p',
    '--publish',
    '-l',
    '--label',
    '--pull',
  ])
  const service = file.services.find((each) => each.name === name)
  if (service === undefined) return fail(`no such service: ${name}`)
  if (!docker.findImage(service.image)) {
    const problem =
      service.pullPolicy === 'never' ? `Error response from daemon: No such image: ${service.image}` : docker.pull(service.image)
    if (problem !== undefined) return fail(problem)
  }
  docker.addNetworks(service.networks)
  const refusal = docker.refusal(service)
  if (refusal !== undefined) return fail(refusal)
  if (!flags.has('--rm'))
    docker.run({ name: `${file.project}-${name}-run`, image: service.image, restart: 'no', project: file.project, service: name })
  return run.guest.behaviour.broken?.includes(name) ? fail(`${name}: exec format error`, 1) : ok(`${name} as ordered\n`)
}

const docker: Program = (args, run) => {
  const words = [...args]
  while ((words[0] ?? '').startsWith('-') && !['-v', '--version'].includes(words[0] ?? '')) {
    const word = words.shift() ?? ''
    if (['-H', '--host', '-c', '--context', '--config', '-l'].includes(word)) words.shift()
  }
  const [command = '', ...rest] = words
  if (command === '-v' || command === '--version') return ok(`Docker version ${SERVER}, build a72d7cd\n`)
  if (command === 'compose')
    return run.guest.vfs.exists('/usr/libexec/docker/cli-plugins/docker-compose')
      ? compose(rest, run)
      : fail("docker: 'compose' is not a docker command.\nSee 'docker --help'")
  const stopped = daemonless(run)
  if (command === 'version') {
    const format = options(rest, ['-f', '--format']).flags
    const view = { Client: { Version: SERVER }, ...(stopped ? {} : { Server: { Version: SERVER, Os: 'linux', Arch: 'amd64' } }) }
    const text = format.get('-f') ?? format.get('--format')
    const stdout =
      text === undefined
        ? `Client:\n Version: ${SERVER}\n${stopped ? '' : `Server:\n Engine:\n  Version: ${SERVER}\n`}`
        : `${renderTemplate(text === 'json' ? '{{json .}}' : text, view)}\n`
    return stopped ? { ...stopped, stdout } : ok(stdout)
  }
  if (stopped) return stopped
  const { docker: daemon } = run.guest
  switch (command) {
    case 'info': {
      const { flags } = options(rest, ['-f', '--format'])
      const format = flags.get('-f') ?? flags.get('--format')
      const settings = run.guest.vfs.exists('/etc/docker/daemon.json')
        ? (JSON.parse(run.guest.vfs.readText('/etc/docker/daemon.json', ROOT)) as Record<string, unknown>)
        : {}
      const view = {
        ServerVersion: SERVER,
        Driver: 'overlay2',
        LoggingDriver: settings['log-driver'] ?? 'json-file',
        LiveRestoreEnabled: settings['live-restore'] === true,
        Containers: daemon.store().containers.length,
        Images: daemon.store().images.length,
        DockerRootDir: '/var/lib/docker',
        RegistryConfig: { Mirrors: settings['registry-mirrors'] ?? [] },
      }
      return ok(
        format === undefined
          ? `Server:\n Server Version: ${SERVER}\n Images: ${view.Images}\n`
          : `${renderTemplate(format === 'json' ? '{{json .}}' : format, view)}\n`,
      )
    }
    case 'pull':
      return pull(rest, run)
    case 'images':
      return images(rest, run)
    case 'image':
      return image(rest, run)
    case 'rmi':
      return removeImages(rest, run)
    case 'tag':
      return tag(rest, run)
    case 'ps':
      return listed(run, rest)
    case 'container':
      return rest[0] === 'ls' || rest[0] === 'list'
        ? listed(run, rest.slice(1))
        : rest[0] === 'prune'
          ? (daemon.removeContainers((each) => each.state !== 'running'), ok())
          : docker(rest, run)
    case 'inspect':
      return inspect(
        rest,
        (name) => {
          const found = daemon.store().containers.find((each) => each.name === name || each.id.startsWith(name))
          const picture = daemon.findImage(name)
          return found ? containerView(found) : picture && imageView(picture)
        },
        'object',
      )
    case 'start':
    case 'restart':
    case 'stop':
    case 'kill': {
      const names = options(rest, ['-t', '--time', '-s', '--signal']).rest
      const missing = names.filter((name) => !daemon.setState(name, command === 'start' || command === 'restart' ? 'running' : 'exited'))
      return missing.length > 0
        ? fail(missing.map((name) => `Error response from daemon: No such container: ${name}`).join('\n'))
        : ok(`${names.join('\n')}\n`)
    }
    case 'rm': {
      const names = options(rest).rest
      daemon.removeContainers((each) => names.includes(each.name) || names.some((name) => each.id.startsWith(name)))
      return ok()
    }
    case 'run':
    case 'create': {
      const { flags, rest: named } = options(rest, [
        '--name',
        '--restart',
        '-v',
        '--volume',
        '-p',
        '--publish',
        '-e',
        '--env',
        '--network',
        '--entrypoint',
        '-u',
        '--user',
        '-w',
        '--mount',
        '--label',
        '-l',
        '--log-opt',
        '--log-driver',
        '--tmpfs',
        '--cap-drop',
        '--cap-add',
        '--security-opt',
        '--memory',
        '-m',
      ])
      const picture = named[0] ?? ''
      if (!daemon.findImage(picture)) {
        const problem =
          flags.get('--pull') === 'never' ? `docker: Error response from daemon: No such image: ${picture}` : daemon.pull(picture)
        if (problem !== undefined) return fail(problem, 125)
      }
      if (!flags.has('-d') && !flags.has('--detach'))
        return fail(`docker run ${picture}: programs in containers are not modelled by the fake guest`, 127)
      daemon.run({
        name: flags.get('--name') ?? `fake_${daemon.store().containers.length}`,
        image: picture,
        restart: flags.get('--restart') ?? 'no',
      })
      return ok(`${daemon.store().containers.at(-1)?.id ?? ''}\n`)
    }
    case 'logs':
    case 'events':
      return ok()
    case 'network':
    case 'volume':
      return rest[0] === 'ls'
        ? ok(command === 'network' ? (daemon.store().networks ?? []).map((name) => `${name}\n`).join('') : '')
        : rest[0] === 'prune' || rest[0] === 'create' || rest[0] === 'rm'
          ? ok()
          : fail(`Error response from daemon: ${command} ${rest[1] ?? ''} not found`)
    case 'system':
    case 'builder':
    case 'logout':
      return ok()
    default:
      return fail(`docker ${command}: not modelled by the fake guest`)
  }
}

export const dockerPrograms: Readonly<Record<string, Program>> = { docker, 'docker-compose': compose }
