/**
 * Every failure that this project tells of, by its code: what it means, what mends it, and what the CLI ends with. The message
 * of the moment says more; this is what there is to know before. docs/failures.md is made from it, and the compiler takes the
 * codes from it.
 */

/** 1, 2 (wrong usage) or 130 (stopped). */
export type ExitCode = 1 | 2 | 130

export interface KnownFailure {
  readonly means: string
  readonly mends: string
  readonly exit: ExitCode
}

const failure = (means: string, mends: string, exit: ExitCode = 1): KnownFailure => ({ means, mends, exit })

const again = 'Run the same command again: it looks first, and goes on from there.'
const inTheSite = (setting: string): string => `Correct \`${setting}\` in site.ts.`

export const failures = {
  'The command line': {
    usage: failure('A word, flag or number that the verb does not take.', '`npx golden VERB --help`.', 2),
    'admin-malformed': failure('`--admin` has no realm.', "user@realm, or a token's id in quotes.", 2),
    'client-unknown': failure('There are no settings for that MCP client.', 'One of those that the message names.', 2),
    'client-without-sse': failure(
      'That client does not speak SSE, and nothing else is deployed.',
      "Add 'streamable-http' to `serena.transports`.",
      2,
    ),
    'client-file-unfit': failure(
      "A client's configuration can't be read as what it should be, or changed without changing more of it.",
      'Mend the file, or put the entry in by hand.',
    ),
    'client-file-busy': failure('Somebody else has changed it in that very moment.', 'Quit the client, and run the same command again.'),
    'client-entry-taken': failure('It has another server of that name.', '`--name` for one beside it, `--replace` for one in its place.'),
    'user-unknown': failure('`serena.users` does not have that name.', 'One of those that the message names.', 2),
    'group-unknown': failure('Neither site.ts nor deployment.json has that group.', 'One of those that the message names.', 2),
    'not-confirmed': failure('Nobody said yes, or there is no terminal to ask on.', 'The flag that the hint names.'),
    bug: failure('Something that nobody thought of. It is a fault of this project.', 'Report it, with what was shown.'),
    cancelled: failure('Stopped by you.', again, 130),
  },
  'Site folder, secrets and certificates': {
    'site-missing': failure('There is no site file.', '`npx golden init`, or GOLDEN_SITE.'),
    'site-unreadable': failure("site.ts can't be read or run as a module.", 'Mend the place that the message names.'),
    'site-invalid': failure("Settings that can't be, all of them at once, with their path.", 'Mend them in site.ts.'),
    'site-folder-unclear': failure('GOLDEN_SITE is empty, or begins with a `~` that no shell has replaced.', 'A whole path.'),
    'site-renamed': failure('site.ts has another `name` than what was deployed.', 'Put the former name back.'),
    'secret-unavailable': failure(
      'A password, key or certificate that the site names is not there.',
      '`npx golden init` makes what can be made; else put it there.',
    ),
    'secret-unfit': failure(
      'It is no plain UTF-8 text, or has several lines, blanks at its ends or control characters.',
      'Mend the file or variable.',
    ),
    'secret-in-the-open': failure('A secret would be written where git does not ignore it.', 'A path below secrets/.'),
    'handed-in-unfit': failure('Several such things, or an own certificate that clients would refuse.', 'Mend what the message lists.'),
    'ca-unreadable': failure('What should be a CA is no certificate.', 'Put it back, or make it anew as the hint says.'),
    'ca-too-narrow': failure(
      "The site's CA may not sign for a name that the site has now.",
      '`npx golden init --new-ca`; every client then trusts the new one.',
    ),
    'ca-key-unusable': failure("The CA's key is not there, or another one's.", 'From your backup, or `npx golden init --new-ca`.'),
    'signing-key-missing': failure(
      'The key that images are signed with is not there.',
      '`npx golden init` makes it, or `image.signingKey`.',
    ),
    'signing-failed': failure("ssh-keygen can't sign with that key, or read `allowed-signers`.", 'What it says.'),
    'ssh-keygen-missing': failure('ssh-keygen is not on PATH.', "OpenSSH's client programs, from 8.2 on."),
    'release-key-unusable': failure('secrets/release-key is no key.', 'From your backup, or remove it.'),
    'deployment-invalid': failure('deployment.json is not as golden writes it.', 'The last good one, e.g. with git.'),
    'deployment-unreadable': failure("deployment.json can't be read.", 'Read access for you.'),
    'folder-not-makeable': failure(
      "A folder for the site, the cache or temporary files can't be made.",
      'The variable that the message names.',
    ),
    'file-not-allowed': failure('This user may not use a file.', 'chown or chmod, or another place.'),
    'file-in-the-way': failure('A file is where a folder has to be, or the other way round.', 'Move it away.'),
    'disk-full': failure('No space is left on this computer.', 'Make space, run again.'),
  },
  'First contact and setup': {
    'fingerprint-not-confirmed': failure("Nobody has compared the host's certificate yet.", '`--fingerprint`, once compared.'),
    'fingerprint-differs': failure('The certificate is not the one that was given.', 'Compare with the node: System, Certificates.'),
    'certificate-name': failure("The host's certificate is not for the name in `proxmox.url`.", 'One of the names that the hint lists.'),
    'certificate-not-trusted': failure('What is pinned does not verify the host.', 'If it changed on purpose, `npx golden setup` again.'),
    'admin-secret-missing': failure(
      "There is neither a terminal nor a variable for the administrator's secret.",
      'PROXMOX_ADMIN_PASSWORD or PROXMOX_ADMIN_TOKEN.',
    ),
    'admin-not-accepted': failure('Proxmox does not accept the administrator.', 'User with realm, and password or token.'),
    'admin-not-allowed': failure('The administrator may not prepare this Proxmox.', 'root@pam, or the role Administrator on /.'),
    'login-refused': failure('Proxmox does not accept the password.', 'User with realm, and password.'),
    'tfa-needed': failure('The login asks for a second factor.', "An administrator's API token."),
    'version-too-old': failure('Proxmox VE is older than what works.', 'Upgrade it.'),
    'version-mixed': failure('The cluster is between two versions.', 'End the upgrade of all nodes.'),
    'no-disk-storage': failure("No storage of the node can have VMs' disks.", 'One of the kinds that the hint lists.'),
    'no-free-addresses': failure('The network has too few free addresses for a site.', '`--one-vm`, or another network.'),
    'pool-shared': failure("A pool has what is not this project's.", 'Another pool in site.ts.'),
    'iso-storage-shared': failure('The ISO storage is for more than ISOs and imports.', 'Another storage in site.ts; setup makes it.'),
    'iso-path-taken': failure("The ISO storage's folder lies in another storage's, or around it.", inTheSite('proxmox.storage.isoPath')),
    'storage-without-images': failure('The disk storage is not enabled for disk images.', 'Enable it as the hint says.'),
    'token-exists': failure('There is a token already, and its secret is not here.', '`--new-token`, or put the secret there.'),
    'token-secret-lost': failure('The token may have been made, but its secret did not arrive.', '`--new-token`.'),
    'caller-outside-admin': failure('Turning the datacenter firewall on may lock you out.', 'Your network into `network.admin`.'),
    'setup-in-use': failure(
      'What setup has made is needed: VMs, data, images or seeds of this site are there.',
      'What the message names for each; then `npx golden setup --remove` again.',
    ),
    'firewall-not-confirmed': failure('Nobody has agreed to what turning the firewall on closes.', '`--yes`, once read.'),
  },
  Proxmox: {
    'proxmox-unreachable': failure(
      'Proxmox stayed away for two minutes, or never answered.',
      'The address, the network, the host; then run again.',
    ),
    'not-proxmox': failure('What answers is no Proxmox VE.', inTheSite('proxmox.url')),
    'not-authenticated': failure('The token is not accepted.', '`npx golden setup --new-token`.'),
    'token-malformed': failure('The token or its secret is not one word.', 'The secret alone, in one line.'),
    'permission-denied': failure(
      'The token lacks a right: the message has the privilege and its path in Proxmox.',
      '`npx golden setup` repairs roles and pools.',
    ),
    'proxmox-refused': failure('Proxmox refuses, in its own words.', 'What it complains about; then run again.'),
    'task-failed': failure('A task of Proxmox failed.', 'Its log, in Proxmox.'),
    'task-timeout': failure('A task of Proxmox goes on for too long.', 'Look at it in Proxmox, then run again.'),
    'storage-full': failure('A storage of Proxmox has no room.', 'Make room, then run again.'),
    'node-missing': failure('The cluster has no such node.', 'What the hint says: proxmox.node, or the node of a deployed group.'),
    'node-offline': failure('The node is off.', 'Start it, or bring it back.'),
    'storage-missing': failure(
      'A storage is not there, or the token may not use it.',
      'The setting that the message names, or `npx golden setup`.',
    ),
    'storage-inactive': failure('A storage is disabled or not mounted.', 'Enable it in Proxmox.'),
    'storage-content': failure('A storage is not enabled for what it is used for.', '`npx golden setup`, or another storage.'),
    'storage-kind': failure("A storage of this type can't do what is needed.", 'Another storage in site.ts.'),
    'bridge-missing': failure('There is no such bridge or vnet, or the token may not use it.', inTheSite('proxmox.bridge')),
    'agent-timeout': failure('The guest agent of a VM does not answer.', "The VM's console; the data has not left its depot."),
    'agent-exec-timeout': failure('A program in a guest goes on for too long.', "The VM's console."),
    'agent-exec-lost': failure('A program in a guest has ended, and how was told to nobody.', again),
    'changed-meanwhile': failure('Somebody else was quicker, every time.', 'See who else is at it, then run again.'),
    'vm-missing': failure('A VM is not there any more, or on another node.', again),
    'vm-locked': failure('A VM is locked, or stays so.', 'Its tasks in Proxmox; `qm unlock` ends a lock that nobody holds.'),
  },
  Bake: {
    'lock-missing': failure('There is no images.lock.json.', '`npx golden lock`.'),
    'lock-invalid': failure('images.lock.json is not as it has to be.', '`npx golden lock`, or mend it.'),
    'lock-outdated': failure(
      'images.lock.json is of another base, other archives or another version of the project.',
      '`npx golden lock`.',
    ),
    'bake-in-progress': failure(
      'Another bake or verification of this site is going on: both use the build address.',
      'Wait for it, or remove what the message names.',
    ),
    'verification-failed': failure('An image does not do all that a slot has to do.', 'What its checks say; then bake another one.'),
    'template-range-full': failure('All VMIDs for templates are in use.', 'Remove images, or widen `proxmox.templates`.'),
    'base-missing': failure("The base image's file can't be read.", inTheSite('image.base.file')),
    'base-not-locked': failure('site.ts leaves the base image to the lock, which has none.', '`npx golden lock`.'),
    'base-unknown': failure('No build of the base image is found where it should be.', inTheSite('image.base')),
    'base-signature': failure('A list of checksums is not what the distribution has signed.', 'Find out who altered it; another server.'),
    'base-checksum': failure(
      'The base image has another checksum than is pinned or listed.',
      "The checksum from the distribution's own list.",
    ),
    'base-larger-than-disk': failure("The base's disk is larger than the image's.", inTheSite('image.build.diskGiB')),
    'base-elsewhere': failure('The base template is on another node or storage.', 'Migrate or remove it.'),
    'base-ambiguous': failure("Another VM has the base template's name, by which Packer looks for it.", 'Rename or remove that one.'),
    'base-unlisted': failure("Proxmox's list does not show the base template's name.", 'Its status daemon; then bake again.'),
    'bake-no-ssh': failure('The build VM does not answer by SSH.', 'A free address and a way to it: `image.build`, `proxmox.socksProxy`.'),
    'bake-first-boot': failure('cloud-init did not end well in the build VM.', 'The base image, and a free `image.build.address`.'),
    'bake-packages-differ': failure(
      'apt has not installed what the lock says; the message names it.',
      '`npx golden lock`, then bake again.',
    ),
    'bake-packages-gone': failure(
      'An archive no longer has the state that the lock says.',
      '`npx golden lock --packages`, then bake again.',
    ),
    'bake-archive-signature': failure(
      'apt refuses an archive that its key does not vouch for.',
      'Find out who altered it; `image.archives`.',
    ),
    'bake-image-altered': failure('A registry serves something else under a locked digest.', 'Find out why; another registry.'),
    'bake-image-pull': failure("The build VM can't pull a container image.", 'Its way to the registry; `npx golden lock`.'),
    'bake-inventory': failure("What is in a container image can't be read for the SBOM.", 'What Docker or tar says in the build VM.'),
    'bake-script-failed': failure('A step in the build VM failed.', 'What its last lines say.'),
    'bake-check-failed': failure('The image failed a check and was thrown away.', 'What the check names.'),
    'bake-disk-full': failure("The build VM's disk is full.", inTheSite('image.build.diskGiB')),
    'bake-container-run': failure('A container image does not run as compose.yaml wants.', 'The image in images.lock.json.'),
    'bake-mapped-mount': failure("The base can't map ids in a mount.", 'Linux 5.12 and util-linux 2.39, or newer.'),
    'bake-package-lock': failure('Another package manager keeps its lock for ten minutes.', 'What the message names, in the base.'),
    'npm-failed': failure("npm does not get the image's language servers.", 'Its registry, HTTPS_PROXY.'),
    'packer-failed': failure('Packer failed, in its own words.', 'What it says.'),
    'packer-killed': failure('Packer was ended from outside.', 'Mostly a full memory; bake again.'),
    'packer-missing': failure('Packer is not on PATH.', 'Run the verb as `npx golden …`.'),
    'image-revoked': failure('An image is revoked, and is not deployed, promoted or baked again.', 'Another one: see `npx golden images`.'),
    'base-revoked': failure('The base image is revoked: nothing is made from it any more.', inTheSite('image.base')),
    'image-doomed': failure('A bake elsewhere is removing the template that this one would finish.', 'Bake again.'),
  },
  'Deploy, destroy and the data': {
    'sbom-missing': failure("An image's SBOM is not in `records/`, or is another one.", 'From the computer that baked it, or git.'),
    'osv-missing': failure(
      'There is no data of vulnerabilities of what is in the image: so nothing is said.',
      "osv.dev's exports, or `--download`.",
    ),
    'osv-unreachable': failure(
      "osv.dev's data can't be fetched.",
      'The network, HTTPS_PROXY; or a folder of your own, without `--download`.',
    ),
    'no-image': failure("There is no image of the site's base.", '`npx golden bake`.'),
    'image-not-promoted': failure(
      'No image has come into the channel that the site takes.',
      '`npx golden promote IMAGE`, or `image.channel`.',
    ),
    'image-not-verified': failure(
      'An image has failed its verification, or the site asks for one and it has none.',
      '`npx golden verify`, or another image.',
    ),
    'image-unsigned': failure(
      "An image's record is not signed, and the site asks for that.",
      '`npx golden sign IMAGE`, if you vouch for it.',
    ),
    'image-altered': failure("An image's record is not as it was signed.", 'See who has changed it; then another image.'),
    'image-signer-unknown': failure(
      "An image's record is signed with a key that the site does not know.",
      'Its public key in `allowed-signers`, if it is trusted.',
    ),
    'image-disk-differs': failure("An image's disk is not the one that its record names.", 'See who has changed it; then another image.'),
    'image-in-use': failure('Something was made from a template that was to be removed.', 'What the message names; then run again.'),
    'notes-full': failure("There is no room for a record in a template's notes.", 'Shorten in Proxmox what people have written there.'),
    'image-elsewhere': failure('The image is on another node or storage.', '`npx golden bake`, or migrate it.'),
    'image-changed': failure('The pinned template is another one by now.', 'Put it back, or destroy and deploy.'),
    'image-of-other-version': failure('The newest image reads another form of seed.', '`npx golden bake`.'),
    'image-without-lego': failure(
      "The site's certificate is an ACME server's, and the image has no lego, which gets it.",
      '`npx golden lock`, then `npx golden bake`.',
    ),
    'deploy-in-progress': failure('Another run changes what this site has deployed.', 'Wait for it.'),
    'group-claimed': failure(
      'A run on another computer, or from another copy of the site folder, is at that group.',
      'Wait for it. Of one that is dead, from the time on that the message names, the next run takes over by itself.',
    ),
    'claim-lost': failure(
      'Another run has taken over the group while this one was at it.',
      'See who is at it with `npx golden status`, then run again.',
    ),
    'pins-busy': failure('Another process has been changing deployment.json for half a minute.', 'Wait for it; the message names it.'),
    'address-pinned': failure('site.ts gives away an address that something deployed has.', 'Another address, or end that release.'),
    'vmid-pinned': failure('site.ts gives away a VMID that something deployed has.', 'Another VMID.'),
    'vmid-taken': failure("A VMID is somebody else's VM. It was not touched.", 'Another VMID; see the hint.'),
    'vm-elsewhere': failure('A slot or depot was migrated to another node.', 'Migrate it back.'),
    'deployment-outdated': failure(
      'deployment.json is from before a rollout: the slot that serves is not in it.',
      'The newer deployment.json, from git or from whoever rolled out.',
    ),
    'vm-not-in-state': failure("A slot's VM runs that Terraform's state does not know.", 'The state, where `backend` says.'),
    'vm-suspended': failure('A VM is hibernated; its disks are not to be touched.', '`qm resume`.'),
    'depot-missing': failure('A depot is not there, or is not ours.', '`npx golden setup`.'),
    'depot-running': failure('A depot runs.', 'Stop it in Proxmox.'),
    'depot-unprotected': failure('A depot is not protected.', '`npx golden setup`.'),
    'pin-lost': failure('A slot owns the data, and deployment.json has no release for it.', 'Restore deployment.json, or destroy.'),
    'release-not-pinned': failure('deployment.json pins another release by now.', '`npx golden deploy`.'),
    'other-release': failure('A VM runs another release than what is pinned.', 'Destroy and deploy; the data is kept.'),
    'seed-differs': failure('A lost seed would not be made again as it was.', 'The former secrets or key, or destroy and deploy.'),
    'slot-missing': failure('A slot has no VM.', '`npx golden deploy`.'),
    'slot-silent': failure("The agent answers, but the guest's own program does not.", "The VM's console."),
    'slot-refused': failure('The guest refuses a step, in its own words.', '`slotctl status` in the VM.'),
    'data-disk-missing': failure('The data disk is in no place that is known.', '`qm disk rescan` first, as the hint says; then a backup.'),
    'data-disk-blank': failure(
      'The data disk is empty, and is not marked as new. Nothing was written.',
      'See the hint: it may be another disk.',
    ),
    'data-disk-foreign': failure('The data disk holds something else. Nothing was written.', 'Look at it from another VM.'),
    'data-disk-in-use': failure('The other slot owns the data disk.', 'Destroy first.'),
    'several-data-disks': failure('More than one disk could be the data.', 'Remove in Proxmox what is not.'),
    'data-in-use': failure('A group still has a VM.', '`npx golden destroy GROUP` first.'),
    'delete-data-interrupted': failure('Deleting data was interrupted.', 'Run `delete-data` of that group again.'),
    'disk-in-snapshot': failure('A snapshot holds the data disk.', 'Remove the snapshot.'),
    'ha-managed': failure('HA manages one of the VMs.', '`ha-manager remove`.'),
    replicated: failure('A replication job is in the way.', '`pvesr delete`.'),
    'handover-refused': failure('Proxmox does not put the data disk back.', 'What it says; then destroy again.'),
    'not-deployed': failure('A group has no slot that runs.', '`npx golden deploy`.'),
    'rollout-elsewhere': failure('A data disk is handed over within one node.', 'The former `proxmox.node`; or destroy, migrate, deploy.'),
    'rollout-unfinished': failure(
      'A rollout was interrupted.',
      '`npx golden rollout GROUP` goes on, `npx golden rollback GROUP` goes back.',
    ),
    'rollout-failed': failure('The new slot does not serve; the old one does again.', 'The reason that is told; then roll out again.'),
    'slot-disk-full': failure(
      'A disk of a VM has no room: what is stopped might not start again.',
      'Room on the disk that is named; then run the same command again.',
    ),
    'nothing-to-go-back-to': failure('There is no old slot.', '`npx golden rollout` with the settings, or `--image`, of before.'),
    'restore-point-missing': failure(
      'There is no restore point of the state as the image of the old slot had left it.',
      '`npx golden rollback GROUP` goes back with the state as it is.',
    ),
    'image-unknown': failure('There is no image of that name.', 'One of those that the message names.', 2),
    'no-progress': failure('A step had no effect, three times.', 'The task log in Proxmox.'),
    'wait-timeout': failure('Something was waited for in vain.', 'The VM in Proxmox, then run again.'),
  },
  'The night': {
    'night-in-progress': failure('Another nightly run of this site is going on.', 'Wait for it; the message names it.'),
    'git-impossible': failure('The site folder is not where `nightly.git` could put its files.', 'What the message names.'),
    'git-refused': failure('Git refuses, in its own words.', 'That command by hand; the next night tries again.'),
    'git-diverged': failure(
      "Others have pushed what the night's commit can't be put on by itself.",
      '`git pull --rebase --autostash` in the site folder.',
    ),
    'git-command-failed': failure('The command that asks for a merge failed.', inTheSite('nightly.git.command')),
    'timer-not-started': failure('systemd does not start the timer.', 'What it says; or cron, or CI: docs/nightly.md.'),
  },
  'In a VM, by slotctl (the rollout tells them through slot-refused)': {
    'no-seed': failure('The VM was not deployed.', '`npx golden deploy`.'),
    'bad-seed': failure("This image can't use its seed.", '`npx golden bake`, then destroy and deploy.'),
    'no-acme': failure("The public certificate is no ACME server's.", 'Set `public.certificate: acme({…})`.'),
    'not-active': failure('The slot has no data, and asks no ACME server.', 'Ask the other one.'),
    'too-soon': failure('Too many tries for a certificate have failed within an hour.', 'Wait for the time that the message names.'),
    'try-failed': failure('The try for a certificate could not be started.', 'What systemd says.'),
    'disk-absent': failure('There is no data disk.', '`npx golden deploy`.'),
    'disk-blank': failure('The data disk has no file system.', '`npx golden deploy`.'),
    'disk-foreign': failure('The data disk holds something else.', 'Look at it from another VM.'),
    'disk-not-blank': failure('Only a blank disk is formatted.', 'Look at it from another VM.'),
    'disk-busy': failure('The data disk is in use.', 'What the message names still runs: stop it there.'),
    'format-failed': failure('mkfs failed.', 'What it says.'),
    'mount-failed': failure('The data disk is not mounted.', 'What systemd says.'),
    'stop-failed': failure('The services do not stop.', 'What systemd says.'),
    'still-owner': failure('Only a slot without the data passes its clients on.', '`npx golden rollout GROUP`.'),
    'state-in-use': failure('Only a slot without the data is told what to do with its state.', '`npx golden rollout GROUP`.'),
    'address-stuck': failure('The service address does not leave.', 'What `ip address` says in the VM.'),
    'address-taken': failure('Somebody else answers for the service address.', 'Who has it in the network; it is tried again.'),
    'no-loki': failure('This VM has no Loki.', 'Ask the VM with the role logging.'),
    'no-room': failure('A disk of this VM is full.', 'Which one, `slotctl status` says: make room there.'),
    busy: failure(
      'Another verb, or golden-watch, has been changing this VM for minutes.',
      'It is named: let it end, or end it, in the VM.',
    ),
    'reach-failed': failure(
      'In a slot: nothing could be tried from there.',
      'What the message says: mostly a container that does not run.',
    ),
    'query-failed': failure('Loki does not answer a query.', 'Its words in the message; `slotctl status`.'),
  },
  'OpenTofu or Terraform': {
    'engine-missing': failure("The engine can't be started.", 'Run the verb as `npx golden …`.'),
    'engine-init-failed': failure("The engine can't begin.", 'The backend in site.ts.'),
    'engine-failed': failure('The engine failed, in its own words.', 'What it names; then run again.'),
    'engine-killed': failure('The engine was ended from outside.', 'Mostly a full memory; run again.'),
    'plan-refused': failure('The plan would replace or destroy what owns the data.', 'What the message names. Nothing was changed.'),
    'synth-failed': failure("The stacks can't be written.", 'What it names.'),
    'state-locked': failure('Another run holds the lock of the state.', 'Wait for it.'),
    'state-unreadable': failure("The state can't be read.", 'The backend in site.ts.'),
    'state-unwritable': failure("The state can't be changed.", 'The backend in site.ts.'),
  },
  'Programs that are fetched or built': {
    'unsupported-platform': failure('This system or processor is not supported.', 'Linux or macOS on x86-64 or ARM64.'),
    'go-missing': failure(
      'A program can be had in no other way than by a build, and Go is not installed.',
      'Any of the ways that the hint names.',
    ),
    'go-too-old': failure(
      'A program can be had in no other way than by a build, and Go is too old.',
      'Any of the ways that the hint names.',
    ),
    'program-unavailable': failure(
      'A program of the version that site.ts names can be had in no way.',
      'Any of the ways that the hint names.',
    ),
    'build-needs-package': failure('A C compiler or header is missing.', 'The package that the hint names.'),
    'build-failed': failure('Building a program, or something for the lab, failed.', 'What its last lines say.'),
    'release-unreachable': failure(
      'A download does not come.',
      'The way there: `HTTPS_PROXY`, `GOLDEN_TOOLS_MIRROR`, `GOLDEN_TOOLS_FOLDER`.',
    ),
    'release-unreadable': failure('A download is no archive as expected.', 'The pins in tools/pins.ts.'),
    'release-digest-mismatch': failure('A download has another checksum than is pinned or signed, and is refused.', 'Find out why first.'),
    'release-signature-wrong': failure(
      "A release's list of checksums is not signed by its publisher, and is refused.",
      'Find out why first.',
    ),
    'release-unverified': failure('Nothing vouches for a download, and it is refused.', 'gpgv or sqv; the signed list beside it.'),
    'tools-source-unusable': failure('A setting of where programs come from is unusable.', '`GOLDEN_TOOLS_MIRROR`, `GOLDEN_TOOLS_FOLDER`.'),
    'wrong-version': failure('A program says another version than is pinned.', 'The pins in tools/.'),
    'provider-changed': failure(
      "A provider is not the one that the site's `.terraform.lock.hcl` has recorded, and is refused.",
      'Find out why first.',
    ),
    'provider-unreachable': failure('The engine does not get the provider.', 'The way to its registry, or a mirror of it.'),
    'provider-unsigned': failure('A registry has a provider without a signature, and it is refused.', 'A mirror of your own, or a lock.'),
    'plugin-not-installable': failure('Packer refuses its plugin.', 'Other programs of these names off PATH.'),
    'terraform-missing': failure('The site asks for Terraform, and there is none that suits.', 'Install it, or use OpenTofu.'),
  },
  'Archives of packages': {
    'archive-unreachable': failure(
      'An archive, or a server of cloud images, does not answer.',
      'The network, HTTP_PROXY, `image.archives`.',
    ),
    'archive-refused': failure('An archive has not what it should have.', 'What the message names, in `image.archives`.'),
    'archive-signature': failure(
      "An archive's list is not what its key has signed.",
      'Find out who altered it; `keyFile` in `image.archives`.',
    ),
    'archive-expired': failure(
      'An archive says that its list is out of date.',
      "A mirror that is kept up to date, or this computer's clock.",
    ),
    'archive-key-unusable': failure('A key of an archive is no OpenPGP public key in text form.', inTheSite('image.archives')),
    'package-unknown': failure('No archive has a package that the image needs.', inTheSite('image.archives')),
    'archive-program-missing': failure('A program that reads or checks archives is not on PATH.', 'gpgv or sqv; xz.'),
  },
  Registries: {
    'registry-altered': failure('The registry serves something else under a digest.', 'Find out why; another registry.'),
    'image-other-platform': failure('An image is not for linux/amd64.', 'images.lock.json.'),
    'image-not-found': failure('The registry has no such tag.', 'images.lock.json.'),
    'registry-denied': failure('The registry lets nobody read it.', 'A public image, or the name.'),
    'registry-refused': failure('The registry answers in a way that is not followed.', 'What the message names.'),
    'registry-unreachable': failure('The registry does not answer.', 'The network, HTTPS_PROXY, `image.registries`.'),
    'registry-ca-missing': failure("A registry's CA can't be read, or is none.", inTheSite('image.registries')),
  },
  'The demo and the lab': {
    'demo-running': failure('A demo is running already.', '`npm run demo -- --stop`.'),
    'lab-failed': failure('The lab ended.', 'Its last lines, in the message.'),
    'verb-failed': failure('A verb that the demo runs failed.', 'Its last lines, in the message.'),
    'check-failed': failure('A check on which the rest depends did not hold.', 'See it above the message.'),
    'lab-running': failure('Another lab uses that folder.', 'Stop it, or `--state` with another folder.'),
    'state-folder': failure("The lab can't use its folder.", '`--state` with another one.'),
    port: failure("The API of the lab can't have that port.", '`--port` with another one, or without it.'),
    guests: failure("Real guests can't be run here.", 'Root and the packages that the message names, or `--driver fake`.'),
    'not-root': failure('What the lab makes takes root.', 'sudo.'),
    'program-missing': failure('A program that the lab needs is not on PATH.', 'Its package.'),
    'host-packages-missing': failure('Packages that the lab needs are not installed.', 'The command that the hint names.'),
    'host-packages-failed': failure("Packages that the lab needs can't be installed.", 'What stops apt-get.'),
    'bootstrap-failed': failure("A Debian root can't be made from packages.", 'The package mirror, and what the message quotes.'),
    'registry-failed': failure("The lab's registry does not answer.", again),
  },
} satisfies Readonly<Record<string, Readonly<Record<string, KnownFailure>>>>

type Table = typeof failures

/** All that there are: a code that is not in the table is an error of types. */
export type FailureCode = { [Group in keyof Table]: keyof Table[Group] }[keyof Table] & string

const byCode: ReadonlyMap<string, KnownFailure> = new Map(Object.values(failures).flatMap((group) => Object.entries(group)))

/** For what another process says: a verb of its own, a hook, a script in the build VM. */
export const isFailureCode = (text: string): text is FailureCode => byCode.has(text)

export const exitCodeOf = (code: FailureCode): ExitCode => byCode.get(code)?.exit ?? 1

/** docs/failures.md. */
export function failuresDocument(): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|')
  const tables = Object.entries<Readonly<Record<string, KnownFailure>>>(failures).map(([title, group]) =>
    [
      `## ${title}`,
      '| code | exit code | what it means | what mends it |',
      '|---|---|---|---|',
      ...Object.entries(group).map(([code, { means, mends, exit }]) => `| \`${code}\` | ${exit} | ${cell(means)} | ${cell(mends)} |`),
    ].join('\n'),
  )
  return `# Failures\n\nEvery failure has a code, says what happened, and names the command or setting that mends it. The exit code is the CLI's. This page is made from core/failures.ts.\n\n${tables.join('\n\n')}\n`
}
