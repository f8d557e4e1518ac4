/** Which certificate is pinned, of what a host presents and what it tells of. */
import 'reflect-metadata'
import { X509Certificate } from 'node:crypto'
import { beforeAll, expect, it } from 'vitest'
import { ProxmoxError, type Proxmox } from '../../proxmox/client.ts'
import { certificatesIn, choosePin, knownCertificates, pinsCas } from '../../proxmox/pin.ts'
import { makeAuthority, makeServerCertificate } from '../../settings/secrets/certificates.ts'

let root: X509Certificate
let leaf: X509Certificate
let namesake: X509Certificate
beforeAll(async () => {
  const authority = await makeAuthority('Proxmox Virtual Environment', new Date())
  root = new X509Certificate(authority.certificate)
  leaf = certificatesIn((await makeServerCertificate(authority, ['pve.lan'], new Date())).certificate)[0] as X509Certificate
  // Every installation's CA has much the same name.
  namesake = new X509Certificate((await makeAuthority('Proxmox Virtual Environment', new Date())).certificate)
})

it('the CA that has really signed it, wherever it is told of', () => {
  expect(choosePin([leaf], [namesake, root, leaf])).toMatchObject({ kind: 'ca', pem: root.toString() })
  expect(choosePin([leaf, root], [])).toMatchObject({ kind: 'ca', pem: root.toString() })
  expect(choosePin([leaf, root], [root, leaf])).toMatchObject({ kind: 'ca', pem: root.toString() })
})

it('itself, where no CA of it is known', () => {
  expect(choosePin([leaf], [])).toMatchObject({ kind: 'leaf', pem: leaf.toString() })
  expect(choosePin([leaf, namesake], [namesake, leaf])).toMatchObject({ kind: 'leaf', pem: leaf.toString() })
  expect(choosePin([root], [root])).toMatchObject({ kind: 'leaf', pem: root.toString() })
})

it('a file of CAs only needs no other pin', () => {
  expect(pinsCas(root.toString() + namesake.toString())).toBe(true)
  expect(pinsCas(leaf.toString())).toBe(false)
  expect(pinsCas(leaf.toString() + root.toString())).toBe(false)
  expect(pinsCas('nothing')).toBe(false)
  expect(certificatesIn('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')).toEqual([])
})

it('a node that does not tell of its certificates is one thing, no answer another', async () => {
  const answer = (status: number): Proxmox =>
    ({
      get: async (path: string) => {
        throw new ProxmoxError('proxmox-refused', 'no', '', { status, method: 'GET', path })
      },
    }) as unknown as Proxmox
  for (const status of [400, 403, 500, 501]) expect(await knownCertificates(answer(status), 'pve')).toEqual([])
  for (const status of [0, 502, 503, 504, 595, 596, 597, 599]) await expect(knownCertificates(answer(status), 'pve')).rejects.toThrow('no')
})
