import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Client } from 'ssh2'
import { readIso } from '../../lab/iso/read.ts'
import { renderTemplate } from '../../lab/compute/fake/commands/go-template.ts'
import { Firewall } from '../../lab/compute/fake/nftables.ts'
import { toVersion2 } from '../../lab/compute/fake/cloudinit.ts'
import { Rig } from './fake-rig.ts'

describe('the shell of a fake guest', () => {
  let rig: Rig
  let client: Client
  beforeAll(async () => {
    ;({ rig } = await Rig.withMachine(160, '10.77.0.60'))
    client = await rig.connect('10.77.0.60')
  })
  afterAll(() => rig.close())
  const root = (script: string) => rig.run(client, 'sudo -n bash -s', script)

  it.each([
    [
      'text tools read program files as they are',
      "printf '#!/bin/sh\\necho a\\n' > /tmp/p; chmod 755 /tmp/p; cat /tmp/p; head -1 /tmp/p; grep -c echo /tmp/p; sed -i s/a/b/ /tmp/p; . /tmp/p; /tmp/p; awk 'NR==2' /tmp/p",
      '#!/bin/sh\necho a\n#!/bin/sh\n1\nb\nb\necho b\n',
    ],
    [
      'a program is a process of its own',
      'printf \'#!/bin/sh -e\\nX=2; cd /; false; echo no\\n\' > /tmp/q; chmod 755 /tmp/q; X=1; cd /tmp; /tmp/q; echo "$? $X $PWD"',
      '1 1 /tmp\n',
    ],
    [
      'programs of /usr/sbin get all their words',
      'useradd --system --uid 777 --home-dir /srv/x --shell /bin/false --comment "a b" --no-create-home ten; id ten; getent passwd ten',
      'uid=777(ten) gid=777(ten) groups=777(ten)\nten:x:777:777::/srv/x:/bin/false\n',
    ],
    ['a program is found by its name more than once', 'nft list tables; nft list tables; f() { nft "$@"; }; f list tables; echo $?', '0\n'],
    ["functions and variables stay the shell's", 'f() { echo "$# ${11}"; }; f 1 2 3 4 5 6 7 8 9 10 "a b"; g=f; $g x', '11 a b\n1 \n'],
    [
      'installed programs are found at once',
      'command -v jq || echo none; apt-get -qq update; apt-get install -y jq > /dev/null; command -v jq; echo "{}" | jq -c .',
      'none\n/usr/bin/jq\n{}\n',
    ],
    [
      'a redirection that fails is one failed command',
      'set +e; echo a; echo x > /no/such/file; echo "$?"; for i in 1 2; do echo $i; done > /etc || echo folder; su nobody -s /bin/sh -c "set -e; echo b; echo y > /etc/shadow; echo no"; echo "$?"',
      'a\n1\nfolder\nb\n1\n',
    ],
    [
      'programs are found by their files',
      "command -v nft; command -v cd; f() { :; }; command -v f; command -v frob || echo none; printf '#!/bin/sh\\n' > /usr/local/bin/frob; chmod 755 /usr/local/bin/frob; command -v frob",
      '/usr/sbin/nft\ncd\nf\nnone\n/usr/local/bin/frob\n',
    ],
    [
      'an archive goes there and back',
      'mkdir -p /tmp/t/d; echo x > /tmp/t/d/f; chmod 750 /tmp/t/d; tar -czf /tmp/t.tgz -C /tmp/t d; rm -r /tmp/t; mkdir /tmp/t; tar -C /tmp/t -xpf /tmp/t.tgz; stat -c %a /tmp/t/d; cat /tmp/t/d/f; tar -tf /tmp/t.tgz',
      '750\nx\nd/\nd/f\n',
    ],
    [
      'checksums',
      'echo x > /tmp/c; cd /tmp; sha256sum c > sums; sha256sum -c sums; echo y > c; sha256sum -c sums 2>/dev/null; echo $?',
      'c: OK\nc: FAILED\n1\n',
    ],
    [
      'symbolic modes',
      'touch /tmp/m; chmod 600 /tmp/m; chmod u+x,go=r /tmp/m; stat -c %a /tmp/m; chmod -R a+rX /tmp/m; stat -c %A%a /tmp/m 2>/dev/null | tail -c 4',
      '744\n755\n',
    ],
    [
      'another user',
      'useradd -m -s /bin/sh joe; su - joe -c "id -un; pwd; echo x > /etc/x"; echo $?; runuser -u joe -- id -un',
      'joe\n/home/joe\n1\njoe\n',
    ],
    [
      'a bind mount shows the same files',
      'mkdir -p /tmp/from /tmp/to; mount --bind /tmp/from /tmp/to; echo z > /tmp/to/f; cat /tmp/from/f; umount /tmp/to; ls /tmp/to',
      'z\n',
    ],
    [
      'syntax is checked without running',
      "printf 'echo hi; if\\n' > /tmp/bad; bash -n /tmp/bad 2>/dev/null; echo $?; printf 'rm /tmp/bad\\n' > /tmp/good; sh -n /tmp/good; echo $?; ls /tmp/bad",
      '2\n0\n/tmp/bad\n',
    ],
  ])('%s', async (_name, script, stdout) => {
    const ran = await root(script)
    expect({ stdout: ran.stdout, stderr: ran.stderr }).toMatchObject({ stdout })
  })
})

describe("docker's --format", () => {
  const dot = { Name: 'x', Tags: ['a', 'b'], State: { Health: { Status: 'healthy' } }, None: [] }
  it.each([
    ['{{.Name}} {{.State.Health.Status}}', 'x healthy'],
    ['{{json .Tags}}', '["a","b"]'],
    ['{{range .Tags}}{{println .}}{{end}}', 'a\nb\n'],
    ['{{index .Tags 1}} {{len .Tags}}', 'b 2'],
    ['{{if .None}}some{{else}}none{{end}}', 'none'],
    ['{{with .State}}{{.Health.Status}}{{end}}', 'healthy'],
    ['{{.Absent}}', '<no value>'],
  ])('%s', (template, text) => expect(renderTemplate(template, dot)).toBe(text))
})

describe('nft rulesets', () => {
  it('are taken whole or not at all', () => {
    const firewall = new Firewall()
    expect(firewall.load('table ip nat { chain a { } }')).toBeUndefined()
    expect(firewall.load('table inet golden\ndelete table inet golden\ntable inet golden { chain input { } } # ours')).toBeUndefined()
    expect([...firewall.tables.keys()]).toEqual(['ip nat', 'inet golden'])
    expect(firewall.load('flush ruleset\ntable inet x {')).toMatch(/syntax error/)
    expect(firewall.load('delete table inet absent')).toMatch(/No such file/)
    expect([...firewall.tables.keys()]).toEqual(['ip nat', 'inet golden'])
    expect(firewall.load('flush ruleset')).toBeUndefined()
    expect(firewall.list()).toBe('')
  })
})

describe("PVE's network configuration, version 1", () => {
  it('becomes version 2', () => {
    expect(
      toVersion2({
        version: 1,
        config: [
          {
            type: 'physical',
            name: 'eth0',
            mac_address: 'bc:24:11:00:00:01',
            subnets: [{ type: 'static', address: '10.77.0.5', netmask: '255.255.255.0', gateway: '10.77.0.1' }],
          },
          { type: 'nameserver', address: ['10.77.0.1'] },
        ],
      }),
    ).toEqual({
      version: 2,
      ethernets: {
        eth0: {
          match: { macaddress: 'bc:24:11:00:00:01' },
          'set-name': 'eth0',
          addresses: ['10.77.0.5/24'],
          gateway4: '10.77.0.1',
          nameservers: { addresses: ['10.77.0.1'] },
        },
      },
    })
  })
})

describe('reading ISO images', () => {
  /** The smallest image with one file, its name in Joliet too. */
  function image(joliet: boolean): Buffer {
    const sectors = Buffer.alloc(24 * 2048)
    const record = (extent: number, bytes: number, flags: number, name: Buffer): Buffer => {
      const length = 33 + name.length + (name.length % 2 === 0 ? 1 : 0)
      const out = Buffer.alloc(length)
      out[0] = length
      out.writeUInt32LE(extent, 2)
      out.writeUInt32LE(bytes, 10)
      out[25] = flags
      out[32] = name.length
      name.copy(out, 33)
      return out
    }
    const wide = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16()
    const descriptor = (sector: number, type: number, label: Buffer, root: number): void => {
      const at = sector * 2048
      sectors[at] = type
      sectors.write('CD001', at + 1)
      label.copy(sectors, at + 40)
      if (type === 2) sectors.write('%/E', at + 88)
      record(root, 2048, 2, Buffer.from([0])).copy(sectors, at + 156)
    }
    descriptor(16, 1, Buffer.from('CIDATA'.padEnd(32)), 20)
    descriptor(17, joliet ? 2 : 255, wide('cidata'.padEnd(16)), 21)
    sectors[18 * 2048] = 255
    sectors.write('CD001', 18 * 2048 + 1)
    const self = [record(20, 2048, 2, Buffer.from([0])), record(20, 2048, 2, Buffer.from([1]))]
    Buffer.concat([...self, record(22, 3, 0, Buffer.from('META_DAT.;1'))]).copy(sectors, 20 * 2048)
    Buffer.concat([...self, record(22, 3, 0, wide('meta-data'))]).copy(sectors, 21 * 2048)
    sectors.write('abc', 22 * 2048)
    return sectors
  }

  it('takes Joliet names where there are no Rock Ridge ones, and else the plain ones', () => {
    expect(readIso(image(true))).toMatchObject({ label: 'CIDATA', names: 'joliet', files: new Map([['meta-data', Buffer.from('abc')]]) })
    expect(readIso(image(false))).toMatchObject({ names: 'plain', files: new Map([['meta_dat', Buffer.from('abc')]]) })
  })

  it('refuses what is no image, and half an image', () => {
    expect(() => readIso(Buffer.alloc(100))).toThrow(/not a whole ISO 9660 image/)
    expect(() => readIso(Buffer.alloc(100_000))).toThrow(/not an ISO 9660 image/)
    expect(() => readIso(image(true).subarray(0, 22 * 2048))).toThrow(/not a whole/)
  })
})
