import { Failure } from '../core/failure.ts'
import { executables } from './path.ts'
import { askVersion, suits } from './version.ts'

/** The oldest Terraform that has what the stacks use (`terraform_data` came with 1.4, provider functions with 1.8). */
const oldestTerraform = '1.8.0'

/** The first suitable one on PATH. @throws Failure `terraform-missing` */
export async function findTerraform(path: string, cache: string): Promise<{ readonly path: string; readonly version: string }> {
  const ask = { args: ['version'], pattern: /^Terraform v(\S+)/m }
  const refused: string[] = []
  for (const file of await executables('terraform', path, cache)) {
    const version = await askVersion(file, ask)
    if (version !== undefined && suits(oldestTerraform, version, 'major')) return { path: file, version }
    refused.push(`${file} is ${version ?? 'unusable'}`)
  }
  throw new Failure(
    'terraform-missing',
    `the site asks for Terraform, but none from ${oldestTerraform} on is on PATH${refused.length === 0 ? '' : ` (${refused.join(', ')})`}`,
    'Install Terraform, or use OpenTofu, which comes by itself.',
  )
}
