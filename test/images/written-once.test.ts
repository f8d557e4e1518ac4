/** Numbers and addresses that files of the image repeat because they can't import them: each is in one list. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { owner, projectsOnDisk } from '../../images/guest/places.ts'
import { networkVariables } from '../../images/guest/render.ts'
import { containerNetworks } from '../../settings/containers.ts'

const rootfs = join(import.meta.dirname, '../../images/rootfs')
const read = (path: string): string => readFileSync(join(rootfs, path), 'utf8')
const compose = read('opt/golden/compose/compose.yaml')

it("the containers' addresses are those of settings/containers.ts", () => {
  const defaults = Object.fromEntries(
    [...compose.matchAll(/\$\{(\w+_(?:NETWORK|ADDRESS)):-([^}]*)\}/g)].map(([, name, value]) => [name, value]),
  )
  expect(defaults).toEqual(networkVariables(undefined))
  const pools = (JSON.parse(read('etc/docker/daemon.json')) as { 'default-address-pools': unknown })['default-address-pools']
  expect(pools).toEqual([{ base: containerNetworks().spare, size: 28 }])
  // Nor are they anywhere else.
  const others = globSync('**/*', { cwd: rootfs, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !file.endsWith('compose.yaml') && !file.endsWith('daemon.json') && readFileSync(file, 'utf8').includes('172.30.'))
  expect(others).toEqual([])
})

it("users' numbers are those of images/guest/places.ts", () => {
  const users = Object.fromEntries(
    [...read('usr/lib/sysusers.d/golden.conf').matchAll(/^u (\S+) (\d+) /gm)].map(([, name, uid]) => [name, Number(uid)]),
  )
  expect(users).toEqual({
    projects: owner.projects,
    admin: owner.admin,
    serena: owner.serena,
    'golden-nginx': owner.nginx,
    'golden-acme': owner.acme,
  })
  expect(read('opt/golden/jail/etc/passwd')).toContain(`\nprojects:x:${owner.projects}:${owner.projects}:`)
  expect(read('opt/golden/jail/etc/group')).toContain(`\nprojects:x:${owner.projects}:\n`)
  const mountOf = (unit: string): string => /^Options=(.*)$/m.exec(read(`usr/lib/systemd/system/${unit}.mount`))?.[1] ?? ''
  expect(mountOf('opt-golden-jail-srv-golden-projects')).toContain(`X-mount.idmap=${projectsOnDisk}:${owner.projects}:1`)
  expect(mountOf('run-golden-workspaces')).toContain(`X-mount.idmap=${projectsOnDisk}:${owner.serena}:1`)
  expect(mountOf('srv-golden')).toContain(`resuid=${owner.loki}`)
})

it('containers run as the owners of what they are given', () => {
  const { services } = parse(compose, { merge: true }) as { services: Record<string, { user: string }> }
  const pair = (uid: number): string => `${uid}:${uid}`
  expect(Object.fromEntries(Object.entries(services).map(([name, { user }]) => [name, user]))).toEqual({
    nginx_proxy: pair(owner.nginx),
    otelcol: pair(owner.root),
    promtail: pair(owner.root),
    acme: pair(owner.acme),
    serena_mcp: pair(owner.serena),
    serena_mcp_sse: pair(owner.serena),
    loki: pair(owner.loki),
    grafana: pair(owner.grafana),
  })
})
