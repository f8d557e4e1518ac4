/** What the session keeper needs beside nginx.conf: itself, where the image has it, and its key, as a boot makes it. */
import { randomBytes } from 'node:crypto'
import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { owner, run, sessionKeyFile } from '../../images/guest/places.ts'
import { compile } from '../../images/stage.ts'
import type { Bind } from '../../lab/debian/root.ts'

/** @param folder gets keeper.js */
export function keeperBind(folder: string): Bind {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'keeper.js'), compile(readFileSync(join(import.meta.dirname, '../../images/nginx/keeper.ts'), 'utf8')))
  return { from: folder, to: '/opt/golden/nginx' }
}

/** @param golden a slot's `/run/golden`, with nginx's folder in it */
export function writeSessionKey(golden: string): void {
  const file = join(golden, relative(run, sessionKeyFile))
  writeFileSync(file, randomBytes(32).toString('base64url'), { mode: 0o400 })
  chownSync(file, owner.nginx, owner.nginx)
}
