/** What runs before a role's containers: the folders on the data disk and the projects of the seed. */
import { fail, ok, type Program } from '../shell.ts'
import { ROOT } from '../vfs.ts'
import { DATA_FOLDER, readSlot } from './slot.ts'

export const prepare: Program = ([role], run) => {
  const { vfs } = run.guest
  const folder = (path: string, owner: number, mode = 0o755): void => {
    vfs.mkdir(path, ROOT, { parents: true })
    vfs.chown(path, owner, owner)
    vfs.chmod(path, mode)
  }
  vfs.chmod(DATA_FOLDER, 0o755)
  if (role === 'logging') {
    folder(`${DATA_FOLDER}/loki`, 10_001, 0o700)
    folder(`${DATA_FOLDER}/grafana`, 472, 0o700)
    return ok()
  }
  const settings = readSlot(run.guest)?.seed.serena
  if (role !== 'serena' || !settings) return fail('usage: prepare.js serena|logging')
  folder(`${DATA_FOLDER}/projects`, 1000)
  folder(`${DATA_FOLDER}/serena`, 9903, 0o700)
  for (const { name } of settings.projects)
    if (!vfs.exists(`${DATA_FOLDER}/projects/${name}`)) {
      folder(`${DATA_FOLDER}/projects/${name}`, 1000)
      folder(`${DATA_FOLDER}/projects/${name}/.git`, 1000)
    }
  return ok()
}
