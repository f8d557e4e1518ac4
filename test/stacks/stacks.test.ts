import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Testing } from 'cdktn'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newRelease, noDeployment, parseDeployment, pinnedSlots, renderDeployment, type Deployment } from '../../releases/deployment.ts'
import { releaseDigest } from '../../releases/digest.ts'
import { stackInputVariable, type StackInput } from '../../releases/stack-input.ts'
import { ensureBindings, filterSchema, readFilteredSchema } from '../../stacks/generate.ts'
import { macOf, type Site } from '../../settings/site.ts'
import { toolEnvironment } from '../../tools/index.ts'
import { exampleSite } from '../images/example.ts'

const site = exampleSite((input) => {
  input.groups.logging = {
    roles: ['logging'],
    service: '192.168.1.60',
    depot: 9300,
    slots: { blue: { vmid: 9301, address: '192.168.1.61' }, green: { vmid: 9302, address: '192.168.1.62' } },
  }
})
const image = { vmid: 9001, name: 'golden-home-0123456789ab', fingerprint: 'c'.repeat(64) }
const pin = (of: Site, group: string) => ({
  dataDisk: 'made' as const,
  active: 'blue' as const,
  slots: { blue: newRelease(of, group, 'blue', { id: '0123456789ab', created: new Date('2026-11-23T12:00:00Z'), image }) },
})
const deployment: Deployment = { schema: 1, groups: { serena: pin(site, 'serena'), logging: pin(site, 'logging') } }

describe('the stacks', () => {
  const outdir = mkdtempSync(join(tmpdir(), 'stacks-'))
  afterAll(() => rmSync(outdir, { recursive: true, force: true }))
  let addStacks: typeof import('../../stacks/app.ts').addStacks
  beforeAll(async () => {
    await ensureBindings()
    ;({ addStacks } = await import('../../stacks/app.ts'))
  })
  const synth = (
    of: Site,
    pins: Deployment = noDeployment,
  ): { order: string[]; dependencies: Record<string, string[]>; stacks: Record<string, any> } => {
    const app = Testing.app({ outdir })
    const stacks = addStacks(app, { site: of, folder: '/home/me/site', project: '/opt/golden', node: "/opt/it's/node", deployment: pins })
    return {
      order: stacks.map((stack) => stack.node.id),
      dependencies: Object.fromEntries(stacks.map((stack) => [stack.node.id, stack.dependencies.map((other) => other.node.id)])),
      stacks: Object.fromEntries(stacks.map((stack) => [stack.node.id, JSON.parse(Testing.synth(stack))])),
    }
  }

  it('one a group, logging before Serena', () => {
    expect(synth(site, deployment)).toMatchObject({
      order: ['home-logging', 'home-serena'],
      dependencies: { 'home-logging': [], 'home-serena': ['home-logging'] },
    })
  })

  it('a slot is a linked clone without disk blocks, initialization or a token, with its seed by name', () => {
    const stack = synth(site, deployment).stacks['home-serena']
    const vm = stack.resource.proxmox_virtual_environment_vm.blue
    expect(vm).toMatchObject({
      vm_id: 9201,
      name: 'home-serena-blue',
      node_name: 'pve',
      pool_id: 'golden',
      clone: { vm_id: 9001, full: false },
      cdrom: { file_id: 'golden-iso:iso/seed-9201-0123456789ab.iso' },
      stop_on_destroy: true,
      on_boot: true,
      delete_unreferenced_disks_on_destroy: false,
      lifecycle: { ignore_changes: ['disk', 'protection', 'started', 'on_boot', 'clone', 'agent[0].timeout', 'operating_system'] },
    })
    expect(vm.network_device).toMatchObject([{ mac_address: macOf(9201, '192.168.1.51'), firewall: true, bridge: 'vmbr0' }])
    expect(vm).not.toHaveProperty('disk')
    expect(vm).not.toHaveProperty('initialization')
    expect(vm).not.toHaveProperty('started', false)
    expect(stack.provider.proxmox).toEqual([{ endpoint: 'https://192.168.1.5:8006/', insecure: false }])
    expect(stack.terraform.backend).toEqual({ local: { path: '/home/me/site/state/home-serena.tfstate' } })
  })

  it('where the storage makes no linked clones, the pinned slot is a full one', () => {
    const full: Deployment = {
      schema: 1,
      groups: {
        serena: {
          active: 'blue',
          slots: {
            blue: newRelease(site, 'serena', 'blue', {
              id: '0123456789ab',
              created: new Date('2026-11-23T12:00:00Z'),
              image,
              fullClone: true,
            }),
          },
        },
      },
    }
    expect(parseDeployment(renderDeployment(full))).toEqual({ ok: true, deployment: full })
    expect(synth(site, full).stacks['home-serena'].resource.proxmox_virtual_environment_vm.blue.clone).toMatchObject({
      vm_id: 9001,
      full: true,
    })
  })

  it('activation comes after all else, and its end before all else', () => {
    const { blue_activation: activation, blue_owner: owner } = synth(site, deployment).stacks['home-serena'].resource.terraform_data
    const hooks = (resource: any): string[][] => resource.provisioner.map((one: any) => [one['local-exec'].when, one['local-exec'].command])
    expect(owner.depends_on).toEqual([
      'terraform_data.blue_release',
      'proxmox_virtual_environment_vm.blue',
      'proxmox_virtual_environment_firewall_options.blue_firewall',
      'proxmox_virtual_environment_firewall_rules.blue_rules',
    ])
    expect(hooks(owner)).toEqual([['destroy', `exec '/opt/it'\\''s/node' golden.ts hook release serena blue 0123456789ab`]])
    expect(activation.depends_on).toEqual(['terraform_data.blue_owner'])
    expect(hooks(activation)).toEqual([['create', `exec '/opt/it'\\''s/node' golden.ts hook activate serena blue 0123456789ab`]])
  })

  it('an edit of the site changes no stack of a pinned slot', () => {
    const edited = structuredClone(site)
    edited.groups.serena!.memoryMiB *= 2
    edited.groups.serena!.cores += 1
    edited.network.admin = ['10.0.0.0/8']
    edited.network.outgoing = [{ to: '140.82.112.0/20', port: 443, protocol: 'tcp' }]
    edited.serena.transports = ['sse']
    expect(synth(edited, deployment).stacks).toEqual(synth(site, deployment).stacks)
  })

  it('without pins it synthesises, with a plan that says what to do', () => {
    const { needs_pin: guard } = synth(site).stacks['home-serena'].resource.terraform_data
    expect(guard.lifecycle.precondition[0]).toMatchObject({
      condition: '${local.pinned}',
      error_message: expect.stringContaining('golden deploy'),
    })
  })

  it.each([
    [
      { type: 'http' as const, config: { address: 'https://state.example.org/golden/', lock_address: 'https://state.example.org/golden' } },
      { http: { address: 'https://state.example.org/golden/home-serena', lock_address: 'https://state.example.org/golden/home-serena' } },
    ],
    [{ type: 's3' as const, config: { bucket: 'states', key: 'golden' } }, { s3: { bucket: 'states', key: 'golden/home-serena.tfstate' } }],
    [{ type: 'pg' as const, config: {} }, { pg: { schema_name: 'golden_home_serena' } }],
  ])('a state of its own in backend %j', (backend, expected) => {
    expect(synth({ ...site, backend }, deployment).stacks['home-serena'].terraform.backend).toEqual(expected)
  })
})

describe('with the real provider', () => {
  const folder = mkdtempSync(join(tmpdir(), 'stack-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const tofu = (env: Record<string, string>, cwd: string, ...args: string[]): string =>
    execFileSync('tofu', args, { cwd, env: { ...process.env, ...env }, encoding: 'utf8' })
  const stackOf = (env: Record<string, string>): string => {
    execFileSync(process.execPath, [join(import.meta.dirname, '../../main.ts')], {
      env: { ...process.env, ...env, GOLDEN_SITE: folder, CDKTF_OUTDIR: join(folder, 'out') },
    })
    return join(folder, 'out/stacks/home-serena')
  }

  it("the committed schema is the provider's, and the stacks are valid to it; without pins the plan names golden deploy", async () => {
    const env = await toolEnvironment()
    writeFileSync(join(folder, 'site.ts'), `export default ${JSON.stringify(site)}\n`)
    const unpinned = stackOf(env)
    tofu(env, unpinned, 'init', '-input=false')
    expect(() =>
      execFileSync('tofu', ['plan', '-input=false', '-no-color'], {
        cwd: unpinned,
        env: { ...process.env, ...env, PROXMOX_VE_API_TOKEN: 'a@pve!b=c' },
        encoding: 'utf8',
        stdio: 'pipe',
      }),
    ).toThrow(/golden deploy/)
    writeFileSync(join(folder, 'deployment.json'), renderDeployment(deployment))
    const stack = stackOf(env)
    tofu(env, stack, 'init', '-input=false')
    expect(tofu(env, stack, 'validate', '-json')).toContain('"valid": true')
    expect(filterSchema(JSON.parse(tofu(env, stack, 'providers', 'schema', '-json')))).toEqual(readFilteredSchema().schema)
  })
})

const project = join(import.meta.dirname, '../..')
it.skipIf(existsSync(join(project, 'site/site.ts')))('without a site folder the example synthesises (needs a clone without site/)', () => {
  const outdir = mkdtempSync(join(tmpdir(), 'example-'))
  const { GOLDEN_SITE: _own, ...env } = process.env
  execFileSync(process.execPath, ['main.ts'], { cwd: project, env: { ...env, CDKTF_OUTDIR: outdir } })
  expect(Object.keys(JSON.parse(readFileSync(join(outdir, 'manifest.json'), 'utf8')).stacks).sort()).toEqual([
    'home-logging',
    'home-serena',
  ])
  rmSync(outdir, { recursive: true, force: true })
})

it('are the same from what a verb hands in as from the site folder, which is not read then', () => {
  const folder = mkdtempSync(join(tmpdir(), 'handed-'))
  const written = (outdir: string, env: Record<string, string>): Record<string, string> => {
    const out = join(folder, outdir)
    const { GOLDEN_SITE: _own, ...outer } = process.env
    execFileSync(process.execPath, ['main.ts'], { cwd: project, env: { ...outer, ...env, CDKTF_OUTDIR: out } })
    return Object.fromEntries(
      ['manifest.json', 'stacks/home-serena/cdk.tf.json', 'stacks/home-logging/cdk.tf.json'].map((name) => [
        name,
        readFileSync(join(out, name), 'utf8').replaceAll(out, ''),
      ]),
    )
  }
  writeFileSync(join(folder, 'site.ts'), `export default ${JSON.stringify(site)}\n`)
  writeFileSync(join(folder, 'deployment.json'), renderDeployment(deployment))
  const read = written('read', { GOLDEN_SITE: folder })
  const input = join(folder, 'input.json')
  writeFileSync(input, JSON.stringify({ site, deployment, folder } satisfies StackInput))
  writeFileSync(join(folder, 'site.ts'), 'not a site\n')
  expect(written('handed-in', { [stackInputVariable]: input })).toEqual(read)
  rmSync(folder, { recursive: true, force: true })
})

describe('deployment.json', () => {
  it('is read back as it was written', () => {
    expect(parseDeployment(renderDeployment(deployment))).toEqual({ ok: true, deployment })
    expect(pinnedSlots(deployment).map(({ group, slot }) => `${group} ${slot}`)).toEqual(['serena blue', 'logging blue'])
  })

  it.each<[string, (data: any) => void, RegExp]>([
    [
      'an active slot without release',
      (data) => {
        data.groups.serena.active = 'green'
      },
      /slot green has no release/,
    ],
    [
      'releases without an active slot',
      (data) => {
        delete data.groups.serena.active
      },
      /must name the slot/,
    ],
    [
      'a seed of another release',
      (data) => {
        data.groups.serena.slots.blue.seed.release = 'ffffffffffff'
      },
      /another release/,
    ],
    [
      'an unknown word',
      (data) => {
        data.groups.serena.slots.blue.password = 'x'
      },
      /groups\.serena\.slots\.blue/,
    ],
    [
      'a rule that would break out of its comment',
      (data) => {
        data.groups.serena.slots.blue.flows.flows[0].purpose = '" accept'
      },
      /purpose/,
    ],
  ])('with %s it is refused', (_what, break_, message) => {
    const data = JSON.parse(renderDeployment(deployment))
    break_(data)
    const parsed = parseDeployment(JSON.stringify(data))
    expect(parsed.ok ? '' : parsed.problems.map(({ path, message }) => `${path}: ${message}`).join('\n')).toMatch(message)
  })

  it("a release's digest changes with anything in it", () => {
    const { blue } = deployment.groups.serena!.slots
    expect(releaseDigest({ ...blue!, vm: { ...blue!.vm, cores: 9 } })).not.toBe(releaseDigest(blue!))
    expect(releaseDigest(JSON.parse(JSON.stringify(blue)))).toBe(releaseDigest(blue!))
  })
})
