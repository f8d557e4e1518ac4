/**
 * Whatever `parseSite` accepts renders to files that their real programs accept: some hundreds of sites, each program
 * called in one go in the lab's Debian root.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { otelcolArguments } from '../../images/guest/otelcol.ts'
import { owner } from '../../images/guest/places.ts'
import { renderFiles } from '../../images/guest/render.ts'
import { seedFiles } from '../../images/contract/files.ts'
import { inRoot, rootPath, type Bind, type Root } from '../../lab/debian/root.ts'
import { seedContents } from '../../releases/seed.ts'
import { newRelease, parseDeployment, renderDeployment } from '../../releases/deployment.ts'
import { proxmoxRules } from '../../releases/proxmox-rules.ts'
import { parseSite, slotNames } from '../../settings/site.ts'
import { ensureTools } from '../../tools/index.ts'
import { anySite } from './any-site.ts'
import { selfSigned } from './certificate.ts'
import { keeperBind } from './keeper-files.ts'
import { contents, image } from './seed.ts'

const rootFolder = await rootPath()
const root: Root = { folder: rootFolder }
const noRoot = process.getuid?.() !== 0 || !existsSync(rootFolder)
/** Sites that are asked for; some are refused, and a site of two VMs has two sets of files. */
const tries = 250

const folder = mkdtempSync(join(tmpdir(), 'golden-sites-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
/** What each program said of whose files, for those that it does not take: `N: words`. */
const complaints = (said: string): string[] => said.split('\n').filter((line) => line.trim() !== '')

interface Rendered {
  readonly number: number
  readonly input: unknown
}
const rendered: Rendered[] = []

beforeAll(async () => {
  execFileSync('openssl', selfSigned(folder, 'x'), { stdio: 'ignore' })
  const seedFilesOf = contents(readFileSync(join(folder, 'pem'), 'utf8'), readFileSync(join(folder, 'key'), 'utf8'))
  const origin = { id: '0123456789ab', created: new Date(), image: { vmid: 9001, name: 'golden', fingerprint: image.fingerprint } }
  for (const input of fc.sample(anySite, tries)) {
    const parsed = parseSite(input)
    if (!parsed.ok) continue
    for (const group of Object.keys(parsed.site.groups)) {
      const number = rendered.length
      const slot = slotNames[number % 2] ?? 'blue'
      const release = newRelease(parsed.site, group, slot, origin)
      rendered.push({ number, input })
      const place = join(folder, 'sites', String(number))
      const put = (path: string, content: string, of = 0): void => {
        mkdirSync(dirname(join(place, path)), { recursive: true })
        writeFileSync(join(place, path), content)
        if (!noRoot) chownSync(join(place, path), of, of)
      }
      const seed = await seedContents(release, {
        siteCa: 'x',
        hostKey: { privateKey: 'x', publicKey: 'x' },
        peer: { certificate: 'x', key: 'x' },
      })
      for (const name of ['user-data', 'network-config', `golden/${seedFiles.firewall}`]) put(`seed/${name}`, seed.get(name) ?? '')
      for (const file of renderFiles(JSON.parse(seed.get(`golden/${seedFiles.seed}`) ?? ''), image, seedFilesOf))
        put(file.path, file.content, file.owner)
      put('deployment.json', renderDeployment({ schema: 1, groups: { [group]: { active: slot, slots: { [slot]: release } } } }))
      put('rules.json', JSON.stringify(proxmoxRules(release.flows)))
    }
  }
})

const of = (number: string): string => JSON.stringify(rendered[Number(number)]?.input)
/** Shows the site of the first complaint: the others are mostly the same. */
const expectNone = (said: readonly string[]): void =>
  expect(said.length === 0 ? [] : [said.slice(0, 5), of(said[0]?.split(':')[0] ?? '')]).toEqual([])

it('most of the sites are accepted, with one VM and with two', () => {
  expect(rendered.length).toBeGreaterThan(tries * 0.6)
})

it("pins are read back, and rules keep Proxmox's limits", () => {
  for (const { number } of rendered) {
    const place = join(folder, 'sites', String(number))
    expect(parseDeployment(readFileSync(join(place, 'deployment.json'), 'utf8'))).toMatchObject({ ok: true })
    for (const { source = '', dest = '' } of JSON.parse(readFileSync(join(place, 'rules.json'), 'utf8')) as {
      source?: string
      dest?: string
    }[])
      expect(Math.max(source.length, dest.length)).toBeLessThanOrEqual(512)
  }
})

it("systemd and Compose read the same from the environment's file", () => {
  for (const { number } of rendered)
    expect(readFileSync(join(folder, 'sites', String(number), 'run/golden/compose.env'), 'utf8')).toMatch(/^([A-Z_]+="[^"\\$`\n]*"\n)+$/)
})

it('sshd takes each key, whatever stands behind it', () => {
  for (const { number } of rendered) {
    const file = join(folder, 'sites', String(number), 'run/golden/ssh/authorized_keys/projects')
    const lines = readFileSync(file, 'utf8').split('\n').length - 1
    if (lines > 0 && number % 8 === 0)
      expect(spawnSync('ssh-keygen', ['-l', '-f', file], { encoding: 'utf8' }).stdout.trim().split('\n')).toHaveLength(lines)
  }
})

describe.skipIf(noRoot)("in the lab's Debian root (needs root and that root in the cache)", () => {
  const inSites = async (script: string, binds: readonly Bind[] = []): Promise<string[]> => {
    const { stdout } = await inRoot(root, ['sh', '-c', script], {
      binds: [{ from: join(folder, 'sites'), to: '/sites' }, ...binds],
      enter: ['unshare', '--net', '--'],
    })
    return complaints(stdout)
  }
  /** A program for each site, whose folder is $place: as few processes as there can be. */
  const each = (command: string): string =>
    `for place in /sites/*; do ${command} > /tmp/said 2>&1 || echo "\${place##*/}: $(grep -v '^$' /tmp/said | tail -n 1)"; done`

  it('nginx, as its own user', async () => {
    const asNginx = `setpriv --reuid ${owner.nginx} --regid ${owner.nginx} --clear-groups --bounding-set=-all --no-new-privs`
    const start = `echo 80 > /proc/sys/net/ipv4/ip_unprivileged_port_start; install -d -o ${owner.nginx} /etc/golden; exec ${asNginx} sh -c "$1" sh`
    const script = each('ln -sfn "$place/run/golden/nginx" /etc/golden/nginx; nginx -t -e stderr -c /etc/golden/nginx/nginx.conf')
    const { stdout } = await inRoot(root, ['sh', '-c', start, 'sh', script], {
      binds: [{ from: join(folder, 'sites'), to: '/sites' }, keeperBind(join(folder, 'keeper'))],
      enter: ['unshare', '--net', '--'],
    })
    expectNone(complaints(stdout))
  }, 300_000)

  it('nft', async () => {
    expectNone(await inSites(each(`nft -c -f "$place/seed/golden/${seedFiles.firewall}"`)))
  }, 300_000)

  it('cloud-init', async () => {
    writeFileSync(
      join(folder, 'schema.py'),
      `
import os, yaml
from cloudinit.config.schema import SchemaType, get_schema, validate_cloudconfig_schema
data, network = get_schema(SchemaType.CLOUD_CONFIG), get_schema(SchemaType.NETWORK_CONFIG_V2)
# A tenth of a second each: what differs between sites are addresses and names alone.
for place in sorted(os.listdir('/sites'), key=int)[:60]:
    for name, schema, kind in (('user-data', data, SchemaType.CLOUD_CONFIG), ('network-config', network, SchemaType.NETWORK_CONFIG_V2)):
        try:
            validate_cloudconfig_schema(yaml.safe_load(open(f'/sites/{place}/seed/{name}')), schema=schema, schema_type=kind, strict=True, log_details=False)
        except Exception as error:
            print(f'{place}: {name}: {error}'.replace('\\n', ' '))
`,
    )
    expectNone(await inSites('python3 /schema.py 2>/dev/null', [{ from: join(folder, 'schema.py'), to: '/schema.py' }]))
  }, 300_000)

  it('Compose', async () => {
    const compose = join(import.meta.dirname, '../../images/rootfs/opt/golden/compose')
    // It takes the tenth of a second each, and what differs are numbers alone.
    const some = readdirSync(join(folder, 'sites'))
      .slice(0, 20)
      .map((number) => `/sites/${number}`)
      .join(' ')
    expectNone(
      await inSites(
        each(
          '/usr/libexec/docker/cli-plugins/docker-compose --env-file "$place/run/golden/compose.env" -f /compose/compose.yaml config --quiet',
        ).replace('/sites/*', some),
        [{ from: compose, to: '/compose' }],
      ),
    )
  }, 300_000)
})

it('Loki and the log agents', async () => {
  const { loki, otelcol, promtail } = await ensureTools(['loki', 'otelcol', 'promtail'])
  /** An agent's configuration, with the places where it lies here. */
  const local = (place: string, agent: string): string => {
    const own = join(place, agent, 'local.yaml')
    const content = readFileSync(join(place, agent, `${agent}.yaml`), 'utf8')
    writeFileSync(own, content.replaceAll(`/etc/golden/${agent}`, join(place, agent)).replaceAll(`/var/lib/golden/${agent}`, place))
    return own
  }
  const programs = {
    otelcol: (place: string) =>
      spawnSync(otelcol.path, ['validate', `--config=${local(place, 'otelcol')}`, ...otelcolArguments.slice(1)], { encoding: 'utf8' }),
    promtail: (place: string) =>
      spawnSync(promtail.path, [`-config.file=${local(place, 'promtail')}`, '-check-syntax'], { encoding: 'utf8' }),
    loki: (place: string) =>
      spawnSync(loki.path, [`-config.file=${join(place, 'loki/loki.yaml')}`, '-verify-config'], { encoding: 'utf8' }),
  }
  const said: string[] = []
  for (const [program, check] of Object.entries(programs)) {
    // Some seconds each. Which sites have which of them is a matter of chance, so that they are looked for.
    const sites = rendered
      .map(({ number }) => ({ number, place: join(folder, 'sites', String(number), 'run/golden') }))
      .filter(({ place }) => existsSync(join(place, program, `${program}.yaml`)))
      .slice(0, 4)
    expect(sites, program).toHaveLength(4)
    for (const { number, place } of sites) {
      const { status, stdout, stderr } = check(place)
      if (status !== 0 || (program === 'promtail' && !/Valid config file/i.test(stderr + stdout))) said.push(`${number}: ${stderr}`)
    }
  }
  expectNone(said)
})
