/** What guests are asked that no transcript compares, by its shape in the recording: the whole list, each with its reason. */

/** What it asks for in its turn is compared; what it makes of that is looked at by the tests of its own, and by the demo. */
const sameProgram = 'slotctl is the same program in fake guests and in real ones'

const slotctl = [
  'activate',
  'activate N',
  'drain',
  'format',
  'forward',
  'let-go N',
  'logs TEXT',
  'logs TEXT N',
  'reach --in NAME ADDRESS:N',
  'reach ADDRESS:N',
  'selftest',
  'status',
  'take-over',
  'work NAME ID NAME',
  'yield',
]

const realAlone =
  'it stands in scripts by which the demo looks at real guests or takes something from them: there is no model of it that could differ'

const ofDemo = [
  'chown -R TEXT PATH',
  'chown NAME PATH',
  'find PATH -user NAME',
  'find PATH -xdev -uid N -not -path PATH',
  'find PATH -xdev -user NAME -not -path PATH -not -path PATH -not -path PATH',
  'git NAME -qm NAME',
  'git add TEXT',
  'git clone -q --bare PATH',
  'git init -q -b NAME PATH',
  'grep -v TEXT',
  'install -d -o NAME -g NAME -m N PATH',
  'logger -t NAME',
  'mkdir PATH',
  'nft flush ruleset',
  'nft list counter inet NAME TEXT',
  'node --input-type=NAME -e TEXT',
  'nsenter --target TEXT --net NAME',
  'sed -n TEXT',
  'setpriv --reuid N --regid N --clear-groups PATH NAME',
  'slotctl status',
  'stat -c %U PATH',
  'stat -c %a PATH',
  'systemctl list-jobs --no-legend',
  'systemctl list-units --failed --plain --no-legend',
  'systemctl reload-or-restart UNIT',
  'systemctl restart NAME',
  'systemctl show --property NAME --value UNIT',
  'systemctl start --wait UNIT',
  'systemctl stop NAME',
  'systemd-run --quiet --on-active=NAME NAME stop UNIT',
  'timeout N NAME -c TEXT',
]

export const notCompared: Readonly<Record<string, string>> = {
  ...Object.fromEntries(slotctl.map((words) => [`exec: /usr/local/sbin/slotctl ${words}`, sameProgram])),
  ...Object.fromEntries(ofDemo.map((shape) => [`programs: ${shape}`, realAlone])),
  'exec: journalctl --boot --quiet --no-pager --output=cat --priority=NAME --unit=TEXT --lines=N':
    'what a guest complains of is its own; one that says nothing is as good',
  'exec: nft TEXT': 'by slotctl, as a program, the same is compared; the agent runs it for verifications alone',
  'exec: nft list table inet NAME': 'by slotctl, as a program, the same is compared; the agent runs it for verifications alone',
  'programs: cloud-init clean --logs --seed':
    'it takes from a machine what it is: a bake does it as its last, and looks whether it is gone',
  'programs: docker pull --quiet IMAGE': 'there is no registry that a slot may reach; every bake that is not a model pulls',
}
