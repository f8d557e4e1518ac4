/**
 * What root's shell is answered in any Debian 13, fake or real: what an image is made with and what its programs ask for.
 * Besides Debian's cloud image there are procps, nftables, sudo and what the lab's base has. Nothing of it goes out of the
 * guest, and what it changes it changes back: it may be run in a guest that serves.
 */
import { good, type Wanted } from './run.ts'
import type { Script } from './batch.ts'

const step = (name: string, script: string, wanted: Wanted | string): Script => ({
  name,
  script,
  wanted: typeof wanted === 'string' ? { ...good(wanted), stderr: '' } : wanted,
})

const files: readonly Script[] = [
  step(
    'folders with modes and owners',
    `install -d -m 0755 "$PWD/a"; install -d b; install -d "$PWD/c"; install -d -m 0700 -o daemon "$PWD/d"
chown 7:8 "$PWD/c"; chmod 0750 "$PWD/b"; stat -c '%a %u:%g %F' a b c d; stat -c %u d`,
    '755 0:0 directory\n750 0:0 directory\n755 7:8 directory\n700 1:0 directory\n1\n',
  ),
  step(
    'files with modes and owners',
    `echo one > one; install -m 0600 one "$PWD/two"; install -m 0644 -o daemon -g root one "$PWD/three"
install -D -m 0644 /etc/hostname "$PWD/deep/er/hostname"; install -D -m 0644 -o root -g root one "$PWD/deeper/one"
chmod 0755 "$PWD/two"; chmod 0640 one; stat -c '%a %u:%g %F' one two three deep/er/hostname deeper/one
truncate -s 0 "$PWD/two"; cat one; cat "$PWD/two"; head -n 1 three`,
    `640 0:0 regular file
755 0:0 regular file
644 1:0 regular file
644 0:0 regular file
644 0:0 regular file
one
one
`,
  ),
  step(
    'lines that match',
    `printf 'root:x:0\\nDaemon:x:1\\n# more\\nactive\\n' > lines; printf '^root:.*\\nactive\\n' > patterns; echo x:0 > words
file=$PWD/lines
grep -E '^root:|:1$' < lines; grep -vE '^#|:' < lines; grep -vx active < lines; grep -vxE -f patterns < lines; grep -xE -f patterns < lines
grep '^act' < lines; grep -Ev '^#|:' "$file"; grep -v '^#' "$file"; grep -vE '^#|^r' "$file"
grep -lE -f patterns "$file" /etc/hostname; grep -lE '^Da' "$file"; grep -lF -f "$PWD/words" "$file"; grep -liE daemon "$file"; grep -liE '^DAEMON' "$file"
grep -q '^root:' < lines; echo $?; grep -q '^nobody:' "$file"; echo $?; grep -qF '@x' lines; echo $?; grep -q x nowhere; echo $?`,
    {
      exitCode: 0,
      stdout: `root:x:0
Daemon:x:1
active
root:x:0
Daemon:x:1
# more
Daemon:x:1
# more
root:x:0
active
active
active
root:x:0
Daemon:x:1
active
Daemon:x:1
active
${'/run/transcript/lines\n'.repeat(5)}0
1
1
2
`,
      stderr: 'grep: nowhere: No such file or directory\n',
    },
  ),
  step(
    'columns, in order',
    `echo 'a b c' | cut -d ' ' -f 1; echo x:y | cut -d: -f1; echo a:b:c:d > columns; cut -d: -f1,3 "$PWD/columns"; cut -d: -f1,3,4 "$PWD/columns"
printf 'b\\na\\nb\\n' > three; sort < three; sort -u < three`,
    'a\nx\na:c\na:c:d\na\nb\nb\na\nb\n',
  ),
  step(
    'an archive over a folder that is there',
    `install -d from/in to; echo x > from/in/file; chmod 0600 from/in/file; chown 7:8 from/in/file; tar -czf made.tar.gz -C "$PWD/from" .
chmod 0711 to; tar --no-overwrite-dir --no-same-owner -C "$PWD/to" -xpf "$PWD/made.tar.gz"; stat -c '%a %u:%g' to to/in/file; cat to/in/file`,
    '711 0:0\n600 0:0\nx\n',
  ),
  step('how large a folder is', 'du -s --block-size=1 "$PWD"', good(/^\d+\t\/run\/transcript\n$/)),
  step(
    'a program with the rights of a user',
    `install -d -o daemon mine; setpriv --reuid 1 --clear-groups --regid 1 test -w "$PWD"; echo $?
chmod 0755 .; setpriv --reuid 1 --clear-groups --regid 1 test -w "$PWD/mine"; echo $?`,
    '1\n0\n',
  ),
  step(
    'processes that are not there',
    String.raw`pkill -KILL -u games; echo $?; pkill -KILL -x frobnicate; echo $?; pgrep -a -u games; echo $?; pgrep -f '^sshd: .*\[listener\] [1-9][0-9]* of '; echo $?`,
    '1\n1\n1\n1\n',
  ),
  step('what is in memory on the disk', 'sync; fstrim --all --quiet-unsupported; echo $?', '0\n'),
  step(
    'a script by its name',
    `echo 'echo "$# $1"; exit 3' > script; sh script 'a b'; echo $?; sh script > /dev/null; echo $?; sh "$PWD/script"; echo $?`,
    '1 a b\n3\n3\n0 \n3\n',
  ),
  step("a user's end", 'userdel -f frobnicate', { exitCode: 6, stdout: '', stderr: "userdel: user 'frobnicate' does not exist\n" }),
  step('users that are declared', 'systemd-sysusers; echo $?', '0\n'),
  step(
    'the first boot, at length',
    "cloud-init status --wait --long > said; echo $?; grep -E '^(status|extended_status): ' said",
    '0\nstatus: done\nextended_status: done\n',
  ),
]

const packages: readonly Script[] = [
  step(
    'what is installed, and with which size',
    `dpkg-query -W -f '\${db:Status-Status} \${Package} \${Version}\\n' > all; grep -c '^installed sudo [0-9]' all; grep -vE '^(installed|config-files) [^ ]+ [^ ]*$' all
dpkg-query -W -f '\${db:Status-Status} \${Installed-Size}\\n' | grep -vE '^(installed|config-files) [0-9]+$'; dpkg-query -W -f '\${db:Status-Status}' sudo; dpkg --audit; echo " $?"`,
    '1\ninstalled 0\n',
  ),
  step('a package that is not there', "dpkg-query -W -f '${db:Status-Status}' frobnicate", {
    exitCode: 1,
    stdout: '',
    stderr: 'dpkg-query: no packages found matching frobnicate\n',
  }),
  step(
    'which version is newer',
    "dpkg --compare-versions 1.10-1 gt 1.9-2; echo $?; dpkg --compare-versions 1.0 gt 1.0; echo $?; dpkg --compare-versions '1.0~rc1' gt 1.0; echo $?",
    '0\n1\n1\n',
  ),
  step(
    'apt with nothing to do, without its archive',
    `export DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1
from='-o Dir::Etc::SourceList=/run/transcript/none -o Dir::Etc::SourceParts=/dev/null'
how='-o APT::Get::Always-Include-Phased-Updates=true -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Use-Pty=0'
apt-get -qq $from $how dist-upgrade --yes --no-install-recommends; echo $?
apt-get -qq $from $how install --yes --no-install-recommends sudo; echo $?`,
    '0\n0\n',
  ),
  step(
    'apt does not know a package',
    'apt-get -qq -o Dir::Etc::SourceList=/run/transcript/none -o Dir::Etc::SourceParts=/dev/null install --yes frobnicate',
    { exitCode: 100, stdout: '', stderr: 'E: Unable to locate package frobnicate\n' },
  ),
]

const declared = (program: string): string =>
  `printf '[Unit]\\nDescription=transcript\\n[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=${program}\\n[Install]\\nWantedBy=multi-user.target\\n' > /run/systemd/system/transcript.service
systemctl daemon-reload`
const undeclared = `undeclare() {
  systemctl stop transcript.service; systemctl disable --quiet transcript.service; systemctl unmask --quiet transcript.service transcript-too.service
  rm -f /run/systemd/system/transcript.service; systemctl daemon-reload; systemctl reset-failed transcript.service
} 2> /dev/null
trap undeclare EXIT
`

const units: readonly Script[] = [
  step(
    'a unit from its file to its end',
    `${undeclared}${declared('/bin/true')}
systemctl is-enabled transcript.service; systemctl enable --quiet transcript.service; systemctl is-enabled transcript.service
systemctl is-active transcript.service; systemctl try-restart transcript.service; systemctl is-active transcript.service
systemctl start transcript.service; systemctl restart transcript.service; systemctl is-active transcript.service
systemctl try-restart transcript.service; systemctl is-active --quiet transcript.service; echo $?
systemctl stop transcript.service; systemctl is-active --quiet transcript.service; echo $?
systemctl start --no-block transcript.service; systemctl start transcript.service; systemctl is-active transcript.service`,
    'disabled\nenabled\ninactive\ninactive\nactive\n0\n3\nactive\n',
  ),
  step(
    'in lists of units, and as it is written',
    `${undeclared}${declared('/bin/true')}
systemctl list-unit-files --no-legend --no-pager | grep '^transcript' | tr -s ' ' | cut -d ' ' -f 1,2
systemctl list-units --state=active,activating,reloading --plain --no-legend --no-pager | grep '^transcript' | cut -d ' ' -f 1
systemctl start transcript.service
systemctl list-units --state=active,activating,reloading --plain --no-legend --no-pager | grep '^transcript' | cut -d ' ' -f 1
systemctl mask --quiet transcript.service; systemctl list-unit-files --no-legend --no-pager | grep '^transcript' | tr -s ' ' | cut -d ' ' -f 1,2
systemctl unmask --quiet transcript.service; systemctl cat transcript.service | head -n 3`,
    `transcript.service disabled
transcript.service
transcript.service masked
# /run/systemd/system/transcript.service
[Unit]
Description=transcript
`,
  ),
  step(
    'a unit that fails',
    `${undeclared}${declared('/bin/false')}
systemctl start transcript.service; echo $?; systemctl is-active transcript.service sshd-keygen.service; echo $?
systemctl list-units --state=failed --plain --no-legend --no-pager | grep '^transcript' | cut -d ' ' -f 1
systemctl reset-failed transcript.service 'transcript-*'; echo $?; systemctl is-active transcript.service`,
    {
      exitCode: 3,
      stdout: '1\nfailed\ninactive\n3\ntranscript.service\n0\ninactive\n',
      stderr: /^Job for transcript\.service failed because the control process exited with error code\./,
    },
  ),
  step(
    'units that are masked, of which one is not there',
    `${undeclared}${declared('/bin/true')}
systemctl mask --quiet transcript.service transcript-too.service; echo $?; systemctl is-enabled transcript.service transcript-too.service; echo $?
systemctl start transcript.service; echo $?; systemctl enable --quiet transcript.service; echo $?; systemctl stop transcript.service; echo $?`,
    {
      exitCode: 0,
      stdout: '0\nmasked\nmasked\n1\n1\n1\n0\n',
      stderr:
        /Failed to start transcript\.service: Unit transcript\.service is masked\.\nFailed to enable unit: Unit .*transcript\.service is masked/,
    },
  ),
  step(
    'units that are not there',
    `systemctl is-enabled frobnicate.service; echo $?; systemctl is-active frobnicate.service; echo $?; systemctl stop frobnicate.service other-frobnicate.service; echo $?
systemctl start frobnicate.service; echo $?; systemctl try-restart frobnicate.service; echo $?; systemctl cat frobnicate.service; echo $?
systemctl enable --quiet frobnicate.service; echo $?; systemctl reset-failed frobnicate.service 'frobnicate-*'; echo $?`,
    { exitCode: 0, stdout: 'not-found\n4\ninactive\n4\n5\n5\n5\n1\n1\n1\n' },
  ),
  step(
    'links of devices that are there',
    'udevadm settle --timeout=30; echo $?; udevadm settle --timeout=30 --exit-if-exists=/dev/null; echo $?',
    '0\n0\n',
  ),
]

const network: readonly Script[] = [
  step(
    'an address more, and one less',
    `for verb in add add del del; do ip -4 address $verb 192.0.2.77/32 dev lo; echo $?; done; ip -4 address add 192.0.2.77/32 dev frobnicate; echo $?
ip -4 route replace 192.0.2.78/32 dev lo; echo $?; ip -4 route del 192.0.2.78/32 dev lo; echo $?`,
    { exitCode: 0, stdout: '0\n2\n0\n2\n1\n0\n0\n' },
  ),
  step(
    'who listens, and who is connected',
    `ss -H -lnt > said; echo $?; grep -vE '^LISTEN +[0-9]+ +[0-9]+ +[^ ]+:[0-9]+ +[^ ]+:\\*( |$)' said; ss -Htn state connected exclude time-wait src 192.0.2.77; echo $?`,
    '0\n0\n',
  ),
  step(
    'a packet filter with counters, read and taken back',
    `printf 'table inet transcript\\ndelete table inet transcript\\ntable inet transcript {\\n  counter seen { }\\n  chain one {\\n    counter name seen accept\\n  }\\n}\\n' > "$PWD/rules.nft"
nft -f "$PWD/rules.nft"; echo $?; nft -f "$PWD/rules.nft"; echo $?; nft list tables | grep -x 'table inet transcript'
nft list table inet transcript | tr -s ' \\t\\n' ' ' | grep -o 'counter seen { packets 0 bytes 0 }'; nft delete table inet transcript; nft list tables | grep -c transcript`,
    { exitCode: 1, stdout: '0\n0\ntable inet transcript\ncounter seen { packets 0 bytes 0 }\n0\n', stderr: '' },
  ),
  step(
    'rules by words, and rules that are only tried',
    `nft 'add table ip transcript; delete table ip transcript'; echo $?; nft -c 'add table ip transcript; add chain ip transcript one { type filter hook prerouting priority mangle; }; add rule ip transcript one ip dscp set 0x2b drop'; echo $?
nft list tables | grep -c transcript; nft list table inet transcript; echo $?; nft delete table inet transcript; echo $?; nft frobnicate; echo $?`,
    { exitCode: 0, stdout: '0\n0\n0\n1\n1\n1\n', stderr: /No such file or directory[\s\S]*No such file or directory[\s\S]*syntax error/ },
  ),
]

const mounts: readonly Script[] = [
  step(
    'a folder at another place, with owners of another number',
    `install -d /var/tmp/transcript mapped; chown 1000:1000 /var/tmp/transcript
mount -o bind,X-mount.idmap=1000:1001:1 /var/tmp/transcript mapped; echo $?; stat -c %u mapped; umount "$PWD/mapped"; echo $?; stat -c %u mapped; rmdir /var/tmp/transcript`,
    '0\n1001\n0\n0\n',
  ),
  step(
    'the seed, which is a CD',
    `install -d cd; mount -t iso9660 -o ro,nosuid,nodev,noexec /dev/disk/by-label/cidata "$PWD/cd"; echo $?; test -s cd/user-data; echo $?
echo x 2> /dev/null > cd/file; test -e cd/file; echo $?; umount "$PWD/cd"; echo $?`,
    { exitCode: 0, stdout: '0\n0\n1\n0\n' },
  ),
  step(
    'mounts that do not come about',
    `install -d at; mount -t iso9660 -o ro,nosuid,nodev,noexec /dev/disk/by-label/frobnicate "$PWD/at"; echo $?; mount -o bind "$PWD/nowhere" at; echo $?; umount "$PWD/at"; echo $?`,
    {
      exitCode: 0,
      stdout: '32\n32\n32\n',
      stderr:
        /^mount: \/run\/transcript\/at: fsconfig\(\) failed: \/dev\/disk\/by-label\/frobnicate: Can't lookup blockdev\.\n[\s\S]*mount: \/run\/transcript\/at: special device \/run\/transcript\/nowhere does not exist\.[\s\S]*umount: \/run\/transcript\/at: not mounted\.\n$/,
    },
  ),
  step(
    'what has no file system that is known',
    'blkid -p -o export /dev/zero; echo $?; blkid -p -o export /dev/disk/by-label/frobnicate; echo $?',
    { exitCode: 0, stdout: '2\n2\n' },
  ),
]

/** Each by itself; in any order. */
export const ofRoot: readonly Script[] = [...files, ...packages, ...units, ...network, ...mounts]
