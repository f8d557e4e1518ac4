/** The guest's own programs, as they are staged, in the lab's Debian root with its git, rsync, sshd and arping. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { guestFiles } from '../../images/stage.ts'
import type { Seed } from '../../images/contract/seed.ts'
import { inRoot, rootPath, type Bind, type Root } from '../../lab/debian/root.ts'
import { contents, image, seeds } from './seed.ts'

const rootFolder = await rootPath()
const root: Root = { folder: rootFolder }
export const noRoot = process.getuid?.() !== 0 || !existsSync(rootFolder)

/** Says what it does when it fails: `want NAME EXPECTED FOUND`. */
const prelude = `set -Eeu
trap 'echo "failed: $BASH_COMMAND" >&2; tail -qn 3 /tmp/out /tmp/said >&2' ERR
want() { [ "$2" = "$3" ] || { echo "$1: wanted <$2>, found <$3>" >&2; exit 9; }; }
absent() { text=$1; shift; if grep -r "$text" "$@" >&2; then echo "$text is there" >&2; exit 9; fi; }
cp -r --preserve=mode /image/. /
node=/opt/golden/node/bin/node
programs=/usr/local/lib/golden
units=/usr/lib/systemd/system
# Another machine at the other end of eth0; its process is $peer.
meet_peer() {
  unshare --net -- sh -c 'echo $$ > /tmp/peer; exec sleep 600' &
  until [ -s /tmp/peer ]; do sleep 0.05; done
  peer=$(cat /tmp/peer)
  ip link add eth0 type veth peer name eth0 netns "$peer"
}
on_peer() { nsenter -t "$peer" -n -- "$@"; }
bind() { mount -o "$(sed -n 's/^Options=//p' $units/$1)" "$(sed -n 's/^What=//p' $units/$1)" "$(sed -n 's/^Where=//p' $units/$1)"; }
# A person with a key, whose client is /tmp/ssh, and all that the image's sshd needs but the data disk.
ready_ssh() {
  mkdir -p /run/golden/role && touch /run/golden/role/serena && systemd-tmpfiles --create golden.conf
  bind opt-golden-jail-usr.mount
  mkdir -p /run/sshd /run/golden/ssh/authorized_keys && ssh-keygen -q -t ed25519 -N '' -f /tmp/key && ssh-keygen -q -t ed25519 -N '' -f /run/golden/ssh/ssh_host_ed25519_key
  cp /tmp/key.pub /run/golden/ssh/authorized_keys/projects && chmod 644 /run/golden/ssh/authorized_keys/projects
  git config --global user.email me@example.org && git config --global user.name me && git config --global init.defaultBranch main
  cat > /tmp/ssh <<'END'
#!/bin/sh
exec ssh -q -F none -i /tmp/key -o UserKnownHostsFile=/tmp/known -o BatchMode=yes "$@"
END
  chmod 755 /tmp/ssh
}
`

export interface Inside {
  /** Runs a script of bash, with what the prelude has, in a network and a tree of its own. Rejects when it fails. */
  run(script: string): Promise<unknown>
  close(): void
}

export async function openInside(): Promise<Inside> {
  const folder = mkdtempSync(join(tmpdir(), 'golden-inside-'))
  for (const entry of await guestFiles()) {
    const path = join(folder, 'root', entry.path)
    mkdirSync(dirname(path), { recursive: true })
    if (Buffer.isBuffer(entry.content)) writeFileSync(path, entry.content, { mode: entry.mode })
  }
  const seed: Seed = {
    ...seeds.serena,
    serena: {
      ...seeds.serena.serena!,
      projects: [
        { name: 'playground' },
        { name: 'website', git: 'file:///tmp/origin.git' },
        { name: 'far', git: 'https://someone:t0ken@127.0.0.1:1/far.git' },
      ],
    },
  }
  writeFileSync(join(folder, 'seed.json'), JSON.stringify(seed))
  writeFileSync(join(folder, 'wanted.json'), JSON.stringify(seed.serena?.projects.filter((project) => project.git)))
  writeFileSync(join(folder, 'image.json'), JSON.stringify(image))
  for (const [name, content] of Object.entries({ ...contents(), 'seed.json': JSON.stringify(seed) })) {
    mkdirSync(dirname(join(folder, 'contents', name)), { recursive: true })
    writeFileSync(join(folder, 'contents', name), content)
  }
  const binds: Bind[] = [
    { from: join(folder, 'root'), to: '/image' },
    { from: process.execPath, to: '/opt/golden/node/bin/node' },
    { from: join(folder, 'seed.json'), to: '/run/golden/seed/seed.json' },
    { from: join(folder, 'image.json'), to: '/etc/golden/image.json' },
    { from: join(folder, 'wanted.json'), to: '/wanted.json' },
    { from: join(folder, 'contents'), to: '/contents' },
  ]
  return {
    run: (script) => inRoot(root, ['bash', '-c', prelude + script], { binds, enter: ['unshare', '--net', '--'] }),
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}
