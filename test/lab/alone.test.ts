/** The lab is a package of its own: it works where nothing else of this repository is, and knows nothing of it. */
import { execFile, execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, it, onTestFinished } from 'vitest'
import { emptyBase } from '../../demo/lab-site.ts'

const project = resolve(import.meta.dirname, '../..')
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', 'lab'], { cwd: project, encoding: 'utf8' })
  .trim()
  .split('\n')
  .filter((file) => existsSync(join(project, file)))

/** Makes a VM of an imported disk, brings a file into it, and runs it: what is in the file, whoever starts the lab says. */
const script = `
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { startLab } from './lab/index.ts'

const greet = async ([whom], system) => {
  const { stdout } = await system.run('hostname', [])
  system.say('hello ' + whom + ', from ' + stdout.trim() + ' (' + system.name + ')')
  return 3
}
const lab = await startLab({ stateDir: 'state', driver: 'fake', contents: { programs: { '/usr/local/bin/greet': greet } } })
const { apiUrl, caFile, rootToken } = lab.connection
const ask = (method, path, body) => new Promise((resolve, reject) => {
  const headers = { authorization: 'PVEAPIToken=' + rootToken, 'content-type': 'application/json' }
  const sent = request(apiUrl + '/api2/json' + path, { method, headers, ca: readFileSync(caFile) }, (answer) => {
    let text = ''
    answer.on('data', (part) => (text += part))
    answer.on('end', () => (answer.statusCode === 200 ? resolve(JSON.parse(text).data) : reject(new Error(path + ': ' + answer.statusCode + ' ' + answer.statusMessage))))
  })
  sent.on('error', reject)
  sent.end(body === undefined ? undefined : JSON.stringify(body))
})
const done = async (task) => {
  for (;;) {
    const { status, exitstatus } = await ask('GET', '/nodes/pve/tasks/' + encodeURIComponent(task) + '/status')
    if (status === 'stopped' && exitstatus === 'OK') return
    if (status === 'stopped') throw new Error(exitstatus)
    await new Promise((next) => setTimeout(next, 20))
  }
}
const vm = '/nodes/pve/qemu/100'
await done(await ask('POST', '/nodes/pve/qemu', { vmid: 100, name: 'guest', memory: 64, agent: '1', scsi0: 'local-lvm:0,import-from=local:import/base.qcow2' }))
await done(await ask('POST', vm + '/status/start', {}))
const until = async (work) => {
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!/not running/.test(error.message)) throw error
      await new Promise((next) => setTimeout(next, 20))
    }
  }
}
await until(() => ask('POST', vm + '/agent/ping', {}))
const exec = async (...command) => {
  const { pid } = await ask('POST', vm + '/agent/exec', { command })
  for (;;) {
    const status = await ask('GET', vm + '/agent/exec-status?pid=' + pid)
    if (status.exited) return { exitcode: status.exitcode, said: status['out-data'] }
  }
}
await exec('/bin/sh', '-c', 'echo > /usr/local/bin/greet; chmod 755 /usr/local/bin/greet')
console.log(JSON.stringify({ version: await ask('GET', '/version'), greeted: await exec('/usr/local/bin/greet', 'you') }))
await lab.close()
`

it('starts, answers, and runs in a guest what it is given, where nothing else of this repository is', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lab-alone-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  for (const file of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    cpSync(join(project, file), join(folder, file))
  }
  const { dependencies } = JSON.parse(readFileSync(join(project, 'lab/package.json'), 'utf8')) as { dependencies: Record<string, string> }
  for (const name of Object.keys(dependencies)) {
    const link = join(folder, 'lab/node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(project, 'node_modules', name), link)
  }
  mkdirSync(join(folder, 'state/storage/local/import'), { recursive: true })
  await emptyBase(join(folder, 'state/storage/local/import/base.qcow2'))
  writeFileSync(join(folder, 'start.mjs'), script)
  const { stdout } = await promisify(execFile)(process.execPath, ['start.mjs'], { cwd: folder })
  expect(JSON.parse(stdout)).toMatchObject({
    version: { release: '9.1' },
    greeted: { exitcode: 3, said: 'hello you, from localhost (guest)\n' },
  })
})

it('names nothing of what is tested with it', () => {
  const naming = files.filter(
    (file) =>
      /^lab\/(api|compute|entrance|iso|network|state)\//.test(file) &&
      /golden|slotctl|serena/i.test(readFileSync(join(project, file), 'utf8')),
  )
  // The name by which one lab keeps another from its folder.
  expect(naming).toEqual(['lab/state/claim.ts'])
})
