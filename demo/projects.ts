/** Work on the projects over SSH from the admin network, with the programs that people use: git, SFTP, rsync. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { jailedProjectsFolder, projectsFolder, projectsOnDisk } from '../images/guest/places.ts'
import { buildRoot, inRoot, type Root } from '../lab/debian/root.ts'
import { ofLab } from './lab-failure.ts'
import { projectsKeyFile } from './lab-site.ts'
import { groupWithRole, type Site } from '../settings/site.ts'
import { hostKeyFile } from '../settings/secrets/places.ts'
import { readProjectFile, type OutsideAccess } from './access.ts'
import { expectEqual, expectThat, type Checks } from './checks.ts'
import { inGuest, type Guest } from './survive.ts'

export interface ProjectsPlace {
  readonly site: Site
  readonly access: OutsideAccess
  readonly guest: Guest
  /** Port on loopback of the way into the lab's LAN; it comes out in the admin network. */
  readonly socksPort: number
  /** For a short time. */
  readonly scratch: string
  readonly signal: AbortSignal
}

/** As whom people log in (images/rootfs/usr/lib/sysusers.d). */
const user = 'projects'

export async function checkProjects(checks: Checks, place: ProjectsPlace): Promise<void> {
  const { site, access, guest, signal } = place
  const serena = groupWithRole(site, 'serena')
  const project = site.serena.projects[0]?.name
  if (serena === undefined || project === undefined) throw new Error('the site has no project')
  const address = serena.group.service
  const root = await ofLab(() => buildRoot({ log: () => {}, signal }))
  const folder = await mkdtemp(join(place.scratch, 'ssh-'))
  try {
    const hostKey = await readFile(join(access.folder, `${hostKeyFile(serena.name)}.pub`), 'utf8')
    await writeFile(join(folder, 'known_hosts'), `${address} ${hostKey}`)
    await writeFile(join(folder, 'key'), await readFile(join(access.folder, projectsKeyFile)), { mode: 0o600 })
    const run = (script: string): Promise<string> => atHome(root, folder, { address, socksPort: place.socksPort, project, signal }, script)
    await checks.check(
      "SSH from the admin network: a git push reaches the files that Serena works on, and a fetch brings Serena's back",
      async () => {
        await run(`
git clone -q $there:$project /tmp/work && cd /tmp/work
echo pushed > by-git.txt && git add by-git.txt && git commit -qm 'by git' && git push -q`)
        expectThat((await readProjectFile(access, 'by-git.txt')).includes('pushed'), 'Serena does not see the file that was pushed')
        // What Serena works on and nobody has committed: the next push keeps it.
        await inGuest(guest, `echo mine > /srv/golden/projects/${project}/by-git.txt`)
        const kept = await run(`
git clone -q $there:$project /tmp/work && cd /tmp/work
echo again > by-git.txt && git commit -qam again && git push -q
git fetch -q origin 'refs/serena/kept/*:refs/kept/*' && git for-each-ref --format='%(refname)' refs/kept | while read -r ref; do git show "$ref:by-git.txt"; done`)
        expectEqual('what Serena had not committed', kept, 'mine\n')
      },
    )
    await checks.check('SSH from the admin network: SFTP and rsync, both ways', async () => {
      const found = await run(`
echo sftp > /tmp/by-sftp.txt && echo rsync > /tmp/by-rsync.txt
echo "put /tmp/by-sftp.txt $project/" | sftp -q -b - -S /tmp/ssh $there > /dev/null
rsync -e /tmp/ssh /tmp/by-rsync.txt $there:$project/
rsync -e /tmp/ssh $there:$project/by-sftp.txt /tmp/one
echo "get $project/by-rsync.txt /tmp/two" | sftp -q -b - -S /tmp/ssh $there > /dev/null
cat /tmp/one /tmp/two`)
      expectEqual('what came back', found, 'sftp\nrsync\n')
    })
    await checks.check(
      'SSH from the admin network: no shell, no forwarding, nothing but the projects; their user owns nothing else',
      async () => {
        const reached = await run(`
/tmp/ssh $there id < /dev/null && echo 'a shell'
/tmp/ssh -W 127.0.0.1:22 $there < /dev/null | grep -a SSH- && echo 'a forwarding'
for path in /etc/shadow /etc/golden/image.json /srv/golden/serena/serena_config.yml /run/golden/seed/seed.json; do
  echo "get $path /tmp/stolen" | sftp -q -b - -S /tmp/ssh $there > /dev/null 2>&1 && echo "$path"
done; true`)
        expectEqual('what was reached', reached, '')
        // The jail's is a mount of the projects. Layers of container images have numbers of users of their own, in a folder that is closed to this one.
        const owned = await inGuest(
          guest,
          `find / /srv/golden -xdev -user ${user} -not -path '/srv/golden/projects*' -not -path '/opt/golden/jail/srv/golden/projects*' -not -path '/var/lib/docker/*'; stat -c %a /var/lib/docker | grep -v '0$' || true`,
        )
        expectEqual(`what else belongs to ${user}`, owned, '')
        const onDisk = await inGuest(guest, `find /srv/golden -xdev -uid ${projectsOnDisk} -not -path '${projectsFolder}*'`)
        expectEqual('what else on the data disk is theirs', onDisk, '')
        expectThat(
          (await inGuest(guest, `find ${jailedProjectsFolder} -user ${user} | head -n 1`)) !== '',
          `the projects do not belong to ${user}`,
        )
      },
    )
    await checks.check('a project with a git URL is cloned in its sandbox, and its files belong to the people', async () => {
      try {
        await inGuest(guest, firstClone)
        const cloned = `${jailedProjectsFolder}/cloned`
        const seen = await inGuest(guest, `cat ${cloned}/hello.txt; stat -c %U ${cloned}/hello.txt ${cloned}/.git/config; cat ${report}`)
        expectEqual('the clone', seen, `hello\n${user}\n${user}\n[]`)
      } finally {
        await inGuest(guest, 'rm -rf /run/golden/projects /opt/demo /srv/golden/projects/cloned')
      }
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const report = '/run/golden/projects/report.json'

/** The VM reaches no git host here: the unit gets a repository in the VM, as the seed would name one elsewhere. */
const firstClone = `set -eu
export HOME=/nonexistent GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
mkdir /opt/demo && git init -q -b main /opt/demo/made && cd /opt/demo/made && echo hello > hello.txt && git add . && git commit -qm first
git clone -q --bare /opt/demo/made /opt/demo/origin.git && chown -R serena:serena /opt/demo/origin.git
setpriv --reuid ${projectsOnDisk} --regid ${projectsOnDisk} --clear-groups /opt/golden/node/bin/node /usr/local/lib/golden/prepare.js projects cloned
install -d -o serena -g serena -m 0700 /run/golden/projects
echo '[{"name":"cloned","git":"file:///opt/demo/origin.git"}]' > /run/golden/projects/wanted.json && chown serena /run/golden/projects/wanted.json
systemctl start --wait golden-projects.service
`

interface Home {
  readonly address: string
  readonly socksPort: number
  readonly project: string
  readonly signal: AbortSignal
}

/** Runs a script at a person's computer: Debian, with their key, behind the lab's SOCKS proxy. @returns its output */
async function atHome(root: Root, folder: string, { address, socksPort, project, signal }: Home, script: string): Promise<string> {
  const setUp = `set -eu
there='${user}@${address}' project='${project}'
cat > /tmp/ssh <<'END'
#!/bin/sh
exec ssh -F none -q -i /home/key -o BatchMode=yes -o UserKnownHostsFile=/home/known_hosts -o StrictHostKeyChecking=yes -o 'ProxyCommand=/opt/node /opt/demo/through-socks.ts ${socksPort} %h %p' "$@"
END
chmod 755 /tmp/ssh
export GIT_SSH_COMMAND=/tmp/ssh NODE_NO_WARNINGS=1
git config --global user.name demo; git config --global user.email demo@example.org
`
  const { stdout } = await inRoot(root, ['bash', '-c', setUp + script], {
    binds: [
      { from: folder, to: '/home' },
      { from: process.execPath, to: '/opt/node' },
      ...['demo/through-socks.ts', 'core/socks.ts'].map((file) => ({ from: join(import.meta.dirname, '..', file), to: `/opt/${file}` })),
    ],
    signal,
  })
  return stdout
}
