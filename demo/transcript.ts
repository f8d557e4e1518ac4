/**
 * What root's shell is answered in a slot: Docker, Compose, the image's units and its network card. As what is answered in any
 * Debian (lab/transcript/root.ts), it is so in fake slots and in real ones, and nothing of it disturbs who is served.
 */
import { good, type Wanted } from '../lab/transcript/run.ts'
import type { Script } from '../lab/transcript/batch.ts'

/** What the steps find in their environment. */
export interface SlotVariables extends Readonly<Record<string, string>> {
  /** A container image of the slot, by its digest. */
  readonly IMAGE: string
  /** A container that runs in every slot. */
  readonly CONTAINER: string
  /** The slot's own address. */
  readonly ADDRESS: string
}

const step = (name: string, script: string, wanted: Wanted | string): Script => ({
  name,
  script,
  wanted: typeof wanted === 'string' ? { ...good(wanted), stderr: '' } : wanted,
})

/** A project of its own, of one container that does nothing; all of it goes again. */
const project = `export HOME=/root COMPOSE_IGNORE_ORPHANS=true
echo "services: {one: {image: '$IMAGE', container_name: transcript_one, pull_policy: never, network_mode: none, init: true, entrypoint: [nginx], command: [-g, daemon off;]}}" > compose.yaml; echo name: transcript >> compose.yaml; : > compose.env
compose() { /usr/libexec/docker/cli-plugins/docker-compose --ansi never --progress plain --env-file "$PWD/compose.env" -f "$PWD/compose.yaml" "$@"; }
trap 'docker rm --force transcript_one > /dev/null 2>&1' EXIT
`

export const ofSlot: readonly Script[] = [
  step(
    'container images by their digest',
    `docker image inspect --format '{{json .RepoDigests}}' "$IMAGE" | grep -c "@\${IMAGE##*@}\\""; docker image inspect --format '{{.Size}}' "$IMAGE" | grep -cE '^[0-9]{6,}$'
docker image ls --digests --format '{{.Digest}}' > all; grep -cxF "\${IMAGE##*@}" all; grep -vxE 'sha256:[0-9a-f]{64}' all`,
    { exitCode: 1, stdout: '1\n1\n1\n', stderr: '' },
  ),
  step(
    'images and containers that are not there',
    `docker image inspect --format '{{.Size}}' frobnicate; echo $?; docker inspect --format '{{.State.Pid}}' frobnicate; echo $?; docker rm --volumes frobnicate; echo $?
docker cp frobnicate:/. - > out; echo $?; test -s out; echo $?; docker create --pull never --network none "\${IMAGE%@*}@sha256:$(printf '%064d' 0)" true > said 2> wrong; echo $?; cut -d @ -f 1 wrong`,
    {
      exitCode: 0,
      stdout: /^\n1\n\n1\n1\n1\n1\n1\nError response from daemon: No such image: [^@]+\n$/,
      stderr: `Error response from daemon: No such image: frobnicate:latest
Error: No such object: frobnicate
Error response from daemon: No such container: frobnicate
Error response from daemon: No such container: frobnicate
`,
    },
  ),
  step(
    'containers, networks and volumes by what Docker calls them',
    `docker ps --all --quiet > all; grep -c . all > /dev/null; echo $?; grep -vxE '[0-9a-f]{12}' all
docker network ls --quiet --filter type=custom > networks; echo $?; grep -vxE '[0-9a-f]{12}' networks; docker volume ls --quiet > volumes; echo $?; grep -vxE '[a-zA-Z0-9][a-zA-Z0-9_.-]*' volumes`,
    { exitCode: 1, stdout: '0\n0\n0\n', stderr: '' },
  ),
  step(
    'a container that nobody starts, and what is in it',
    `id=$(docker create --pull never --network none "$IMAGE" true); echo "$id" | grep -cxE '[0-9a-f]{64}'; docker inspect --format '{{.State.Status}} {{.State.Pid}}' "$id"
install -d in; docker cp "$id:/." - | tar -x -C "$PWD/in" --no-same-owner --no-same-permissions --wildcards './etc/os-release' './frobnicate/*'; echo $?; test -e in/etc/os-release -o -L in/etc/os-release; echo $?; ls in
docker rm --volumes "$id" > said; echo $?; test "$(cat said)" = "$id"; echo $?; docker rm --volumes "$id" 2> /dev/null; echo $?`,
    {
      exitCode: 0,
      stdout: '1\ncreated 0\n2\n0\netc\n0\n0\n1\n',
      stderr: 'tar: ./frobnicate/*: Not found in archive\ntar: Exiting with failure status due to previous errors\n',
    },
  ),
  step(
    "a container's first process, and its network",
    `pid=$(docker inspect --format '{{.State.Pid}}' "$CONTAINER"); test "$pid" -gt 0; echo $?; nsenter --target "$pid" --net /bin/true; echo $?; nsenter --target 999999999 --net /bin/true; echo $?`,
    { exitCode: 0, stdout: '0\n0\n1\n', stderr: 'nsenter: cannot open /proc/999999999/ns/net: No such file or directory\n' },
  ),
  step(
    'a project of Compose from its making to its end',
    `${project}compose up --no-start --no-build one 2> said; echo $?; grep -o 'Container transcript_one  Created' said; docker inspect --format '{{.State.Status}}' transcript_one
compose up --detach --no-build one 2> said; echo $?; grep -o 'Container transcript_one  Started' said; docker inspect --format '{{.State.Status}}' transcript_one
compose down --volumes --timeout 5 2> said; echo $?; docker inspect --format '{{.State.Status}}' transcript_one; echo $?`,
    {
      exitCode: 0,
      stdout: `0
Container transcript_one  Created
created
0
Container transcript_one  Started
running
0

1
`,
      stderr: 'Error: No such object: transcript_one\n',
    },
  ),
  step(
    'a container of a project that runs once',
    `${project}compose run --rm --no-deps -T one -v > said 2>&1; echo $?; docker ps --all --quiet --filter name=transcript; compose run --rm --no-deps -T frobnicate; echo $?`,
    { exitCode: 0, stdout: '0\n1\n', stderr: 'no such service: frobnicate\n' },
  ),
  step(
    'what Compose refuses',
    `${project}sed -i "s|@sha256:[0-9a-f]*|@sha256:$(printf '%064d' 0)|" compose.yaml; compose up --no-start --no-build one > /dev/null 2> said; echo $?; grep -c 'No such image' said
rm compose.env; compose up --no-start --no-build one; echo $?`,
    { exitCode: 0, stdout: '1\n1\n1\n', stderr: "Couldn't find env file: /run/transcript/compose.env\n" },
  ),
  step(
    "the image's units",
    'systemctl is-active docker.service golden-seed.service golden-firewall.service golden-watch.service; echo $?; systemctl is-enabled docker.service golden-watch.service nftables.service; echo $?',
    'active\nactive\nactive\nactive\n0\nenabled\nenabled\nmasked\n0\n',
  ),
  step(
    'apt without lists of packages, as an image is',
    `export DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1
apt-get -qq -o APT::Get::Always-Include-Phased-Updates=true -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Use-Pty=0 dist-upgrade --yes --no-install-recommends; echo $?`,
    '0\n',
  ),
  step(
    'a repository',
    'install -d repository; cd repository || exit; git init --quiet --initial-branch=main; echo $?; git config receive.denyCurrentBranch updateInstead; echo $?; test -d .git/refs/heads; echo $?',
    '0\n0\n0\n',
  ),
  step(
    'an address in the network: whether it is free, and whose it is',
    'arping -q -D -c 1 -w 1 -I eth0 192.0.2.77; echo $?; arping -q -U -c 1 -w 1 -I eth0 "$ADDRESS"; echo $?',
    '0\n0\n',
  ),
]
