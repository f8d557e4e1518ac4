/**
 * A program of its own, which Packer runs here in the middle of a bake (golden.pkr.hcl): what the build VM has told becomes the
 * SBOM, which goes into the image. FACTS INVENTORY SBOM: what is read, and what is written.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { renderSbom, type SbomFacts } from '../images/sbom/bom.ts'
import { readInventory } from '../images/sbom/inventory.ts'

const [facts = '', inventory = '', sbom = ''] = process.argv.slice(2)
const text = renderSbom(JSON.parse(await readFile(facts, 'utf8')) as SbomFacts, readInventory(await readFile(inventory)))
await writeFile(sbom, text)
