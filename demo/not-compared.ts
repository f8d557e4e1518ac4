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
  'logs TEXT N',
  'reach --in NAME ADDRESS:N',
  'reach ADDRESS:N',
  'selftest',
  'status',
  'take-over',
  'work NAME ID NAME',
  'yield',
]

export const notCompared: Readonly<Record<string, string>> = {
  ...Object.fromEntries(slotctl.map((words) => [`exec: /usr/local/sbin/slotctl ${words}`, sameProgram])),
  'programs: cloud-init clean --logs --seed':
    'it takes from a machine what it is: a bake does it as its last, and looks whether it is gone',
  'programs: docker pull --quiet IMAGE': 'there is no registry that a slot may reach; every bake that is not a model pulls',
}
