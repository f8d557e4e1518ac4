import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import ssh2, { type Client, type SFTPWrapper } from 'ssh2'
import { key, Rig } from './fake-rig.ts'

describe('SSH into a fake guest, as Packer does it', () => {
  let rig: Rig
  let client: Client

  beforeAll(async () => {
    ;({ rig } = await Rig.withMachine(101, '10.77.0.11'))
    client = await rig.connect('10.77.0.11')
  })
  afterAll(() => rig.close())

  const run = (command: string, input?: string) => rig.run(client, command, input)

  it('runs commands with output, error output and exit code', async () => {
    expect(await run('echo out; echo err >&2; exit 3')).toEqual({ stdout: 'out\n', stderr: 'err\n', exitCode: 3 })
    expect(await run('id -un; hostname; pwd')).toMatchObject({ stdout: 'packer\nvm101\n/home/packer\n' })
  })

  it('exits 127 for commands that are not modelled', async () => {
    expect(await run('frobnicate --now')).toMatchObject({ exitCode: 127, stderr: expect.stringContaining('frobnicate: command not found') })
  })

  it('passes input on', async () => {
    expect(await run('cat', 'hello\n')).toMatchObject({ stdout: 'hello\n' })
    expect(await run('sh -s -- a', 'echo "got $1"\n')).toMatchObject({ stdout: 'got a\n' })
  })

  async function sftp(): Promise<SFTPWrapper> {
    return new Promise((resolve, reject) => client.sftp((error, session) => (error ? reject(error) : resolve(session))))
  }

  it('takes files by SFTP and runs them with a variable, as the shell provisioner does', async () => {
    const session = await sftp()
    const script = '#!/bin/sh -eux\necho "FOO is $FOO"\nfalse\necho not reached\n'
    await new Promise<void>((resolve, reject) =>
      session.writeFile('/tmp/script.sh', script, (error) => (error ? reject(error) : resolve())),
    )
    expect(await run('/tmp/script.sh')).toMatchObject({ exitCode: 126 })
    const result = await run("chmod +x /tmp/script.sh; FOO='b a r' /tmp/script.sh")
    expect(result).toMatchObject({ stdout: 'FOO is b a r\n', exitCode: 1 })
    expect(result.stderr).toContain("+ echo 'FOO is b a r'")
    const back = await new Promise<Buffer>((resolve, reject) =>
      session.readFile('/tmp/script.sh', (error, data) => (error ? reject(error) : resolve(data))),
    )
    expect(back.toString()).toBe(script)
    const names = await new Promise<string[]>((resolve, reject) =>
      session.readdir('/tmp', (error, list) => (error ? reject(error) : resolve(list.map((each) => each.filename)))),
    )
    expect(names).toContain('script.sh')
    session.end()
  })

  it('keeps the variables of sudo -E and drops them without', async () => {
    await run('printf \'#!/bin/bash\\necho "$(id -un):$FOO:$HOME"\\n\' > /tmp/who.sh; chmod +x /tmp/who.sh')
    expect(await run('FOO=bar sudo -E sh -c /tmp/who.sh')).toMatchObject({ stdout: 'root:bar:/root\n' })
    expect(await run('FOO=bar sudo /tmp/who.sh')).toMatchObject({ stdout: 'root::/root\n' })
    expect(await run('FOO=bar /tmp/who.sh')).toMatchObject({ stdout: 'packer:bar:/home/packer\n' })
    expect(await run("sudo env FOO=x FILES='a b' bash -eux '/tmp/who.sh'")).toMatchObject({ stdout: 'root:x:/root\n', exitCode: 0 })
  })

  it('refuses an unprivileged user what only root may do', async () => {
    expect(await run('echo x > /etc/secret')).toMatchObject({ exitCode: 1 })
    expect(await run('cat /etc/shadow')).toMatchObject({ exitCode: 1 })
    expect(await run("sudo sh -c 'echo x > /etc/secret'; cat /etc/secret")).toMatchObject({ stdout: 'x\n' })
  })

  it('takes files and folders by scp', async () => {
    const send = (command: string, parts: (string | Buffer)[]): Promise<{ replies: Buffer; exitCode: number }> =>
      new Promise((resolve, reject) => {
        client.exec(command, (error, channel) => {
          if (error) return reject(error)
          const replies: Buffer[] = []
          let exitCode = -1
          const queue = [...parts]
          channel.on('data', (chunk: Buffer) => {
            replies.push(chunk)
            for (let index = 0; index < chunk.length; index++) {
              const next = queue.shift()
              if (next === undefined) channel.end()
              else channel.write(next)
            }
          })
          channel.on('exit', (code: number) => {
            exitCode = code
          })
          channel.on('close', () => resolve({ replies: Buffer.concat(replies), exitCode }))
        })
      })
    const big = Buffer.alloc(200_000, 'x')
    const result = await send('scp -rvt /tmp', [
      'D0755 0 tree\n',
      'C0644 6 a.txt\n',
      Buffer.from('hello\n\0'),
      `C0755 ${big.length} b.bin\n`,
      Buffer.concat([big, Buffer.from([0])]),
      'E\n',
    ])
    expect(result).toEqual({ replies: Buffer.alloc(7), exitCode: 0 })
    expect(await run('cat /tmp/tree/a.txt; stat -c "%a %s" /tmp/tree/b.bin')).toMatchObject({ stdout: 'hello\n755 200000\n' })
  })

  it('refuses wrong keys and unknown users', async () => {
    const other = ssh2.utils.generateKeyPairSync('ed25519')
    await expect(rig.connect('10.77.0.11', { privateKey: other.private })).rejects.toThrow(/authentication/i)
    await expect(rig.connect('10.77.0.11', { username: 'nobody' })).rejects.toThrow(/authentication/i)
    await expect(rig.connect('10.77.0.11', { username: 'packer', privateKey: key.private })).resolves.toBeDefined()
  })

  it('lets RSA keys in, with the command that their line forces', async () => {
    const rsa = ssh2.utils.generateKeyPairSync('rsa', { bits: 2048 })
    await expect(rig.connect('10.77.0.11', { privateKey: rsa.private })).rejects.toThrow(/authentication/i)
    await run('cat >> .ssh/authorized_keys', `restrict,command="echo only this: $SSH_ORIGINAL_COMMAND" ${rsa.public.trim()}\n`)
    const other = await rig.connect('10.77.0.11', { privateKey: rsa.private })
    expect(await rig.run(other, 'id')).toMatchObject({ stdout: 'only this: id\n' })
  })

  it('refuses ports without a listener and addresses without a guest', async () => {
    await expect(rig.driver.network.dial('10.77.0.11', 443)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await expect(rig.driver.network.dial('10.77.0.99', 22)).rejects.toMatchObject({ code: 'EHOSTUNREACH' })
  })
})
