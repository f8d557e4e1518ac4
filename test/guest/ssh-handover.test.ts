/** People's SSH while the slots hand over: the real sshd, git, rsync and SFTP over a slow line, two slots and a client in a LAN. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Machine } from '../../images/guest/machine.ts'
import { holdRules } from '../../images/guest/ssh-hold.ts'
import { transfers } from '../../images/guest/transfers.ts'
import { noRoot, openInside, type Inside } from './inside-rig.ts'
import { seeds } from './seed.ts'

describe('a transfer', () => {
  /** @param look what pgrep lists, and what each of them has moved */
  const counted = async (
    looks: readonly { at: number; list: readonly string[]; moved?: number; loggingIn?: boolean }[],
  ): Promise<number[]> => {
    let now = looks[0]!
    const machine = {
      uptime: () => now.at,
      files: { read: () => `rchar: ${now.moved ?? 0}\nwchar: 0\nsyscr: 1\n` },
      run: async (_program: string, args: readonly string[]) =>
        args.includes('projects')
          ? { status: now.list.length > 0 ? 0 : 1, stdout: now.list.map((line) => `${line}\n`).join(''), stderr: '' }
          : { status: now.loggingIn === true ? 0 : 1, stdout: '', stderr: '' },
    } as unknown as Machine
    const look = transfers(machine)
    const counts: number[] = []
    for (now of looks) counts.push(await look())
    return counts
  }
  const sftp = ['7 sshd-session: projects@notty', '8 sh -c /usr/local/bin/golden-projects-shell', '9 /usr/lib/openssh/sftp-server -d /srv']

  it('is what moves bytes, and whatever works without', async () => {
    const push = ['7 sshd: projects@notty', '8 git-receive-pack playground']
    const still = [0, 4999, 5000, 60_000].map((at) => ({ at, moved: 1 }))
    expect(await counted(still.map((one) => ({ ...one, list: sftp })))).toEqual([1, 1, 0, 0])
    expect(await counted(still.map((one, moved) => ({ ...one, list: sftp, moved })))).toEqual([1, 1, 1, 1])
    expect(await counted(still.map((one) => ({ ...one, list: push })))).toEqual([1, 1, 1, 1])
    expect(await counted(still.map((one) => ({ ...one, list: [...push, ...sftp] })))).toEqual([2, 2, 2, 2])
  })

  it('may begin with whoever is just logging in', async () => {
    expect(
      await counted([
        { at: 0, list: [], loggingIn: true },
        { at: 1, list: [] },
      ]),
    ).toEqual([1, 0])
    const idle = { list: sftp, moved: 1 }
    expect(
      await counted([
        { at: 0, ...idle },
        { at: 6000, ...idle, loggingIn: true },
      ]),
    ).toEqual([1, 1])
  })
})

it('only the first segments of connections to the service address are held', () => {
  const rules = holdRules(seeds.serena, 90)
  expect(rules).toContain(`${seeds.serena.service} timeout 90s`)
  expect(rules).not.toContain(seeds.serena.address)
})

describe.skipIf(noRoot)("with the real sshd (needs root and the lab's Debian root in the cache)", () => {
  let rig: Inside
  beforeAll(async () => {
    rig = await openInside()
  })
  afterAll(() => rig?.close())

  it('what is under way ends within the limit, what begins meets the other slot and the same key, what only waits is in nobody’s way', async () => {
    await rig.run(`
machine() { unshare --net -- sh -c "echo \\$\\$ > /tmp/$1; exec sleep 600" & until [ -s "/tmp/$1" ]; do sleep 0.05; done; }
machine client; machine green
client=$(cat /tmp/client); green=$(cat /tmp/green)
in_client() { nsenter -t "$client" -n -- "$@"; }
in_green() { nsenter -t "$green" -n -- "$@"; }
ip link add eth0 type veth peer name blue netns "$client"
in_client ip link add green type veth peer name eth0 netns "$green"
in_client sh -c 'ip link add br0 type bridge && for port in blue green; do ip link set $port master br0 up; done; ip addr add 10.77.0.99/24 dev br0; ip link set br0 up; ip link set lo up'
in_green sh -c 'ip link set lo up; ip addr add 10.77.0.52/24 dev eth0; ip link set eth0 up'
ip link set lo up; ip addr add 10.77.0.51/24 dev eth0; ip link set eth0 up; ip addr add 10.77.0.50/32 dev eth0
echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore; echo 2 > /proc/sys/net/ipv4/conf/all/arp_announce

# The data disk, and what systemd would do about it; nginx has no clients.
systemd-sysusers golden.conf
mkdir -p /data /srv/golden && mount -t tmpfs -o mode=755 data /data && mount --bind /data /srv/golden
$node $programs/prepare.js serena
mkdir /tmp/bin && cat > /tmp/bin/systemctl <<'END'
#!/bin/sh
[ "$1" = stop ] || exit 0
shift
for unit; do
  case $unit in *.mount) where=$(sed -n 's/^Where=//p' /usr/lib/systemd/system/$unit); if mountpoint -q $where; then umount $where || exit 1; fi ;; esac
done
END
chmod 755 /tmp/bin/systemctl
cat > /tmp/nginx.mjs <<'END'
import { createServer } from 'node:http'
createServer((request, response) => response.end(request.url.endsWith('/carry') ? '{"schema":1}' : '{"state":"open","busy":0,"oldestMs":0,"sse":0}'))
  .listen(8099, '127.0.0.1', () => console.log('listening'))
END
$node /tmp/nginx.mjs > /tmp/listening &
slotctl() { PATH=/tmp/bin:$PATH $node $programs/slotctl.js "$@"; }

ready_ssh
bind opt-golden-jail-srv-golden-projects.mount
/usr/sbin/sshd -D -E /tmp/blue.log & 
in_green /usr/sbin/sshd -D -E /tmp/green.log -o PidFile=none &
until in_client ssh-keyscan -t ed25519 10.77.0.50 > /tmp/known 2>/dev/null && [ -s /tmp/known ]; do sleep 0.05; done
until in_client ssh-keyscan -t ed25519 10.77.0.52 2>/dev/null | grep -q .; do sleep 0.05; done
until [ -s /tmp/listening ]; do sleep 0.05; done

# A line that lets a little through, and all the rest once /tmp/go is there.
cat > /tmp/line.mjs <<'END'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
const socket = connect(22, process.argv[2])
socket.on('error', () => {}).on('close', () => process.exit()).pipe(process.stdout)
let credit = 600_000
for await (const chunk of process.stdin) {
  for (let at = 0; at < chunk.length; ) {
    const size = existsSync('/tmp/go') ? chunk.length : Math.min(credit, chunk.length - at)
    socket.write(chunk.subarray(at, at + size))
    at += size
    credit = Math.max(0, credit - size) || 1000
    if (credit === 1000 && !existsSync('/tmp/go')) await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
socket.end()
END
printf '#!/bin/sh\\nexec /tmp/ssh -o "ProxyCommand=%s /tmp/line.mjs %%h" "$@"\\n' "$node" > /tmp/slow && chmod 755 /tmp/slow
head -c 1500000 /dev/urandom > /tmp/large
git init -q /tmp/work && cd /tmp/work && cp /tmp/large large.bin && git add . && git commit -qm large
upload() { printf 'put /tmp/large playground/%s\\n' "$1" | in_client sftp -q -b - -S /tmp/slow projects@10.77.0.50 > /dev/null 2>&1; }
projects=/data/projects

upload by-sftp & sftp=$!
in_client rsync -e /tmp/slow /tmp/large projects@10.77.0.50:playground/by-rsync & rsync=$!
GIT_SSH_COMMAND=/tmp/slow in_client git push -q projects@10.77.0.50:playground main:pushed 2>/tmp/said & push=$!
until [ -s $projects/playground/by-sftp ] && ls $projects/playground/.by-rsync.* > /dev/null 2>&1 && pgrep -u projects git > /dev/null; do sleep 0.1; done

slotctl let-go 20 > /tmp/answer & letgo=$!
# They are waited for; but for half of the time only, others may come, too.
until nft list table ip golden_ssh > /dev/null 2>&1; do kill -0 $letgo; sleep 0.1; done
mountpoint -q /srv/golden
GIT_SSH_COMMAND=/tmp/ssh in_client git ls-remote projects@10.77.0.50:playground > /tmp/refs 2>/tmp/refs-said & newcomer=$!
touch /tmp/go
wait $sftp; wait $rsync; wait $push; wait $letgo
cmp /tmp/large $projects/playground/by-sftp && cmp /tmp/large $projects/playground/by-rsync
want 'the push' "$(git rev-parse HEAD)" "$(git -c safe.directory='*' -C $projects/playground rev-parse pushed)"
grep -q '"drained":true,"requests":0,"transfers":0' /tmp/answer
if mountpoint -q /srv/golden; then echo 'the disk is still here' >&2; exit 9; fi
kill -0 $newcomer
# An administrator gets in all the while, at the slot's own address.
in_client /tmp/ssh -o HostKeyAlias=10.77.0.50 projects@10.77.0.51 "git-upload-pack 'playground'" < /dev/null > /tmp/out 2>&1 || true
grep -q 'not on this slot' /tmp/out

# The disk, then the address, go over.
mount --bind /data /srv/golden && bind opt-golden-jail-srv-golden-projects.mount
address() { $node --input-type=module -e "import * as address from '$programs/handover-address.js'; import { thisMachine } from '$programs/machine.js'; import { readFileSync } from 'node:fs'; await address.$1(thisMachine, JSON.parse(readFileSync('/run/golden/seed/seed.json', 'utf8')))"; }
address leave
in_green ip addr add 10.77.0.50/32 dev eth0 && in_green arping -q -U -c 1 -I eth0 10.77.0.50 || true
wait $newcomer
grep -q refs/heads/pushed /tmp/refs
want 'who let it in' 1 "$(grep -c 'Accepted publickey for projects' /tmp/green.log)"

# And back. Nothing is held any more.
in_green ip addr del 10.77.0.50/32 dev eth0 && ip addr add 10.77.0.50/32 dev eth0 && arping -q -U -c 1 -I eth0 10.77.0.50 || true
address resume
want 'what is left of it' '' "$(nft list tables)"

# Who only waits, as file managers do, is in nobody's way.
mkfifo /tmp/prompt
in_client sftp -q -S /tmp/ssh projects@10.77.0.50 < /tmp/prompt > /dev/null 2>&1 & prompt=$!
exec 3> /tmp/prompt
until pgrep -u projects sftp-server > /dev/null; do sleep 0.05; done
SECONDS=0
slotctl let-go 120 > /tmp/answer
[ $SECONDS -lt 60 ]
grep -q '"drained":true' /tmp/answer
exec 3>&-; wait $prompt || true

# Who takes longer than the limit is cut off, and counted.
mount --bind /data /srv/golden && bind opt-golden-jail-srv-golden-projects.mount && address resume
rm /tmp/go
upload by-late & late=$!
until [ -s $projects/playground/by-late ]; do sleep 0.1; done
slotctl let-go 1 > /tmp/answer
grep -q '"drained":false,"requests":0,"transfers":1' /tmp/answer
if wait $late; then echo 'it was not cut off' >&2; exit 9; fi
if mountpoint -q /srv/golden; then echo 'the disk is still here' >&2; exit 9; fi
`)
  })
})
