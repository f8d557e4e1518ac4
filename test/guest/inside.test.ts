/** The guest's own programs, as they are staged, in the lab's Debian root with its git, rsync and arping. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { guestFiles } from '../../images/stage.ts'
import type { Seed } from '../../images/seed.ts'
import { inRoot, rootPath, type Bind, type Root } from '../../lab/debian/root.ts'
import { contents, image, seeds } from './seed.ts'

const rootFolder = await rootPath()
const root: Root = { folder: rootFolder }
const noRoot = process.getuid?.() !== 0 || !existsSync(rootFolder)

/** Says what it does when it fails: `want NAME EXPECTED FOUND`. */
const prelude = `set -eu
want() { [ "$2" = "$3" ] || { echo "$1: wanted <$2>, found <$3>" >&2; exit 9; }; }
absent() { text=$1; shift; if grep -r "$text" "$@" >&2; then echo "$text is there" >&2; exit 9; fi; }
node=/opt/golden/node/bin/node
programs=/usr/local/lib/golden
workspaces=/usr/lib/systemd/system/run-golden-workspaces.mount
`

describe.skipIf(noRoot)('inside the guest (needs root and the lab\'s Debian root in the cache)', () => {
  let folder = ''
  let binds: Bind[] = []

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'golden-inside-'))
    for (const entry of await guestFiles()) {
      const path = join(folder, 'root', entry.path)
      mkdirSync(dirname(path), { recursive: true })
      if (Buffer.isBuffer(entry.content)) writeFileSync(path, entry.content, { mode: entry.mode })
    }
    const seed: Seed = { ...seeds.serena, serena: { ...seeds.serena.serena!, projects: [
      { name: 'playground' },
      { name: 'website', git: 'file:///tmp/origin.git' },
      { name: 'far', git: 'https://someone:t0ken@127.0.0.1:1/far.git' },
    ] } }
    writeFileSync(join(folder, 'seed.json'), JSON.stringify(seed))
    writeFileSync(join(folder, 'wanted.json'), JSON.stringify(seed.serena?.projects.filter(project => project.git)))
    writeFileSync(join(folder, 'image.json'), JSON.stringify(image))
    for (const [name, content] of Object.entries({ ...contents(), 'seed.json': JSON.stringify(seed) })) {
      mkdirSync(dirname(join(folder, 'contents', name)), { recursive: true })
      writeFileSync(join(folder, 'contents', name), content)
    }
    binds = [
      ...['usr/local/lib/golden', 'usr/local/sbin/golden-release-address', 'usr/local/sbin/golden-firewall', 'usr/local/bin/golden-projects-shell', 'usr/lib/sysusers.d/golden.conf', 'usr/lib/systemd/system/run-golden-workspaces.mount'].map(path => ({ from: join(folder, 'root', path), to: `/${path}` })),
      { from: process.execPath, to: '/opt/golden/node/bin/node' },
      { from: join(folder, 'seed.json'), to: '/run/golden/seed/seed.json' },
      { from: join(folder, 'image.json'), to: '/etc/golden/image.json' },
      { from: join(folder, 'wanted.json'), to: '/wanted.json' },
      { from: join(folder, 'contents'), to: '/contents' },
    ]
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const inside = (script: string): Promise<unknown> => inRoot(root, ['bash', '-c', prelude + script], { binds, enter: ['unshare', '--net', '--'] })

  test('projects are made, pushed to, cloned, and left alone when they are there', async () => {
    await inside(`
systemd-sysusers golden.conf
mkdir -p /srv/golden && mount -t tmpfs -o mode=700 data /srv/golden
$node $programs/prepare.js serena
want 'owner of a project' 'projects' "$(stat -c %U /srv/golden/projects/playground/.git/config)"
want 'mount point' 755 "$(stat -c %a /srv/golden)"
want "Serena's home" '700 serena' "$(stat -c '%a %U' /srv/golden/serena)"
want "TypeScript of the image" /opt/golden/language-servers "$(readlink /srv/golden/serena/language_servers/static/TypeScriptLanguageServer/ts-lsp)"
grep -q '"/workspaces/projects/playground"' /srv/golden/serena/serena_config.yml

# A person at their own computer; SSH hands their command to the shell of the user projects.
cat > /tmp/ssh <<'END'
#!/bin/sh
shift # the host
cd /srv/golden/projects
SSH_ORIGINAL_COMMAND="$*" HOME=/srv/golden/projects exec setpriv --reuid 1000 --regid 1000 --clear-groups /usr/local/bin/golden-projects-shell
END
chmod 755 /tmp/ssh
export GIT_SSH_COMMAND=/tmp/ssh GIT_SSH_VARIANT=simple
git config --global user.email me@example.org && git config --global user.name me && git config --global init.defaultBranch main
git clone -q projects@slot:playground /tmp/work 2>/dev/null
cd /tmp/work && git checkout -q -B main
mkdir .serena && echo 'project_name: mine' > .serena/project.yml && echo hello > hello.py && git add -f . && git commit -qm first
git push -q origin main
want 'a push reaches the files' hello "$(cat /srv/golden/projects/playground/hello.py)"
want 'settings that come with the project win' 'project_name: mine' "$(cat /srv/golden/projects/playground/.serena/project.yml)"

# A hook in the project is not run by a push.
printf '#!/bin/sh\\ntouch /tmp/hooked\\n' > /srv/golden/projects/playground/.git/hooks/post-receive
chmod 755 /srv/golden/projects/playground/.git/hooks/post-receive
echo two > two.py && git add . && git commit -qm second && git push -q origin main
want 'the second push' two "$(cat /srv/golden/projects/playground/two.py)"
[ ! -e /tmp/hooked ] || { echo 'a hook of the project was run' >&2; exit 9; }

echo three > /tmp/three.py
rsync -e /tmp/ssh /tmp/three.py slot:playground/
want 'rsync' 'three projects' "$(cat /srv/golden/projects/playground/three.py) $(stat -c %U /srv/golden/projects/playground/three.py)"
for command in id 'sh -c id' '' 'rsync --daemon' 'git-receive-pack-x y'; do
  if /tmp/ssh slot "$command" > /tmp/out 2>&1; then echo "was let in: $command" >&2; exit 9; fi
  absent uid= /tmp/out
done
for command in 'rsync --server --daemon --config=/tmp/x .' 'rsync --server -e. --daemon .'; do
  /tmp/ssh slot "$command" > /tmp/out 2>&1 || true
  grep -q 'copying only' /tmp/out || { echo "not refused: $command" >&2; exit 9; }
done

# First clones: one works, one can't; the one that can't does not name the token.
git init -q --bare /tmp/origin.git && git push -q /tmp/origin.git main
mkdir -p /run/golden/projects && cp /wanted.json /run/golden/projects/wanted.json && chown -R projects /run/golden/projects
git config --system safe.directory /tmp/origin.git
clones() { HOME=/srv/golden/projects setpriv --reuid 1000 --regid 1000 --clear-groups $node $programs/clone.js 2>/tmp/said; }
clones
want 'a clone' hello "$(cat /srv/golden/projects/website/hello.py)"
want 'settings of a clone' 'project_name: mine' "$(cat /srv/golden/projects/website/.serena/project.yml)"
grep -q 'project far: could not be cloned from https://127.0.0.1:1/far.git' /run/golden/projects/report.json
absent t0ken /run/golden/projects/report.json /tmp/said /srv/golden

# Serena owns the projects where it works, and what it makes belongs to the people's user on the disk.
want 'the mount' "$(sed -n 's/^What=//p' $workspaces) $(sed -n 's/^Where=//p' $workspaces)" '/srv/golden/projects /run/golden/workspaces'
mkdir -p /run/golden/workspaces && mount -o "$(sed -n 's/^Options=//p' $workspaces)" /srv/golden/projects /run/golden/workspaces
as_serena() { setpriv --reuid 1002 --regid 1002 --clear-groups "$@"; }
as_serena sh -c 'umask 077; cd /run/golden/workspaces/playground && echo four > four.py && mkdir sub && echo five > sub/five.py && git add four.py && git -c user.email=s@x -c user.name=s commit -qm third'
want 'what Serena makes' 'projects 600 projects 700' "$(stat -c '%U %a' /srv/golden/projects/playground/four.py /srv/golden/projects/playground/sub | paste -sd' ')"
cd /tmp/work && git pull -q --ff-only && want 'a commit of Serena' four "$(cat four.py)"
echo six > six.py && git add . && git commit -qm fourth && git push -q origin main
as_serena rm /run/golden/workspaces/playground/six.py /run/golden/workspaces/playground/three.py && as_serena git -C /run/golden/workspaces/playground checkout -q -- six.py && echo three > /tmp/three.py && rsync -e /tmp/ssh /tmp/three.py slot:playground/
want "what belongs to the people's user" '' "$(find /srv/golden -xdev -user projects -not -path '/srv/golden/projects*')"
if setpriv --reuid 1000 --regid 1000 --clear-groups ls /srv/golden/serena 2>/dev/null; then echo "the people's user reads Serena's home" >&2; exit 9; fi
umount /run/golden/workspaces

# The home of Serena on a disk of the first images.
chown -R projects:projects /srv/golden/serena && ln -s /etc/passwd /srv/golden/serena/link && chown -h projects /srv/golden/serena/link
$node $programs/prepare.js serena
want "what belongs to the people's user" '' "$(find /srv/golden -xdev -user projects -not -path '/srv/golden/projects*')"
want '/etc/passwd' root "$(stat -c %U /etc/passwd)"

# Another start changes nothing of it.
$node $programs/prepare.js serena
want 'still there' three "$(cat /srv/golden/projects/playground/three.py)"
want 'no other commit' 4 "$(git -c safe.directory='*' -C /srv/golden/projects/playground rev-list --count HEAD)"

# What Serena's user can turn into a link does not lead root astray.
rm -r /srv/golden/serena/language_servers && ln -s /etc /srv/golden/serena/language_servers
if $node $programs/prepare.js serena 2>/dev/null; then echo 'followed a link' >&2; exit 9; fi
want '/etc is as it was' 'root no' "$(stat -c %U /etc) $([ -e /etc/static ] && echo yes || echo no)"
`)
  }, 120_000)

  test('the service address is taken when it is free, never from the peer, and given back with the claim', async () => {
    await inside(`
ip link set lo up
unshare --net -- sh -c 'echo $$ > /tmp/peer; exec sleep 600' &
until [ -s /tmp/peer ]; do sleep 0.05; done
peer=$(cat /tmp/peer)
on_peer() { nsenter -t "$peer" -n -- "$@"; }
ip link add eth0 type veth peer name eth0 netns "$peer"
ip addr add 10.77.0.51/24 dev eth0 && ip link set eth0 up
on_peer ip addr add 10.77.0.52/24 dev eth0 && on_peer ip link set eth0 up && on_peer ip addr add 10.77.0.50/32 dev eth0
until ping -c1 -W1 10.77.0.52 > /dev/null 2>&1 || arping -q -c1 -w2 -I eth0 10.77.0.52; do sleep 0.1; done
try() { $node --input-type=module -e "import { claim } from '$programs/address.js'; console.log(claim('10.77.0.50'))"; }
mine() { ip -4 -o addr show dev eth0 | grep -c '10\\.77\\.0\\.50/32' || true; }
echo SERVICE_ADDRESS=10.77.0.50 > /run/golden/address.env

want 'without a claim' 'false 0' "$(try) $(mine)"
touch /run/golden/claim
want 'while the peer holds it' 'false 0' "$(try) $(mine)"
on_peer ip addr del 10.77.0.50/32 dev eth0
want 'when the peer has let go' 'true 1' "$(try) $(mine)"
want 'once it is here' 'true 1' "$(try) $(mine)"
golden-release-address
want 'when the disk leaves' 'false 0' "$(try) $(mine)"
kill "$peer"
`)
  }, 120_000)

  test('a seed becomes files in memory that only their readers can open; a CD of somebody else is left alone', async () => {
    await inside(`
# A /dev of its own with the CD's label; this kernel may not know ISO 9660, so that mounting is played: the CD is a folder.
umount -l /dev && mount -t tmpfs dev /dev && mknod -m 666 /dev/null c 1 3 && mkdir -p /dev/disk/by-label /cd /tmp/bin
touch /dev/disk/by-label/cidata
printf '#!/bin/sh\nfor last; do :; done\ncp -r /cd/. "$last"\n' > /tmp/bin/mount
printf '#!/bin/sh\nrm -r "$1"\n' > /tmp/bin/umount
chmod 755 /tmp/bin/*
boot() { PATH=/tmp/bin:$PATH $node $programs/boot.js; }
systemd-sysusers golden.conf
mv /run/golden /tmp/away 2>/dev/null || { umount /run/golden/seed/seed.json; rm -r /run/golden; }

echo x > /cd/meta-data
want 'the CD of a bake' 'the CD has no folder golden: nothing to do' "$(boot)"
want 'is no seed' '' "$(find /run/golden -type f)"

cp -r /contents /cd/golden && chmod -R a-w /cd/golden
boot > /tmp/said
want 'the CD is not left mounted' no "$([ -e /run/golden/cd ] && echo yes || echo no)"
stat -c '%a %u %n' /run/golden/seed /run/golden/seed/seed.json /run/golden/seed/tls /run/golden/nginx /run/golden/nginx/tls/public.key /run/golden/compose.env \
  /run/golden/promtail/push-password /run/golden/ssh /run/golden/ssh/ssh_host_ed25519_key /run/golden/ssh/authorized_keys/projects /run/golden/projects > /tmp/modes
want 'owners and modes' '700 0 /run/golden/seed
600 0 /run/golden/seed/seed.json
700 0 /run/golden/seed/tls
700 101 /run/golden/nginx
400 101 /run/golden/nginx/tls/public.key
600 0 /run/golden/compose.env
400 0 /run/golden/promtail/push-password
755 0 /run/golden/ssh
600 0 /run/golden/ssh/ssh_host_ed25519_key
644 0 /run/golden/ssh/authorized_keys/projects
700 1000 /run/golden/projects' "$(cat /tmp/modes)"
as() { setpriv --reuid "$1" --regid "$1" --clear-groups "\${@:2}"; }
as 1000 cat /run/golden/ssh/authorized_keys/projects > /dev/null
as 101 cat /run/golden/nginx/tls/public.key > /dev/null
as 101 cat /run/golden/nginx/htpasswd/serena > /dev/null
for file in seed/seed.json nginx/tls/public.key compose.env promtail/push-password ssh/ssh_host_ed25519_key; do
  if as 1000 cat "/run/golden/$file" 2>/dev/null; then echo "the owner of the projects can read $file" >&2; exit 9; fi
done
absent push-secret /tmp/said

# Again, as after a reboot without power loss of the memory's files.
boot > /dev/null
want 'the same again' "$(cat /tmp/modes)" "$(stat -c '%a %u %n' $(cut -d' ' -f3 /tmp/modes))"
`)
  }, 60_000)

  test('a firewall that does not load leaves the host closed, and says so', async () => {
    await inside(`
echo 'table inet golden { chain input { type filter hook input priority filter; policy drop; }; }' > /run/golden/seed/nftables.nft
golden-firewall
echo 'table inet golden { chain input { nonsense; }; }' > /run/golden/seed/nftables.nft
if golden-firewall 2>/dev/null; then echo 'success was claimed' >&2; exit 9; fi
want 'closed' 2 "$(nft list table inet golden | grep -c 'policy drop')"
`)
  }, 60_000)
})
