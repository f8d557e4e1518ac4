/**
 * Docker keeps each layer of an image in a folder of a random name. What a layer is, is told by its chain id, which
 * depends on its content alone (image specification, "Layer ChainID"): by that the folders of two disks are compared.
 * @param chains by the name of the folder
 * @returns what a path is called
 */
export function layerNames(chains: ReadonlyMap<string, string>): (path: string) => string {
  return (path) =>
    path.replace(/^(\/var\/lib\/docker\/overlay2\/)([^/]+)/, (whole, store: string, folder: string) => {
      const chain = chains.get(folder)
      return chain === undefined ? whole : `${store}{${chain.slice(0, 12)}}`
    })
}
