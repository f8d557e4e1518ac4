/** Text in a picture: how wide it is, about, and what stands for characters that XML has other uses for. */

/** Per font size, wider than what browsers' own fonts have: what fits by this fits in all of them. */
function widthOfCharacter(character: string, isBold: boolean): number {
  if (/[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/.test(character)) return 1
  const width = /[mwMW@%—…]/.test(character) ? 1 : /[ijltfrI.,:;'|!()[\]/ -]/.test(character) ? 0.42 : /[A-Z]/.test(character) ? 0.74 : 0.64
  return isBold ? width * 1.1 : width
}

/** @returns in the unit of `size` */
export const widthOf = (text: string, size: number, isBold = false): number =>
  [...text].reduce((sum, character) => sum + widthOfCharacter(character, isBold), 0) * size

export const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
