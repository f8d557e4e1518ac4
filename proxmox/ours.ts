/** Which VMs are this project's: told by their configuration, never by a VMID alone, nor by a tag that anybody may give. */

/** Of users, tokens and pools that setup has made. */
export const comment = 'serena-golden'

/** What Packer writes into the description of a VM while it builds. */
export const packersMark = 'Packer ephemeral build VM'

/**
 * Whether a site of this project made the VM, whichever site that is: sites may share pools. Depots, slots and throw-away
 * VMs name the project in their description, templates have a record in it, and a build VM has Packer's mark and our name.
 */
export function isOurs({ name = '', description = '' }: { readonly name?: string; readonly description?: string }): boolean {
  if (/\bserena-golden\b/.test(description)) return true
  if (/"kind": "(image|base)"/.test(description) && /"fingerprint": "[0-9a-f]{64}"/.test(description)) return true
  return name.startsWith('golden-build-') && description.trim() === packersMark
}
