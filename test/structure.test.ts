/** The arrows of the design: which folder may import which. */
import { readFileSync, globSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '..')
const allowed: Readonly<Record<string, readonly string[]>> = {
  core: [],
  proxmox: ['core'],
  images: ['core', 'proxmox', 'stacks/site'],
  packer: ['core', 'proxmox', 'images', 'stacks'],
  stacks: ['core', 'proxmox', 'images'],
  rollout: ['core', 'proxmox', 'images', 'stacks'],
  tools: ['core'],
  lab: [],
  scripts: ['core', 'proxmox', 'packer', 'images', 'stacks', 'rollout', 'tools', 'site.example.ts']
}
/** The only files of the product that may know the lab. */
const mayUseLab = /^scripts\/(demo|lab)[^/]*\.ts$|^scripts\/demo\//

const files = globSync('{core,proxmox,images,packer,stacks,rollout,tools,lab,scripts}/**/*.ts', { cwd: root, exclude: ['stacks/bindings/**', '**/node_modules/**'] })

test.each(files)('%s imports only what its folder may', (file) => {
  const [folder = ''] = file.split('/')
  const source = readFileSync(join(root, file), 'utf8')
  for (const [, specifier = ''] of source.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)) {
    const target = relative(root, resolve(root, dirname(file), specifier))
    const [other = ''] = target.split('/')
    if (other === folder) continue
    const ok = (allowed[folder] ?? []).some((prefix) => target === prefix || target.startsWith(`${prefix}/`) || target.startsWith(`${prefix}.`)) || (other === 'lab' && mayUseLab.test(file))
    expect(ok, `${file} imports ${target}`).toBe(true)
  }
})
