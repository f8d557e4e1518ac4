/** What the session keeper needs beside nginx.conf: itself, where the image has it, and its key, as a boot makes it. */
import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { sessionKey } from '../../images/guest/boot.ts'
import { owner, run, sessionKeyFile } from '../../images/guest/places.ts'
import { compile, nginxScripts } from '../../images/stage.ts'
import type { Bind } from '../../lab/debian/root.ts'

/** @param folder gets what nginx runs */
export function keeperBind(folder: string): Bind {
  mkdirSync(folder, { recursive: true })
  for (const name of nginxScripts)
    writeFileSync(join(folder, `${name}.js`), compile(readFileSync(join(import.meta.dirname, `../../images/nginx/${name}.ts`), 'utf8')))
  return { from: folder, to: '/opt/golden/nginx' }
}

/** @param golden a slot's `/run/golden`, with nginx's folder in it */
export function writeSessionKey(golden: string, peerKey?: string): void {
  const file = join(golden, relative(run, sessionKeyFile))
  writeFileSync(file, sessionKey(peerKey), { mode: 0o400 })
  chownSync(file, owner.nginx, owner.nginx)
}
