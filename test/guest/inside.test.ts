/** The guest's own programs, as they are staged, in the lab's Debian root. */
import { afterAll, beforeAll, describe, it } from 'vitest'
import { noRoot, openInside, type Inside } from './inside-rig.ts'

describe.skipIf(noRoot)("inside the guest (needs root and the lab's Debian root in the cache)", () => {
  let rig: Inside
  beforeAll(async () => {
    rig = await openInside()
  })
  afterAll(() => rig?.close())
  const inside = (script: string): Promise<unknown> => rig.run(script)

  it('projects are made, pushed to, cloned, and left alone when they are there', async () => {
    await inside(`
systemd-sysusers golden.conf
mkdir -p /srv/golden && mount -t tmpfs -o mode=700 data /srv/golden
$node $programs/prepare.js serena
want 'owner of a project on the disk' 1000 "$(stat -c %u /srv/golden/projects/playground/.git/config)"
want 'mount point' 755 "$(stat -c %a /srv/golden)"
want "Serena's home" '700 serena' "$(stat -c '%a %U' /srv/golden/serena)"
want "TypeScript of the image" /opt/golden/language-servers "$(readlink /srv/golden/serena/language_servers/static/TypeScriptLanguageServer/ts-lsp)"
grep -q '"/workspaces/projects/playground"' /srv/golden/serena/serena_config.yml

# A person at their own computer, and the real sshd with the image's settings.
ip link set lo up
ready_ssh
/usr/sbin/sshd -D -e 2>/tmp/sshd.log &
sshd=$!
until ssh-keyscan -t ed25519 127.0.0.1 > /tmp/known 2>/dev/null && [ -s /tmp/known ]; do sleep 0.05; done
if /tmp/ssh projects@127.0.0.1 'git-upload-pack playground' > /tmp/out 2>&1; then echo 'let in without the data disk' >&2; exit 9; fi
grep -q 'service address' /tmp/out
bind opt-golden-jail-srv-golden-projects.mount
export GIT_SSH_COMMAND=/tmp/ssh
git clone -q projects@127.0.0.1:playground /tmp/work 2>/dev/null
cd /tmp/work && git checkout -q -B main
mkdir .serena && echo 'project_name: mine' > .serena/project.yml && echo hello > hello.py && git add -f . && git commit -qm first
git push -q origin main
want 'a push reaches the files' hello "$(cat /srv/golden/projects/playground/hello.py)"
want 'settings that come with the project win' 'project_name: mine' "$(cat /srv/golden/projects/playground/.serena/project.yml)"

# What Serena has changed and nobody has committed is kept, and a push goes on.
as_serena() { setpriv --reuid 9903 --regid 9903 --clear-groups "$@"; }
mkdir -p /run/golden/workspaces && bind run-golden-workspaces.mount
as_serena sh -c 'cd /run/golden/workspaces/playground && echo edited > hello.py && echo new > new.py'
echo pushed > hello.py && git commit -qam pushed && git push -q origin main 2>/tmp/said
want 'the files are what was pushed' pushed "$(cat /srv/golden/projects/playground/hello.py)"
kept=$(sed -n 's/.*git fetch origin \\([^ ]*\\) .*/\\1/p' /tmp/said)
git fetch -q origin "$kept" && want 'what Serena had' 'edited' "$(git show FETCH_HEAD:hello.py)"
want 'what was in the way of nobody' new "$(cat /srv/golden/projects/playground/new.py)"
if git push -q origin ":$kept" 2>/dev/null; then echo 'a push took away what is kept' >&2; exit 9; fi
git ls-remote origin "$kept" | grep -q kept
git checkout -qb other && echo x > other.py && git add . && git commit -qm other && git push -q origin other 2>/tmp/said && git checkout -q main
grep -q 'goes on with branch main' /tmp/said
[ ! -e /srv/golden/projects/playground/other.py ]

# The first push to an empty project may have any name.
$node $programs/prepare.js projects empty && chown -R 1000:1000 /srv/golden/projects/empty
git init -q -b master /tmp/second && cd /tmp/second && echo 1 > one.py && git add . && git commit -qm one && git push -q projects@127.0.0.1:empty master 2>/tmp/said
want 'the first branch' 1 "$(cat /srv/golden/projects/empty/one.py)"
grep -q 'works on branch master' /tmp/said
cd /tmp/work

# SFTP: what is in the projects, and nothing else there is.
printf 'put /tmp/key.pub playground/by-sftp\\nget playground/hello.py /tmp/fetched\\n' | sftp -q -b - -S /tmp/ssh projects@127.0.0.1 > /dev/null
want 'sftp' 'pushed 1000' "$(cat /tmp/fetched) $(stat -c %u /srv/golden/projects/playground/by-sftp)"
mkdir -p /srv/golden/serena && echo secret > /srv/golden/serena/secret && chmod 644 /srv/golden/serena/secret
as_serena ln -s /srv/golden/serena /run/golden/workspaces/playground/link
for path in /srv/golden/serena/secret playground/link/secret ../serena/secret /run/golden/seed/seed.json /etc/shadow /proc/1/cmdline; do
  if printf 'get %s /tmp/stolen\\n' "$path" | sftp -q -b - -S /tmp/ssh projects@127.0.0.1 > /dev/null 2>&1; then echo "sftp reads $path" >&2; exit 9; fi
  if rsync -q -L -e /tmp/ssh "projects@127.0.0.1:$path" /tmp/stolen 2>/dev/null; then echo "rsync reads $path" >&2; exit 9; fi
done
as_serena rm /run/golden/workspaces/playground/link
if printf 'put /tmp/key.pub /home/projects/.gitconfig\\n' | sftp -q -b - -S /tmp/ssh projects@127.0.0.1 > /dev/null 2>&1; then echo 'wrote to the home' >&2; exit 9; fi
if /tmp/ssh -W 127.0.0.1:22 projects@127.0.0.1 < /dev/null 2>&1 | grep -a SSH-; then echo 'forwarded to the VM' >&2; exit 9; fi
# Where a forwarding is refused, the command is not run; what it would say is seen without one.
ask="git-upload-pack 'playground'"
/tmp/ssh projects@127.0.0.1 "$ask" < /dev/null > /tmp/out 2>/dev/null || true
[ -s /tmp/out ]
/tmp/ssh -o ExitOnForwardFailure=yes -R 9999:127.0.0.1:22 projects@127.0.0.1 "$ask" < /dev/null > /tmp/out 2>/dev/null || true
[ ! -s /tmp/out ] || { echo 'forwarded from the VM' >&2; exit 9; }

# A program that the project's own settings name runs on a push, but in the jail, where there is nothing to take.
git -C /srv/golden/projects/playground -c safe.directory='*' config --file /srv/golden/projects/playground/.git/config filter.x.smudge "sh -c 'id > /srv/golden/projects/playground/ran; cat /srv/golden/serena/secret /run/golden/seed/seed.json /etc/shadow /proc/1/environ >> /srv/golden/projects/playground/ran; cat'"
echo '*.flt filter=x' > .gitattributes && echo f > f.flt && git add . && git commit -qm filter && git push -q origin main 2>/dev/null || true
[ ! -e /srv/golden/projects/playground/ran ] || want 'what it got' 'uid=9901(projects) gid=9901(projects) groups=9901(projects)' "$(cat /srv/golden/projects/playground/ran)"
git -C /srv/golden/projects/playground -c safe.directory='*' config --file /srv/golden/projects/playground/.git/config --unset filter.x.smudge
rm -f /srv/golden/projects/playground/ran; git rm -q f.flt .gitattributes && git commit -qm 'no filter' && git push -q origin main 2>/dev/null

# A hook in the project is not run by a push.
printf '#!/bin/sh\\ntouch /tmp/hooked\\n' > /srv/golden/projects/playground/.git/hooks/post-receive
chmod 755 /srv/golden/projects/playground/.git/hooks/post-receive
echo two > two.py && git add . && git commit -qm second && git push -q origin main
want 'the second push' two "$(cat /srv/golden/projects/playground/two.py)"
[ ! -e /tmp/hooked ] || { echo 'a hook of the project was run' >&2; exit 9; }

echo three > /tmp/three.py
rsync -e /tmp/ssh /tmp/three.py projects@127.0.0.1:playground/
echo spaced > '/tmp/a b.py' && rsync -e /tmp/ssh '/tmp/a b.py' projects@127.0.0.1:playground/ && rsync -e /tmp/ssh 'projects@127.0.0.1:playground/a b.py' /tmp/back && want 'a name with a blank' spaced "$(cat /tmp/back)" && rm '/srv/golden/projects/playground/a b.py'
want 'rsync' 'three 1000' "$(cat /srv/golden/projects/playground/three.py) $(stat -c %u /srv/golden/projects/playground/three.py)"
for command in id 'sh -c id' 'rsync --daemon' 'git-receive-pack-x y' "git-upload-pack 'playground'; id"; do
  if /tmp/ssh projects@127.0.0.1 "$command" > /tmp/out 2>&1; then echo "was let in: $command" >&2; exit 9; fi
  absent uid= /tmp/out
done
for command in 'rsync --server --daemon --config=/tmp/x .' 'rsync --server -e. --daemon .' 'rsync --server "--daemon" .' 'rsync --server -M--x .'; do
  /tmp/ssh projects@127.0.0.1 "$command" > /tmp/out 2>&1 || true
  grep -q 'copying only' /tmp/out || { echo "not refused: $command" >&2; exit 9; }
done

# First clones: one works, one can't; the one that can't does not name the token.
git init -q --bare /tmp/origin.git && git push -q /tmp/origin.git main && git push -q /tmp/origin.git main:release && chown -R serena /tmp/origin.git
mkdir -p /run/golden/projects && cp /wanted.json /run/golden/projects/wanted.json && chown -R serena /run/golden/projects
clones() { as_serena $node $programs/clone.js 2>/tmp/said; }
# Files that somebody has brought meanwhile are not overwritten; the same file, and what Serena makes itself, are not in the way.
cp hello.py /srv/golden/projects/website/ && echo by-sftp > /srv/golden/projects/website/two.py && chown projects:projects /srv/golden/projects/website/*
clones
grep -q 'project website: file:///tmp/origin.git was not checked out over files that are there and differ: two.py;' /tmp/said
want 'a file of somebody' by-sftp "$(cat /srv/golden/projects/website/two.py)"
rm /srv/golden/projects/website/two.py
clones
want 'a clone' pushed "$(cat /srv/golden/projects/website/hello.py)"
want 'owner of a clone' 1000 "$(stat -c %u /srv/golden/projects/website/.git/config)"
want 'all branches' 'main origin/HEAD origin/main origin/release' "$(git -c safe.directory='*' -C /srv/golden/projects/website branch --all --format '%(refname:lstrip=2)' | paste -sd' ')"
want 'settings of a clone' 'project_name: mine' "$(cat /srv/golden/projects/website/.serena/project.yml)"
grep -q 'project far: could not be cloned from https://127.0.0.1:1/far.git' /run/golden/projects/report.json
absent t0ken /run/golden/projects/report.json /tmp/said /srv/golden

# Serena owns the projects where it works, and what it makes belongs to the people's user on the disk.
as_serena sh -c 'umask 077; cd /run/golden/workspaces/playground && echo four > four.py && mkdir sub && echo five > sub/five.py && git add four.py && git -c user.email=s@x -c user.name=s commit -qm third'
want 'what Serena makes' '1000 600 1000 700' "$(stat -c '%u %a' /srv/golden/projects/playground/four.py /srv/golden/projects/playground/sub | paste -sd' ')"
cd /tmp/work && git pull -q --ff-only && want 'a commit of Serena' four "$(cat four.py)"
echo six > six.py && git add . && git commit -qm fourth && git push -q origin main
as_serena rm /run/golden/workspaces/playground/six.py /run/golden/workspaces/playground/three.py && as_serena git -C /run/golden/workspaces/playground checkout -q -- six.py && echo three > /tmp/three.py && rsync -e /tmp/ssh /tmp/three.py projects@127.0.0.1:playground/
want "what belongs to the people's user" '' "$(find /srv/golden -xdev -uid 1000 -not -path '/srv/golden/projects*')"
for user in 9901 1000; do
  if setpriv --reuid $user --regid $user --clear-groups ls /srv/golden/serena 2>/dev/null; then echo "the people's user reads Serena's home" >&2; exit 9; fi
done
want 'what people see as theirs' 'projects projects' "$(stat -c '%U %G' /opt/golden/jail/srv/golden/projects/playground/four.py)"
umount /run/golden/workspaces /opt/golden/jail/srv/golden/projects && kill $sshd

# The home of Serena on a disk of earlier images, in which it had another number.
ln -s /etc/passwd /srv/golden/serena/link
for before in 1002 1000; do
  chown -h -R $before:$before /srv/golden/serena
  $node $programs/prepare.js serena
  want "what belongs to Serena" '' "$(find /srv/golden/serena ! -uid 9903)"
done
want "what belongs to the people's user" '' "$(find /srv/golden -xdev -uid 1000 -not -path '/srv/golden/projects*')"
want '/etc/passwd' root "$(stat -c %U /etc/passwd)"

# Another start changes nothing of it.
$node $programs/prepare.js serena
want 'still there' three "$(cat /srv/golden/projects/playground/three.py)"
want 'no other commit' 7 "$(git -c safe.directory='*' -C /srv/golden/projects/playground rev-list --count HEAD)"

# What Serena's user can turn into a link does not lead root astray.
rm -r /srv/golden/serena/language_servers && ln -s /etc /srv/golden/serena/language_servers
if $node $programs/prepare.js serena 2>/dev/null; then echo 'followed a link' >&2; exit 9; fi
want '/etc is as it was' 'root no' "$(stat -c %U /etc) $([ -e /etc/static ] && echo yes || echo no)"
`)
  })

  it('the state of the services is kept and put back on a real data disk, with its owners and nobody else’s files', async () => {
    await inside(`
systemd-sysusers golden.conf
mkdir -p /srv/golden /var/lib/golden
truncate -s 64M /tmp/disk && mkfs.ext4 -q -L golden-data -m 1 /tmp/disk
mount -o loop,$(sed -n 's/^Options=//p' $units/srv-golden.mount) /tmp/disk /srv/golden
trap 'umount /srv/golden' EXIT

cp /etc/golden/image.json /tmp/image
as() { sed "s/ffffffffff*/$1/" /tmp/image > /tmp/image.$1 && mount --bind /tmp/image.$1 /etc/golden/image.json; }
as one && $node $programs/restore-point.js
$node $programs/prepare.js serena && $node $programs/prepare.js logging
own() { setpriv --reuid "$1" --regid "$1" --clear-groups sh -c "$2"; }
leave() {
  own 9903 "mkdir -p /srv/golden/serena/memories/global; echo $1 > /srv/golden/serena/memories/global/note"
  own 472 "echo $1 > /srv/golden/grafana/grafana.db; chmod 640 /srv/golden/grafana/grafana.db"
  own 10001 "mkdir -p /srv/golden/loki/chunks/index /srv/golden/loki/chunks/fake; echo $1 > /srv/golden/loki/chunks/index/one; echo $1 > /srv/golden/loki/chunks/fake/one"
}
leave old
ln -s /etc/shadow /srv/golden/serena/shadow && chown -h 9903:9903 /srv/golden/serena/shadow
as two && $node $programs/restore-point.js
points=/srv/golden/restore-points
want 'closed' '700 root' "$(stat -c '%a %U' $points)"
want 'a link' '/etc/shadow 9903' "$(readlink $points/000001/serena/shadow) $(stat -c %u $points/000001/serena/shadow)"
want 'owners' '9903 472 10001' "$(stat -c %u $points/000001/serena/memories/global/note $points/000001/grafana/grafana.db $points/000001/loki/chunks/index/one | xargs)"
[ ! -e $points/000001/loki/chunks/fake ] && [ ! -e $points/000001/serena/language_servers ]
leave new
as one && touch /var/lib/golden/state-before && $node $programs/restore-point.js
state() { cat /srv/golden/serena/memories/global/note /srv/golden/grafana/grafana.db /srv/golden/loki/chunks/index/one | xargs; }
want 'as it was left' 'old old old' "$(state)"
want 'its owners' '9903 640 472 10001' "$(stat -c %u /srv/golden/serena/memories) $(stat -c '%a %u' /srv/golden/grafana/grafana.db) $(stat -c %u /srv/golden/loki/chunks/index)"
want 'chunks' new "$(cat /srv/golden/loki/chunks/fake/one)"
[ -L /srv/golden/serena/language_servers/static/TypeScriptLanguageServer/ts-lsp ] && [ ! -e /var/lib/golden/state-before ]
want 'what was replaced' '000002 used-by.json' "$(ls $points | xargs)"

# No room for it: none is made, and that is said.
leave later && own 9903 'dd if=/dev/zero of=/srv/golden/serena/large bs=1M count=25 2> /dev/null'
as three && $node $programs/restore-point.js 2> /tmp/said
grep -q 'no room for' /tmp/said && grep -q 'no room for' $points/used-by.json
want 'what was there stays' 'later later later' "$(state)"
`)
  })

  it('on a data disk that is full, a slot starts with what is there, and loses nothing of it', async () => {
    await inside(`
systemd-sysusers golden.conf
mkdir -p /srv/golden /var/lib/golden
truncate -s 64M /tmp/disk && mkfs.ext4 -q -L golden-data -m 1 /tmp/disk
mount -o loop,$(sed -n 's/^Options=//p' $units/srv-golden.mount) /tmp/disk /srv/golden
trap 'umount /srv/golden' EXIT
$node $programs/restore-point.js && $node $programs/prepare.js serena && $node $programs/prepare.js logging
settings=/srv/golden/serena/serena_config.yml
cp $settings /tmp/settings
# To the last byte, by people and by root; and what there is in files.
setpriv --reuid 1000 --regid 1000 --clear-groups dd if=/dev/zero of=/srv/golden/projects/playground/large bs=1M 2> /dev/null || true
dd if=/dev/zero of=/srv/golden/large bs=1M 2> /dev/null || true
$node -e "
const { execFileSync } = require('node:child_process'); const { writeFileSync } = require('node:fs')
for (let i = 0, tries = 3; tries > 0; i++) try { writeFileSync('/srv/golden/small' + i, 'x') } catch { tries -= 1; execFileSync('sync') }"
if echo x > /srv/golden/one 2> /dev/null; then echo 'there is room' >&2; exit 9; fi
$node $programs/restore-point.js 2> /tmp/said
$node $programs/prepare.js serena && $node $programs/prepare.js logging
cmp /tmp/settings $settings
# The peer slot's image is another one, with one project more and its own settings: those it does not get, and does not start.
sed 's/"f{64}"/"two"/' /etc/golden/image.json > /tmp/image && mount --bind /tmp/image /etc/golden/image.json
$node $programs/restore-point.js 2> /tmp/said
sed 's/"name":"website"/"name":"another"/' /run/golden/seed/seed.json > /tmp/seed && mount --bind /tmp/seed /run/golden/seed/seed.json
$node $programs/prepare.js serena 2> /tmp/said
grep -q 'data disk is full, a project is not made' /tmp/said
want 'no part of it' '' "$(ls -A /srv/golden/projects | grep another || true)"
cmp /tmp/settings $settings
sed 's/"interface":"tools"/"interface":"repl"/' /tmp/seed > /tmp/other && mount --bind /tmp/other /run/golden/seed/seed.json
if $node $programs/prepare.js serena 2> /tmp/said; then echo 'it starts with the settings of somebody else' >&2; exit 9; fi
grep -q ENOSPC /tmp/said
# So the slot before starts as ever.
umount /run/golden/seed/seed.json
$node $programs/prepare.js serena 2> /tmp/said
cmp /tmp/settings $settings
# With room, all of it is there.
rm /srv/golden/large /srv/golden/projects/playground/large && $node $programs/prepare.js serena
[ -d /srv/golden/projects/another/.git ]
`)
  })

  it('the service address is taken when it is free, never from the peer, and given back with the claim', async () => {
    await inside(`
ip link set lo up
meet_peer
ip addr add 10.77.0.51/24 dev eth0 && ip link set eth0 up
on_peer ip addr add 10.77.0.52/24 dev eth0 && on_peer ip link set eth0 up && on_peer ip addr add 10.77.0.50/32 dev eth0
until ping -c1 -W1 10.77.0.52 > /dev/null 2>&1 || arping -q -c1 -w2 -I eth0 10.77.0.52; do sleep 0.1; done
try() { $node --input-type=module -e "import { claim } from '$programs/address.js'; import { thisMachine } from '$programs/machine.js'; console.log(await claim(thisMachine, '10.77.0.50'))"; }
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
  })

  it('one address does not get all connections, and others do not notice it', async () => {
    await inside(`
ip link set lo up
meet_peer
ip addr add 10.77.0.50/24 dev eth0 && ip link set eth0 up
on_peer sh -c 'ip link set eth0 up && ip addr add 10.77.0.98/24 dev eth0 && ip addr add 10.77.0.99/24 dev eth0'
echo 'table inet golden { chain input { type filter hook input priority filter; policy drop; tcp dport 443 accept; ct state established accept; }; }' > /run/golden/seed/nftables.nft
golden-firewall
cat > /tmp/crowd.py <<'END'
import socket
def count(source, most):
    held = []
    for _ in range(most):
        try: held.append(socket.create_connection(('10.77.0.50', 443), timeout=10, source_address=(source, 0)))
        except ConnectionRefusedError: pass
    return held
first = count('10.77.0.98', 400)
other = count('10.77.0.99', 3)
print(len(first), len(other))
END
$node -e "require('net').createServer(socket => socket.on('error', () => {}).resume()).listen({ host: '10.77.0.50', port: 443, backlog: 1000 }, () => console.log('listening'))" > /tmp/served & server=$!
until [ -s /tmp/served ]; do sleep 0.05; done
want 'of 400, and of three others' '256 3' "$(on_peer python3 /tmp/crowd.py)"
# Those that are over count no more; their end takes its time.
until [ "$(on_peer python3 /tmp/crowd.py)" = '256 3' ]; do sleep 0.1; done
kill "$server" "$peer"
`)
  })

  it('a seed becomes files in memory that only their readers can open; a CD of somebody else is left alone', async () => {
    await inside(`
# A /dev of its own with the CD's label; this kernel may not know ISO 9660, so that mounting is played: the CD is a folder.
umount -l /dev && mount -t tmpfs dev /dev && mknod -m 666 /dev/null c 1 3 && mkdir -p /dev/disk/by-label /cd /tmp/bin
touch /dev/disk/by-label/cidata
# The root has no sysfs, and what udev does on this machine is not the guest's business: no drive, and all looked at.
mkdir -p /sys/class/block
printf '#!/bin/sh\nexit 0\n' > /tmp/bin/udevadm
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
stat -c '%a %u %n' /run/golden/seed /run/golden/seed/seed.json /run/golden/seed/tls /run/golden/nginx /run/golden/nginx/tls/public.key /run/golden/auth /run/golden/auth/serena /run/golden/compose.env \
  /run/golden/otelcol/authorization /run/golden/ssh /run/golden/ssh/ssh_host_ed25519_key /run/golden/ssh/authorized_keys/projects /run/golden/projects > /tmp/modes
want 'owners and modes' '700 0 /run/golden/seed
600 0 /run/golden/seed/seed.json
700 0 /run/golden/seed/tls
700 9904 /run/golden/nginx
400 9904 /run/golden/nginx/tls/public.key
700 0 /run/golden/auth
400 0 /run/golden/auth/serena
600 0 /run/golden/compose.env
400 0 /run/golden/otelcol/authorization
755 0 /run/golden/ssh
600 0 /run/golden/ssh/ssh_host_ed25519_key
644 0 /run/golden/ssh/authorized_keys/projects
700 9903 /run/golden/projects' "$(cat /tmp/modes)"
as() { setpriv --reuid "$1" --regid "$1" --clear-groups "\${@:2}"; }
as 9901 cat /run/golden/ssh/authorized_keys/projects > /dev/null
as 9904 cat /run/golden/nginx/tls/public.key > /dev/null
want "the health check's password of this boot" '400 0 32' "$(stat -c '%a %u %s' /run/golden/auth/probe)"
probe=$(cat /run/golden/auth/probe)
if as 9904 cat /run/golden/auth/serena 2>/dev/null; then echo 'nginx can read hashes' >&2; exit 9; fi
for file in seed/seed.json nginx/tls/public.key compose.env otelcol/authorization ssh/ssh_host_ed25519_key; do
  if as 9901 cat "/run/golden/$file" 2>/dev/null; then echo "the owner of the projects can read $file" >&2; exit 9; fi
done
absent push-secret /tmp/said

# Again, as after a reboot without power loss of the memory's files.
boot > /dev/null
want 'the password that golden-auth has read' "$probe" "$(cat /run/golden/auth/probe)"
want 'the same again' "$(cat /tmp/modes)" "$(stat -c '%a %u %n' $(cut -d' ' -f3 /tmp/modes))"
`)
  })

  it('a firewall that does not load leaves the host closed, and says so', async () => {
    await inside(`
echo 'table inet golden { chain input { type filter hook input priority filter; policy drop; }; }' > /run/golden/seed/nftables.nft
golden-firewall
echo 'table inet golden { chain input { nonsense; }; }' > /run/golden/seed/nftables.nft
if golden-firewall 2>/dev/null; then echo 'success was claimed' >&2; exit 9; fi
want 'closed' 2 "$(nft list table inet golden | grep -c 'policy drop')"
`)
  })
})
